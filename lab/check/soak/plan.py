"""What the soak races for which promise: the rules 61 to 68 of the specification, as data.

A lock is raced for over memory that the workers share by fork: whatever becomes of data in the filesystem's files is
no fault of the lock, and what breaks there broke for want of exclusion. The file on the mount is only locked.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

ANY = ""
"""Whichever lock keeps others out there, `fcntl` before `ofd` before `flock`: a data promise is about the data."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One race: its scenario, lock and region, and the numbers of the rules that it covers.

    `polled` has the lock asked for without waiting. `weight` is its part of the time.
    """

    promise: str
    scenario: str
    lock: str
    region: str
    rules: tuple[int, ...]
    polled: bool = False
    weight: int = 1


MARKS, NEVER_TWO, HOLDS = 64, 66, 67
OVERLAPPING, APPENDED, PAGES = (62, MARKS, HOLDS), (61, HOLDS), (68, HOLDS)
COUNTED, TOLD, OWN = (NEVER_TWO, HOLDS), (MARKS, HOLDS), (63, 65, HOLDS)

PLAN = (
    *(
        Entry(promise, "append_log", lock, "anonymous", (NEVER_TWO, HOLDS), polled, 3 if polled else 2)
        for polled in (True, False)
        for promise, lock in (("posix", "fcntl"), ("ofd", "ofd"), ("flock", "flock"))
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
    Entry("reopened", "append_log", ANY, "reopened", APPENDED),
    Entry("reopened", "counter", ANY, "reopened", COUNTED),
    Entry("reopened_pread", "append_log", ANY, "reopened_stream", APPENDED),
    Entry("reopened_pread", "counter", ANY, "reopened_stream", COUNTED),
    Entry("neighbours", "neighbours", ANY, "stream", OWN),
    Entry("neighbours", "neighbours", ANY, "mapped", OWN),
)
"""Exclusion has the most time, and first the requests that do not wait: every refusal is one that a lock may lie to."""


def planned(asked: Collection[str]) -> list[Entry]:
    """The races for these promises, in order; other promises are not the soak's."""
    return [entry for entry in PLAN if entry.promise in asked]
