"""Lost updates: a library opens and closes the file, and the lock is gone."""

import os
from ctypes import Structure, c_uint64

from lab import Damage, Outcome, Scenario, Worker


def size_of(path: str) -> int:
    """Return the size as a library does: it looks harmless, for it closes only what it opened itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


class ClosedDescriptor(Scenario):
    """Every worker adds 1 under its lock, and in the middle asks a library for the size of the file.

    A POSIX lock belongs to the process and the file, not to the descriptor that it was taken through:
    closing any descriptor of the file gives it up (fcntl(2), "Advisory record locking").
    """

    order = 2
    why = (
        "Closing any descriptor of a file drops all POSIX locks that the process has on it, whoever opened it. "
        "A lock that belongs to its own open file fixes it: ofd, and flock too."
    )
    allows_overlaps = frozenset({"fcntl"})
    expects = {"none": "damaged", "fcntl": "damaged"}
    locks = ("fcntl", "ofd")
    worlds = frozenset({"race"})
    rounds = 50
    holds_per_round = 1
    pin = "one"  # and pause inside the lock: a worker that it does not keep out enters

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            value = w.memory.value
            size_of(w.path)
            w.pause()
            w.memory.value = value + 1

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        lost = outcome.rounds - memory.value
        evidence = [f"value is {memory.value:,} after {outcome.rounds:,} additions"]
        return Damage("lost update", lost, outcome.rounds, evidence)
