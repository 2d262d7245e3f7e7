"""Lost updates: the locked file is replaced under its name: two files, two locks."""

from ctypes import Structure, c_uint64
from pathlib import Path

from lab import EVERY_LOCK, Damage, Outcome, Scenario, Worker


class ReplacedFile(Scenario):
    """Every round opens the file, locks it, and saves a new version as editors do: beside it, then renamed.

    Whoever waited for the lock meanwhile gets it on the old file, which no longer has a name.
    """

    order = 5
    why = (
        "A lock belongs to the inode, and the rename gave the name to another one: those who opened before it and "
        "those who open after it lock different files. Comparing the inodes once the lock is held, and opening "
        "anew until they agree, fixes it; no other lock does."
    )
    expects = {EVERY_LOCK: "damaged"}
    locks = ("fcntl",)
    worlds = frozenset({"race"})
    by_name = True
    rounds = 30

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w: Worker) -> None:
        w.reopen()
        with w.write_lock(self.Memory.value):
            self.save(w)

    def save(self, w: Worker) -> None:
        beside = Path(f"{w.path}.{w.index}")
        beside.write_bytes(bytes(self.Memory(w.memory.value + 1)))
        beside.replace(w.path)

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        lost = outcome.rounds - memory.value
        evidence = [f"value is {memory.value:,} after {outcome.rounds:,} versions, each 1 more than the one it read"]
        return Damage("lost update", lost, outcome.rounds, evidence)


class Fixed(ReplacedFile):
    """Fixed by a look at the inode under the lock: stale means open anew and lock again."""

    expects = {"none": "damaged"}

    def work(self, w: Worker) -> None:
        while not self.saved(w):
            w.reopen()

    def saved(self, w: Worker) -> bool:
        with w.write_lock(self.Memory.value):
            if w.stale():
                return False
            self.save(w)
            return True
