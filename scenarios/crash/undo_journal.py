"""Half a transfer after a crash: an undo journal keeps the old balances until the new ones are on the disk."""

from ctypes import Structure, c_int64, c_uint64
from typing import Any

from lab import Damage, Outcome, Scenario, Worker, paged


class Journal(Structure):
    """The old balances."""

    _fields_ = [("a", c_int64), ("b", c_int64)]


class UndoJournal(Scenario):
    """Move 1 from a to b: note the old balances, sync, set the flag, sync, change, sync, clear the flag, sync."""

    order = 1
    rounds = 20
    holds_per_round = 1
    Memory = paged(("a", c_int64), ("b", c_int64), ("journal", Journal), ("valid", c_uint64))

    def work(self, w: Worker) -> None:
        with w.write_lock():
            self.undo(w)
            self.note(w)
            self.move(w)
            self.clear(w)

    def note(self, w: Worker) -> None:
        w.memory.journal.a, w.memory.journal.b = w.memory.a, w.memory.b
        w.sync(self.Memory.journal)
        w.memory.valid = 1
        w.sync(self.Memory.valid)

    def move(self, w: Worker) -> None:
        w.memory.a -= 1
        w.memory.b += 1
        self.sync_both(w)

    def sync_both(self, w: Worker) -> None:
        w.sync(self.Memory.a)
        w.sync(self.Memory.b)

    def clear(self, w: Worker) -> None:
        w.memory.valid = 0
        w.sync(self.Memory.valid)

    def undo(self, w: Worker) -> None:
        if w.memory.valid:
            w.memory.a, w.memory.b = w.memory.journal.a, w.memory.journal.b
            self.sync_both(w)
            self.clear(w)

    def recover(self, w: Worker) -> None:
        with w.write_lock():
            self.undo(w)

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        rounds, moved = outcome.rounds, -memory.a
        evidence = [f"a is {memory.a} and b is {memory.b} after {rounds} transfers"]
        return [
            Damage("money made or lost", abs(memory.a + memory.b), max(rounds, 1), evidence),
            Damage("transfer lost", max(0, rounds - moved), max(rounds, 1), evidence),
            Damage("transfer twice", max(0, moved - rounds), max(rounds, 1), evidence),
        ]


class NoJournal(UndoJournal):
    """A crash between the two changes leaves one of them."""

    why = "Nothing says what the balances were. Note them before the change, and put them back after a crash."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def note(self, w: Worker) -> None:
        pass

    def clear(self, w: Worker) -> None:
        pass


class JournalNotSynced(UndoJournal):
    """The new balances may reach the disk before the journal."""

    why = "No sync stands between the journal and the change. Sync the journal, then its flag, then change."
    after_crash = {"power": "damaged"}

    def note(self, w: Worker) -> None:
        w.memory.journal.a, w.memory.journal.b = w.memory.a, w.memory.b
        w.memory.valid = 1


class FlagWithJournal(UndoJournal):
    """The flag may reach the disk before the balances that it vouches for: those of the transfer before."""

    why = "One sync for journal and flag lets either be first. Sync the journal before the flag is set."
    after_crash = {"power": "damaged"}

    def note(self, w: Worker) -> None:
        w.memory.journal.a, w.memory.journal.b = w.memory.a, w.memory.b
        w.memory.valid = 1
        w.sync(self.Memory.journal)
        w.sync(self.Memory.valid)


class ClearedEarly(UndoJournal):
    """The journal may be gone from the disk before the balances are on it."""

    why = "No sync stands between the change and the cleared flag. Sync the balances before the flag is cleared."
    after_crash = {"power": "damaged"}

    def move(self, w: Worker) -> None:
        w.memory.a -= 1
        w.memory.b += 1

    def clear(self, w: Worker) -> None:
        w.memory.valid = 0
        w.sync()


class NotSyncedAtEnd(UndoJournal):
    """A transfer that was finished may be undone after a crash."""

    why = "The cleared flag may not be on the disk when the round ends. Sync it before the transfer counts as done."
    after_crash = {"power": "damaged"}

    def clear(self, w: Worker) -> None:
        w.memory.valid = 0


class RecoveryClearsEarly(UndoJournal):
    """A second crash, in the recovery, finds the journal gone and the balances not yet put back."""

    why = "Recovery must order its own stores too: sync what it puts back before it clears the flag."
    after_crash = {"power": "damaged"}

    def undo(self, w: Worker) -> None:
        if w.memory.valid:
            w.memory.a, w.memory.b = w.memory.journal.a, w.memory.journal.b
            w.memory.valid = 0
            w.sync()


class RecoveryAdds(UndoJournal):
    """A recovery that crashes and runs again adds what it added before."""

    why = "Recovery may run twice: it must put back values, not add to what it finds."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def undo(self, w: Worker) -> None:
        if w.memory.valid:
            if w.memory.a != w.memory.journal.a:
                w.memory.a += 1
            w.memory.b -= 1
            self.sync_both(w)
            self.clear(w)


class NobodyLooks(UndoJournal):
    """Only a restart looks into the journal: whoever gets the lock of a dead holder goes on with half a transfer."""

    why = "The lock goes with its holder and tells nobody. Look into the journal each time the lock was granted."
    after_crash = {"kill": "damaged"}

    def work(self, w: Worker) -> None:
        with w.write_lock():
            self.note(w)
            self.move(w)
            self.clear(w)
