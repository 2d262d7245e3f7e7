"""Half an update: SIGKILL inside the lock; the kernel frees it, the half stays."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Damage, Outcome, Scenario, Worker


class KilledHolder(Scenario):
    """Every update adds 1 to the left and 1 to the right; every round, a child is killed in between."""

    order = 9
    why = (
        "The lock goes with its holder, and half of the update stays for the next one. A write-ahead copy fixes "
        "it: the old record, marked valid until the update is done, from which the next holder undoes the half."
    )
    expects = {EVERY_LOCK: "damaged"}
    locks = ("fcntl",)
    worlds = frozenset({"race"})
    rounds = 5
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("left", c_uint64), ("right", c_uint64)]

    def work(self, w: Worker) -> None:
        w.child(self.killed).wait()
        self.update(w)

    def killed(self, w: Worker) -> None:
        self.update(w, dies=True)

    def update(self, w: Worker, *, dies: bool = False) -> None:
        with w.write_lock():
            w.memory.left += 1
            if dies:
                w.die()
            w.memory.right += 1

    def check(self, memory: Structure, outcome: Outcome) -> list[Damage]:
        rounds = outcome.rounds
        evidence = [f"left is {memory.left:,} and right is {memory.right:,} after {rounds:,} whole updates"]
        return [
            Damage("half an update", abs(memory.left - memory.right), rounds, evidence),
            Damage("lost update", rounds - memory.right, rounds, evidence),
        ]


class Fixed(KilledHolder):
    """Fixed by a write-ahead copy: the next holder finds it valid and puts the old record back."""

    expects = {"none": "damaged"}

    class Memory(Structure):
        _fields_ = [
            ("left", c_uint64),
            ("right", c_uint64),
            ("old_left", c_uint64),
            ("old_right", c_uint64),
            ("valid", c_uint64),
        ]

    def update(self, w: Worker, *, dies: bool = False) -> None:
        with w.write_lock():
            if w.memory.valid:
                w.memory.left, w.memory.right = w.memory.old_left, w.memory.old_right
            w.memory.old_left, w.memory.old_right = w.memory.left, w.memory.right
            w.memory.valid = 1
            w.memory.left += 1
            if dies:
                w.die()
            w.memory.right += 1
            w.memory.valid = 0
