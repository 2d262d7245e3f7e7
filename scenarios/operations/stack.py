"""A stack of four places: the last that was pushed is popped first."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Operations, Worker

PLACES = 4


class Stack(Operations):
    """A stack of four places: the last that was pushed is popped first."""

    class Memory(Structure):
        _fields_ = (("count", c_uint64), ("items", c_uint64 * PLACES))

    class Model:
        def __init__(self) -> None:
            self.items: list[int] = []

        def push(self, item: int) -> bool:
            if len(self.items) == PLACES:
                return False
            self.items.append(item)
            return True

        def pop(self) -> int | None:
            return self.items.pop() if self.items else None

    def push(self, w: Worker, item: int) -> bool:
        with w.write_lock():
            count = w.memory.count
            if count == PLACES:
                return False
            w.memory.items[count] = item
            w.memory.count = count + 1
            return True

    def pop(self, w: Worker) -> int | None:
        with w.write_lock():
            count = w.memory.count
            if not count:
                return None
            w.memory.count = count - 1
            return int(w.memory.items[count - 1])


class ChecksFirst(Stack):
    """Whoever pops looks for an item before it takes the lock."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`pop` checks before the lock that there is an item, and another may pop it in between; check inside the lock"

    def pop(self, w: Worker) -> int | None:
        if not w.memory.count:
            return None
        with w.write_lock():
            rest = max(w.memory.count, 1) - 1
            w.memory.count = rest
            return int(w.memory.items[rest])
