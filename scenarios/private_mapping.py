"""Lost updates: MAP_PRIVATE gives every worker its own pages: writes never meet."""

from ctypes import Structure, c_uint64

from lab import Damage, Outcome, Scenario, Worker


class PrivateMapping(Scenario):
    """Every worker adds 1 under the lock, to a page that its first store made a copy of."""

    order = 7
    why = (
        "A private mapping copies a page at the first store to it, so the locked writes of two workers never meet "
        "and never reach the file. A shared mapping (MAP_SHARED) fixes it; no lock does."
    )
    locks = ("fcntl",)
    backing = "private"
    worlds = frozenset({"race"})
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            w.memory.value += 1

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        lost = outcome.rounds - memory.value
        evidence = [f"value in the file is {memory.value:,} after {outcome.rounds:,} additions"]
        return Damage("lost update", lost, outcome.rounds, evidence)


class Fixed(PrivateMapping):
    """Fixed by a shared mapping: the same round, and every store reaches the file."""

    backing = "mapped"
