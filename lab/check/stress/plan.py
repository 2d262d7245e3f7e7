"""List the races of the stress, as data: the scenario, lock and backing for each guarantee, and the rules it covers.

A race for a lock has its data in memory that the workers share by fork, and only locks the file on the mount:
corruption of data in files is no fault of the lock.
"""

from __future__ import annotations

from collections.abc import Collection
from ctypes import Structure, c_uint64
from dataclasses import dataclass
from typing import Any

from lab.check.guarantees import EXCLUSION
from lab.scenario import Damage, Outcome, Scenario, Worker

ANY = ""
"""Any lock that excludes others there, `fcntl` before `ofd` before `flock`: a data guarantee is about the data."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One race: its scenario, lock and backing, and the numbers of the rules that it covers.

    With `polled` the lock is requested without waiting. `weight` is its part of the time.
    """

    guarantee: str
    scenario: str
    lock: str
    backing: str
    rules: tuple[int, ...]
    polled: bool = False
    weight: int = 1


MARKS, NEVER_TWO, HOLDS = 64, 66, 67
OVERLAPPING, APPENDED, PAGES = (62, MARKS, HOLDS), (61, HOLDS), (68, HOLDS)
COUNTED, TOLD, OWN = (NEVER_TWO, HOLDS), (MARKS, HOLDS), (63, 65, HOLDS)

PLAN = (
    *(
        Entry(guarantee, "append_log", lock, "anonymous", (NEVER_TWO, HOLDS), polled, 3 if polled else 2)
        for polled in (True, False)
        for guarantee, lock in EXCLUSION.items()
    ),
    Entry("pread", "append_log", ANY, "stream", APPENDED),
    Entry("pread", "counter", ANY, "stream", COUNTED),
    Entry("pread", "overlap", ANY, "stream", OVERLAPPING),
    Entry("pread", "readers_writers", ANY, "stream", TOLD),
    Entry("mapping", "append_log", ANY, "mapped", APPENDED),
    Entry("mapping", "counter", ANY, "mapped", COUNTED),
    Entry("mapping", "overlap", ANY, "mapped", OVERLAPPING),
    Entry("mapping", "readers_writers", ANY, "mapped", TOLD),
    Entry("mapping", "sparse_pages", ANY, "mapped", PAGES),
    Entry("mapping", "bank", ANY, "mapped", (HOLDS,)),
    Entry("remapped", "append_log", ANY, "remapped", APPENDED),
    Entry("remapped", "counter", ANY, "remapped", COUNTED),
    Entry("remapped_pread", "append_log", ANY, "remapped_stream", APPENDED),
    Entry("remapped_pread", "counter", ANY, "remapped_stream", COUNTED),
    Entry("neighbours", "neighbours", ANY, "stream", OWN),
    Entry("neighbours", "neighbours", ANY, "mapped", OWN),
)
"""Exclusion has the most time, and first the requests that do not wait: a lock may grant each refused one falsely."""


def planned(asked: Collection[str]) -> list[Entry]:
    """Return the races for these guarantees, in order; other guarantees are not judged by the stress."""
    return [entry for entry in PLAN if entry.guarantee in asked]


class Neighbours(Scenario):
    """Add 1 to your own slot under a lock on that slot alone; all additions to all slots must count."""

    rounds = 5_000
    holds_per_round = 1
    workers_at_most = 512  # slots of 8 bytes in a page

    def layout(self, workers: int, rounds: int) -> type[Structure]:
        """Return a layout with one slot per worker."""

        class Memory(Structure):
            _fields_ = [("slots", c_uint64 * workers)]

        return Memory

    def work(self, w: Worker) -> None:
        """Load, add and store, under the lock."""
        with w.write_lock(self.Memory.slots, w.index):
            w.memory.slots[w.index] += 1

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        """Report the slots that fall short of their workers' rounds."""
        found = list(memory.slots)
        short = [rounds - value for rounds, value in zip(outcome.by_worker, found, strict=True)]
        wrong = [index for index, count in enumerate(short) if count]
        evidence = [f"slot {n} is {found[n]:,} after {outcome.by_worker[n]:,} additions" for n in wrong[:3]]
        return Damage("lost update", sum(map(abs, short)), outcome.rounds, evidence)
