"""Lost updates: a child works as if it had inherited its parent's lock."""

from ctypes import Structure, c_uint64
from time import sleep

from lab import EVERY_LOCK, Damage, Outcome, Scenario, Worker


class ForkedHolder(Scenario):
    """A worker takes the lock, forks a child to do the addition, and leaves its own critical section.

    The child of a POSIX lock's owner inherits nothing (fcntl(2)). The child of an ofd or flock owner shares
    the lock, and so the parent's unlock takes it away from both.
    """

    order = 4
    why = (
        "The parent's unlock ends the critical section while its child is still inside; under POSIX locks the "
        "child never had one. A child that takes the lock itself fixes it; no other lock does."
    )
    expects = {EVERY_LOCK: "damaged"}
    locks = ("fcntl",)
    worlds = frozenset({"race"})
    rounds = 2
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            child = w.child(self.add)
        child.wait()

    def add(self, w: Worker) -> None:
        value = w.memory.value
        sleep(0.004)  # the work that was worth a process
        w.memory.value = value + 1

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        lost = outcome.rounds - memory.value
        evidence = [f"value is {memory.value:,} after {outcome.rounds:,} children added 1"]
        return Damage("lost update", lost, outcome.rounds, evidence)


class Fixed(ForkedHolder):
    """Fixed by a child that takes the lock itself, for as long as it works."""

    expects = {"none": "damaged"}

    def work(self, w: Worker) -> None:
        w.child(self.add_locked).wait()

    def add_locked(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            self.add(w)
