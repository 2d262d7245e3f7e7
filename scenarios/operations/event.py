"""An event: `poll` returns whether it was signalled since the last poll, and takes it back."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Operations, Worker


class Event(Operations):
    """An event: `poll` returns whether it was signalled since the last poll, and takes it back."""

    class Memory(Structure):
        _fields_ = (("flag", c_uint64),)

    class Model:
        def __init__(self) -> None:
            self.flag = 0

        def signal(self) -> None:
            self.flag = 1

        def poll(self) -> int:
            flag, self.flag = self.flag, 0
            return flag

    def signal(self, w: Worker) -> None:
        with w.write_lock():
            w.memory.flag = 1

    def poll(self, w: Worker) -> int:
        with w.write_lock():
            flag = w.memory.flag
            w.memory.flag = 0
            return int(flag)


class LosesSignals(Event):
    """Whoever polls reads the flag before it takes the lock."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`poll` reads the flag before the lock and clears it inside, so a signal in between is lost; read it inside"

    def poll(self, w: Worker) -> int:
        flag = w.memory.flag
        with w.write_lock():
            w.memory.flag = 0
        return int(flag)
