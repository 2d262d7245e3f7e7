"""Half a transfer after a crash: a redo log keeps the new balances until they are where they belong."""

from ctypes import Structure, c_int64, c_uint64
from typing import Any

from lab import Damage, Outcome, Scenario, Worker, paged


class Log(Structure):
    """The new balances."""

    _fields_ = [("a", c_int64), ("b", c_int64)]


class RedoLog(Scenario):
    """Move 1 from a to b: log the new balances, sync, commit, sync, copy them over, sync, clear, sync."""

    order = 2
    rounds = 20
    holds_per_round = 1
    Memory = paged(("a", c_int64), ("b", c_int64), ("log", Log), ("committed", c_uint64))

    def work(self, w: Worker) -> None:
        with w.write_lock():
            self.redo(w)
            self.write(w)
            self.commit(w)
            self.redo(w)

    def write(self, w: Worker) -> None:
        w.memory.log.a, w.memory.log.b = w.memory.a - 1, w.memory.b + 1
        w.sync(self.Memory.log)

    def commit(self, w: Worker) -> None:
        w.memory.committed = 1
        w.sync(self.Memory.committed)

    def redo(self, w: Worker) -> None:
        if w.memory.committed:
            w.memory.a, w.memory.b = w.memory.log.a, w.memory.log.b
            w.sync(self.Memory.a)
            w.sync(self.Memory.b)
            w.memory.committed = 0
            w.sync(self.Memory.committed)

    def recover(self, w: Worker) -> None:
        with w.write_lock():
            self.redo(w)

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        rounds, moved = outcome.rounds, -memory.a
        evidence = [f"a is {memory.a} and b is {memory.b} after {rounds} transfers"]
        return [
            Damage("money made or lost", abs(memory.a + memory.b), max(rounds, 1), evidence),
            Damage("transfer lost", max(0, rounds - moved), max(rounds, 1), evidence),
            Damage("transfer twice", max(0, moved - rounds), max(rounds, 1), evidence),
        ]


class CommitWithLog(RedoLog):
    """The commit may reach the disk before the log: recovery copies the balances of the transfer before."""

    why = "One sync for log and commit lets either be first. Sync the log before the commit."
    after_crash = {"power": "damaged"}

    def write(self, w: Worker) -> None:
        w.memory.log.a, w.memory.log.b = w.memory.a - 1, w.memory.b + 1

    def commit(self, w: Worker) -> None:
        w.memory.committed = 1
        w.sync(self.Memory.log)
        w.sync(self.Memory.committed)


class CommitNotSynced(RedoLog):
    """A balance may reach the disk before the commit: recovery does not finish what it does not know of."""

    why = "No sync stands between the commit and the copies. Sync the commit before anything is copied."
    after_crash = {"power": "damaged"}

    def commit(self, w: Worker) -> None:
        w.memory.committed = 1


class ClearedEarly(RedoLog):
    """The log may be gone from the disk before the balances are on it."""

    why = "No sync stands between the copies and the cleared commit. Sync the balances first."
    after_crash = {"power": "damaged"}

    def redo(self, w: Worker) -> None:
        if w.memory.committed:
            w.memory.a, w.memory.b = w.memory.log.a, w.memory.log.b
            w.memory.committed = 0
            w.sync()


class LogsAmounts(RedoLog):
    """A recovery that crashes and runs again adds the amounts twice."""

    why = "A log that may be applied twice must hold values, not amounts."
    after_crash = {"kill": "damaged", "power": "damaged"}

    def write(self, w: Worker) -> None:
        w.memory.log.a, w.memory.log.b = -1, 1
        w.sync(self.Memory.log)

    def redo(self, w: Worker) -> None:
        if w.memory.committed:
            w.memory.a += w.memory.log.a
            w.memory.b += w.memory.log.b
            w.sync(self.Memory.a)
            w.sync(self.Memory.b)
            w.memory.committed = 0
            w.sync(self.Memory.committed)
