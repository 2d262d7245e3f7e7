"""A value of two words under a sequence number: whoever reads takes no lock, and tries again."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Operations, Worker


class Seqlock(Operations):
    """The number is odd while a writer is inside; a reader that met the same even number twice has read one value."""

    locks = ("fcntl",)  # without one two writers may leave the number odd, and readers try again for ever

    class Memory(Structure):
        _fields_ = (("number", c_uint64), ("low", c_uint64), ("high", c_uint64))

    class Model:
        def __init__(self) -> None:
            self.value = 0

        def write(self, value: int) -> None:
            self.value = value

        def read(self) -> tuple[int, int]:
            return self.value, self.value

    def write(self, w: Worker, value: int) -> None:
        with w.write_lock():
            number = w.memory.number
            w.memory.number = number + 1
            w.memory.low = value
            w.memory.high = value
            w.memory.number = number + 2

    def read(self, w: Worker) -> tuple[int, int]:
        while (found := self._try(w)) is None:
            w.pause()
        return found

    def _try(self, w: Worker) -> tuple[int, int] | None:
        number = w.memory.number
        if number % 2:
            return None
        found = w.memory.low, w.memory.high
        return found if w.memory.number == number else None


class LooksOnce(Seqlock):
    """Whoever reads does not look at the number again."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`read` does not look at the number again, so a write in between is not noticed; compare it afterwards"

    def _try(self, w: Worker) -> tuple[int, int] | None:
        return None if w.memory.number % 2 else (w.memory.low, w.memory.high)
