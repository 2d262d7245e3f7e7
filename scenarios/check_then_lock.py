"""Lost updates: the value is read before the lock, and written inside it."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Damage, Outcome, Scenario, Worker


class CheckThenLock(Scenario):
    """Every worker looks at the counter, locks it, and writes what it saw plus 1.

    While it waits for the lock the holder before it writes, so what it saw is old when it is let in.
    """

    order = 6
    after_crash = {"power": "damaged"}
    why = (
        "What was read before the lock may be old once the lock is granted: the lock guards the write alone. "
        "Reading inside the lock fixes it; no other lock does."
    )
    expects = {EVERY_LOCK: "damaged"}
    locks = ("fcntl",)
    rounds = 100
    holds_per_round = 1
    pin = "one"  # and pause after the look: others enter before the write

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Worker) -> None:
        value = w.memory.value
        w.pause()
        with w.write_lock(self.Memory.value):
            w.memory.value = value + 1

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        lost = outcome.rounds - memory.value
        evidence = [f"value is {memory.value:,} after {outcome.rounds:,} additions"]
        return Damage("lost update", lost, outcome.rounds, evidence)


class Fixed(CheckThenLock):
    """Fixed by reading inside the lock what is written inside it."""

    expects = {"none": "damaged"}

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.value):
            value = w.memory.value
            w.pause()
            w.memory.value = value + 1
