"""List the races of the stress, as data: the scenario, lock and backing for each guarantee, and the rules it covers.

A race for a lock has its data in memory that the workers share by fork, and only locks the file on the mount, or makes
a name beside it: corruption of data in files is no fault of the lock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lab.checking.guarantees import EXCLUSION, HELD, LOCK_FILES
from lab.racing.timed import FIRST_ROUNDS

ANY, NO_LOCK = "", "none"
"""Any lock that excludes others there, `fcntl` before `ofd` before `flock`: a data guarantee is about the data."""

QUICK_ROUNDS = 100
OWN_FILES = "files"
"""The backing of a scenario that opens its files itself: `lab.checking.stress.scenarios`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One race: its scenario, lock and backing, and the numbers of the rules that it covers.

    With `polled` the lock is requested without waiting. `weight` is its part of the time. A round of a `slow` one makes
    or removes names or writes to the disk.
    """

    guarantee: str
    scenario: str
    lock: str
    backing: str
    rules: tuple[int, ...]
    polled: bool = False
    weight: int = 1
    slow: bool = False

    @property
    def first_rounds(self) -> int:
        """Return the rounds of the first trial where locks are quick: it takes longer to start than to race so many."""
        return FIRST_ROUNDS if self.slow else QUICK_ROUNDS

    @property
    def is_held(self) -> bool:
        """Tell whether the race is for a lock itself, and judged by its holds."""
        return self.guarantee in HELD

    @property
    def pin(self) -> str:
        """Return the processors of the workers: one for all makes more requests meet a holder."""
        return "none" if self.polled or self.lock == NO_LOCK else "one"


MARKS, NEVER_TWO, HOLDS = 64, 66, 67
OVERLAPPING, APPENDED, PAGES = (62, MARKS, HOLDS), (61, HOLDS), (68, HOLDS)
COUNTED, TOLD, OWN = (NEVER_TWO, HOLDS), (MARKS, HOLDS), (63, 65, HOLDS)
REPLACED, LISTED, APPENDS, SIZES, MIXED, WHOLE = 99, 100, 101, 102, 103, 104

PLAN = (
    *(
        Entry(guarantee, "append_log", lock, "anonymous", (NEVER_TWO, HOLDS), polled, 5 if polled else 3)
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
    Entry("remapped", "append_log", ANY, "remapped", APPENDED, slow=True),
    Entry("remapped", "counter", ANY, "remapped", COUNTED, slow=True),
    Entry("remapped_pread", "append_log", ANY, "remapped_stream", APPENDED),
    Entry("remapped_pread", "counter", ANY, "remapped_stream", COUNTED),
    Entry("mixed", "mixed", ANY, "mapped", (MIXED, HOLDS)),
    Entry("whole_file", "whole_file", ANY, OWN_FILES, (WHOLE, HOLDS), slow=True),
    Entry("neighbours", "neighbours", ANY, "stream", OWN),
    Entry("neighbours", "neighbours", ANY, "mapped", OWN),
    Entry("append", "appended", NO_LOCK, OWN_FILES, (APPENDS,)),
    Entry("size", "grown", ANY, OWN_FILES, (SIZES, HOLDS)),
    *(
        Entry(guarantee, "append_log", lock, "anonymous", (NEVER_TWO, HOLDS), slow=True)
        for guarantee, lock in LOCK_FILES.items()
    ),
    Entry("rename", "replaced", NO_LOCK, OWN_FILES, (REPLACED,), slow=True),
    Entry("entries", "listed", ANY, OWN_FILES, (LISTED, HOLDS), slow=True),
)
"""Exclusion has the most time, and first the requests that do not wait: a lock may grant each refused one falsely."""


PLAN_ON_HOSTS = (
    *(
        Entry(guarantee, "append_log", lock, "stream", (NEVER_TWO, HOLDS), weight=3)
        for guarantee, lock in EXCLUSION.items()
    ),
    *(
        Entry(guarantee, "counter", ANY, backing, COUNTED)
        for guarantee, backing in (
            ("pread", "stream"), ("mapping", "mapped"), ("remapped", "remapped"), ("remapped_pread", "remapped_stream"),
        )
    ),
    *(entry for entry in PLAN if entry.guarantee == "neighbours"),
    Entry("append", "appended_files", NO_LOCK, "stream", (APPENDS,)),
    *(
        Entry(guarantee, "append_log", lock, "stream", (NEVER_TWO, HOLDS), slow=True)
        for guarantee, lock in LOCK_FILES.items()
    ),
    Entry("rename", "replaced_files", NO_LOCK, "stream", (REPLACED,), slow=True),
)  # fmt: skip
"""The races over several hosts, which share no memory: a race for a lock is judged by its holds alone.

Files that workers make by name are there in a directory of the scenario, which the first host reads at the end.
"""


def planned(asked: Collection[str], *, on_hosts: bool = False) -> list[Entry]:
    """Return the races for these guarantees, in order; other guarantees are not judged by the stress."""
    return [entry for entry in (PLAN_ON_HOSTS if on_hosts else PLAN) if entry.guarantee in asked]
