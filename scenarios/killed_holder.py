"""Half an update: SIGKILL ends a holder, the kernel frees its lock, and the rest never comes."""

from ctypes import Structure, c_uint64

from lab import EVERY_LOCK, Damage, Outcome, Scenario, Worker


class KilledHolder(Scenario):
    """Every update adds 1 to the left and 1 to the right; every round, a child is killed in between."""

    why = (
        "The lock goes with its holder, and half of the update stays for the next one. A copy of the old record, "
        "written before the update and marked valid until it is done, lets the next holder undo the half."
    )
    expects = {EVERY_LOCK: "damaged"}
    locks = ("fcntl",)
    rounds = 5
    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("left", c_uint64), ("right", c_uint64)]

    def work(self, w: Worker) -> None:
        w.child(self.update_and_die).wait()
        with w.write_lock():
            self.enter(w)
            w.memory.left += 1
            w.memory.right += 1
            self.leave(w)

    def update_and_die(self, w: Worker) -> None:
        with w.write_lock():
            self.enter(w)
            w.memory.left += 1
            w.die()

    def enter(self, w: Worker) -> None:
        """What a holder does first."""

    def leave(self, w: Worker) -> None:
        """What a holder does last."""

    def check(self, memory: Structure, outcome: Outcome) -> Damage:
        halves = abs(memory.left - memory.right)
        evidence = [f"left is {memory.left:,} and right is {memory.right:,} after {outcome.rounds:,} rounds"]
        return Damage("half an update", halves, outcome.rounds, evidence)


class Cured(KilledHolder):
    """Cured by a write-ahead copy: the next holder finds it valid and puts the old record back."""

    expects = {"none": "damaged"}

    class Memory(Structure):
        _fields_ = [("left", c_uint64), ("right", c_uint64), ("old", c_uint64 * 2), ("valid", c_uint64)]

    def enter(self, w: Worker) -> None:
        if w.memory.valid:
            w.memory.left, w.memory.right = w.memory.old
        w.memory.old[0] = w.memory.left
        w.memory.old[1] = w.memory.right
        w.memory.valid = 1

    def leave(self, w: Worker) -> None:
        w.memory.valid = 0
