"""A value of two words: whoever reads must find both as one call wrote them."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Operations, Worker


class Register(Operations):
    """A value of two words: whoever reads must find both as one call wrote them."""

    class Memory(Structure):
        _fields_ = (("low", c_uint64), ("high", c_uint64))

    class Model:
        def __init__(self) -> None:
            self.value = 0

        def write(self, value: int) -> None:
            self.value = value

        def read(self) -> tuple[int, int]:
            return self.value, self.value

    def write(self, w: Worker, value: int) -> None:
        with w.write_lock():
            w.memory.low = value
            w.memory.high = value

    def read(self, w: Worker) -> tuple[int, int]:
        with w.read_lock():
            return w.memory.low, w.memory.high


class ReadsOutside(Register):
    """Whoever reads takes no lock."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`read` takes no lock, so it may find one word of a write and not the other; take a read lock"

    def read(self, w: Worker) -> tuple[int, int]:
        return w.memory.low, w.memory.high
