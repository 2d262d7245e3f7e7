"""Lost updates: N workers add 1 to one shared 8-byte counter."""

from ctypes import Structure, c_uint64

from lab import Damage, Outcome, Scenario, Worker


class Counter(Scenario):
    """Every worker adds 1 to the same counter; every addition must count."""

    order = 1
    after_crash = {"power": "damaged"}
    rounds = 15_000
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            w.memory.value += 1

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        lost = outcome.rounds - memory.value
        evidence = [f"value is {memory.value:,} after {outcome.rounds:,} additions"]
        return Damage("lost update", lost, outcome.rounds, evidence)
