"""A ring of two places: `put` returns False while it is full, `take` None while it is empty."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Operations, Worker

PLACES = 2


class Ring(Operations):
    """A ring of two places: `put` returns False while it is full, `take` None while it is empty."""

    class Memory(Structure):
        _fields_ = (("head", c_uint64), ("tail", c_uint64), ("items", c_uint64 * PLACES))

    class Model:
        def __init__(self) -> None:
            self.items: list[int] = []

        def put(self, item: int) -> bool:
            if len(self.items) == PLACES:
                return False
            self.items.append(item)
            return True

        def take(self) -> int | None:
            return self.items.pop(0) if self.items else None

    def put(self, w: Worker, item: int) -> bool:
        with w.write_lock():
            return self._put(w, item)

    def _put(self, w: Worker, item: int) -> bool:
        head = w.memory.head
        if head - w.memory.tail == PLACES:
            return False
        w.memory.items[head % PLACES] = item
        w.memory.head = head + 1
        return True

    def take(self, w: Worker) -> int | None:
        with w.write_lock():
            return self._take(w)

    def _take(self, w: Worker) -> int | None:
        tail = w.memory.tail
        if tail == w.memory.head:
            return None
        item = w.memory.items[tail % PLACES]
        w.memory.tail = tail + 1
        return int(item)


class TwoRanges(Ring):
    """Putting locks the head and taking the tail, and the head is stored before the item."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`put` locks the head and `take` the tail, which exclude nobody from each other; lock the same bytes"

    def put(self, w: Worker, item: int) -> bool:
        with w.write_lock(self.Memory.head):
            return self._put(w, item)

    def _put(self, w: Worker, item: int) -> bool:
        head = w.memory.head
        if head - w.memory.tail == PLACES:
            return False
        w.memory.head = head + 1
        w.memory.items[head % PLACES] = item
        return True

    def take(self, w: Worker) -> int | None:
        with w.write_lock(self.Memory.tail):
            return self._take(w)
