"""A hash map of two places with open addressing: keys 1 and 3 fall on the same place."""

from ctypes import Structure, c_uint64
from typing import Literal

from lab import EVERY_LOCK, Operations, Worker


class HashMap(Operations):
    """A hash map of two places with open addressing: keys 1 and 3 fall on the same place."""

    class Memory(Structure):
        _fields_ = (("keys", c_uint64 * 2), ("values", c_uint64 * 2))

    class Model:
        def __init__(self) -> None:
            self.values: dict[int, int] = {}

        def put(self, key: int, value: int) -> None:
            self.values[key] = value

        def get(self, key: int) -> int:
            return self.values.get(key, 0)

    def put(self, w: Worker, key: Literal[1, 3], value: int) -> None:
        with w.write_lock():
            place = self._place(w, key)
            w.memory.keys[place] = key
            w.memory.values[place] = value

    def get(self, w: Worker, key: Literal[1, 3]) -> int:
        with w.read_lock():
            place = self._place(w, key)
            return w.memory.values[place] if w.memory.keys[place] == key else 0

    def _place(self, w: Worker, key: int) -> int:
        """Return the place of a key, or the free one that it would have."""
        first = key % 2
        return first if w.memory.keys[first] in (0, key) else 1 - first


class FindsFirst(HashMap):
    """Whoever puts looks for the place under a shared lock, and stores under an exclusive one."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`put` finds a place under a lock that it gives up before it stores, so two keys get one; keep the lock"

    def put(self, w: Worker, key: Literal[1, 3], value: int) -> None:
        with w.read_lock():
            place = self._place(w, key)
        with w.write_lock():
            w.memory.keys[place] = key
            w.memory.values[place] = value


class Remembers(HashMap):
    """Whoever has read a value once keeps it."""

    locks = ("fcntl",)
    expects = {EVERY_LOCK: "damaged"}
    why = "`get` returns what it found the first time, though another has stored since; read again under the lock"

    def get(self, w: Worker, key: Literal[1, 3]) -> int:
        known = w.local.__dict__.setdefault("known", {})
        if key not in known:
            known[key] = super().get(w, key)
        return int(known[key])
