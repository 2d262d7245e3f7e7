"""Lost updates of neighbours: every worker adds to a slot of its own, and all slots lie in one page.

Nobody writes what another writes, so locks of their own slots are all that a program needs. A filesystem on which two
hosts each write back whole pages loses updates all the same: the later page brings the old neighbours back.
"""

from __future__ import annotations

from ctypes import Structure, c_uint64
from typing import Any

from lab.scenario import Damage, Outcome, Scenario, Worker


class Neighbours(Scenario):
    """Add 1 to your own slot under a lock on that slot alone; all additions to all slots must count."""

    rounds = 5_000
    holds_per_round = 1
    workers_at_most = 512  # slots of 8 bytes in a page

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        """One slot a worker."""

        class Memory(Structure):
            _fields_ = [("slots", c_uint64 * workers)]

        return Memory

    def work(self, w: Worker) -> None:
        """Load, add and store, under the lock."""
        with w.write_lock(self.Memory.slots, w.index):
            w.memory.slots[w.index] += 1

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        """Which slots fall short of their workers' rounds."""
        found = list(memory.slots)
        short = [rounds - value for rounds, value in zip(outcome.by_worker, found, strict=True)]
        wrong = [index for index, count in enumerate(short) if count]
        evidence = [f"slot {n} is {found[n]:,} after {outcome.by_worker[n]:,} additions" for n in wrong[:3]]
        return Damage("lost update", sum(map(abs, short)), outcome.rounds, evidence)
