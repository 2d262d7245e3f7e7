"""A queue with one lock for each end: putting and taking do not wait for each other."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Operations, Worker


class Queue(Operations):
    """A queue with one lock for each end; an item is there once `last` says so, which is stored after it."""

    class Memory(Structure):
        _fields_ = (("first", c_uint64), ("last", c_uint64), ("items", c_uint64 * 1))

    class Model:
        def __init__(self) -> None:
            self.items: list[int] = []

        def put(self, item: int) -> None:
            self.items.append(item)

        def take(self) -> int | None:
            return self.items.pop(0) if self.items else None

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        class Memory(Structure):
            _fields_ = (("first", c_uint64), ("last", c_uint64), ("items", c_uint64 * (workers * rounds)))

        return Memory

    def put(self, w: Worker, item: int) -> None:
        with w.write_lock(self.Memory.last):
            last = w.memory.last
            w.memory.items[last] = item
            w.memory.last = last + 1

    def take(self, w: Worker) -> int | None:
        with w.write_lock(self.Memory.first):
            first = w.memory.first
            if first == w.memory.last:
                return None
            w.memory.first = first + 1
            return int(w.memory.items[first])


class CountsFirst(Queue):
    """Whoever puts says that the item is there before it is."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`put` stores `last` before the item, and whoever takes holds another lock; store the item first"

    def put(self, w: Worker, item: int) -> None:
        with w.write_lock(self.Memory.last):
            last = w.memory.last
            w.memory.last = last + 1
            w.memory.items[last] = item
