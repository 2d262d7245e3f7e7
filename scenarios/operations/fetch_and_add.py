"""A counter: `add` returns what it made of it, `get` what it is."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Operations, Worker


class FetchAndAdd(Operations):
    """A counter: `add` returns what it made of it, `get` what it is."""

    class Memory(Structure):
        _fields_ = (("value", c_uint64),)

    class Model:
        def __init__(self) -> None:
            self.value = 0

        def add(self) -> int:
            self.value += 1
            return self.value

        def get(self) -> int:
            return self.value

    def add(self, w: Worker) -> int:
        with w.write_lock(self.Memory.value):
            value = w.memory.value + 1
            w.memory.value = value
            return int(value)

    def get(self, w: Worker) -> int:
        with w.read_lock(self.Memory.value):
            return int(w.memory.value)


class NoLock(FetchAndAdd):
    """Whoever adds takes no lock."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`add` reads and writes without a lock, so two additions may give the same number; lock both accesses"

    def add(self, w: Worker) -> int:
        value = w.memory.value + 1
        w.memory.value = value
        return int(value)
