"""Define what can be wrong with how a program locks: causes, findings, and how a lock was used."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .holds import Exclusion, Row, Span, sweep
from .watched import END, LOADS, Event, Kind

Cause = Literal[
    "no lock",
    "read before the lock",
    "emptied before the lock",
    "written after the unlock",
    "dropped by a close",
    "not inherited by a fork",
    "went on without the lock",
    "written under a shared lock",
    "two kinds of lock",
    "locked a replaced file",
    "locked twice",
    "unlocked by another process",
    "kept by a child",
    "opposite order",
    "still waiting",
    "two let in",
    "cut below a mapping",
    "appended in pieces",
    "not synced before the unlock",
    "converted",
    "died inside",
    "unlocked without a lock",
    "looked before the lock",
]
NOTES: frozenset[Cause] = frozenset({"converted", "died inside", "unlocked without a lock", "looked before the lock"})
"""Causes that are told and are no fault: there are programs that do so by design."""

Site = Callable[[Event], Hashable]
"""The place in the program that a call is counted under, such as its source line."""


@dataclass(slots=True)
class Finding:
    """One fault or note: its cause, the file, how often it was seen, and the calls of the first time, in order.

    `processes` are those of all times.
    """

    cause: Cause
    file: int
    events: tuple[Event, ...]
    count: int = 1
    processes: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.processes.update(event.process for event in self.events)

    @property
    def is_note(self) -> bool:
        """Return True where it changes no exit code."""
        return self.cause in NOTES


FOLLOWS: dict[Cause, tuple[Cause, ...]] = {
    "locked twice": ("written after the unlock", "unlocked without a lock"),
    "dropped by a close": ("unlocked without a lock",),
    "unlocked by another process": ("unlocked without a lock",),
}
"""What else is seen of a process, on the same file, that has lost its lock in this way: one cause is one finding."""


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings; one that follows from another cause of the same process and file has that cause."""
    kept = list(findings)
    for cause, followers in FOLLOWS.items():
        lost = {(each.file, process) for each in kept if each.cause == cause for process in each.processes}
        for each in kept:
            if each.cause in followers and any((each.file, process) in lost for process in each.processes):
                each.cause = cause
    return kept


@dataclass(slots=True)
class Use:
    """How one file was locked in one way: `waits_ns` of each request that was granted, and the holds.

    `unrecorded` holds are of ranges that a row cannot have (`Span.pack`). `longest` is the request of the longest hold,
    and `longest_at` the place in the program where it was made, once that has been looked up.
    """

    waits_ns: array[int] = field(default_factory=lambda: array("q"))
    contended: int = 0
    refused: int = 0
    unrecorded: int = 0
    longest_ns: int = -1
    longest: Event | None = None
    longest_at: str = ""
    _rows: array[int] = field(default_factory=lambda: array("Q"))

    def add_hold(self, granted: int, released: int, requested: int, process: int, span: Span) -> None:
        """Add a hold; one whose release is not known ends at its grant, so that no overlap is made up."""
        try:
            self._rows.extend((granted, max(granted, released), requested, process, span.pack()))
        except ValueError:
            self.unrecorded += 1

    def rows(self) -> Iterator[Row]:
        """Yield the holds; the worker of each is the number of its process."""
        columns = (self._rows[number::ROW] for number in range(ROW))
        return zip(*columns, strict=True)

    def holds_ns(self) -> list[int]:
        """Return how long each hold lasted, of those whose release is known."""
        return [released - granted for granted, released, *_ in self.rows() if released > granted]

    def add(self, other: Use) -> None:
        """Add what another one has."""
        self.waits_ns += other.waits_ns
        self._rows += other._rows
        self.contended += other.contended
        self.refused += other.refused
        self.unrecorded += other.unrecorded
        if other.longest_ns > self.longest_ns:
            self.longest_ns, self.longest, self.longest_at = other.longest_ns, other.longest, other.longest_at


ROW = 5
"""The numbers of a hold in `Use`."""


def span_of(start: int, end: int, *, exclusive: bool) -> Span:
    """Return the span of a range that runs up to, not including, `end`."""
    return Span(start, 0 if end >= END else end - start, exclusive)


def exclusion(uses: Iterable[tuple[Hashable, Use]]) -> Exclusion:
    """Return the result of the sweep over all holds; those with the same key may exclude one another."""
    groups: dict[Hashable, list[Row]] = {}
    for key, use in uses:
        groups.setdefault(key, []).extend(use.rows())
    swept = [sweep(rows) for rows in groups.values()]
    return Exclusion(
        [overlap for each in swept for overlap in each.overlaps],
        sum(each.contended for each in swept),
        sum(each.unkept for each in swept),
    )


@dataclass(slots=True)
class Judgement:
    """What was found, how each file was locked by file and kind of lock, and what was seen."""

    findings: list[Finding]
    uses: dict[tuple[int, str], Use]
    accesses: int
    left_out: int
    judged: set[int]
    mapped: set[int]


class Lock(NamedTuple):
    """What can be held: a range of a file, by one kind of lock, and whether it excludes all others."""

    kind: Kind
    file: int
    start: int
    end: int
    exclusive: bool


@dataclass(slots=True)
class Unordered:
    """Two accesses that nothing orders, and what is known of why."""

    first: Event
    second: Event
    why_first: Cause
    why_second: Cause
    rechecked: bool = False
    written: Event | None = None
    held: set[Lock] = field(default_factory=set)
    """The locks of the process that loads, as it loaded: what it does later under the same ones is no second look."""

    @property
    def events(self) -> tuple[Event, Event]:
        """Return both."""
        return self.first, self.second

    def settle(self, event: Event, start: int, end: int, stores: bool) -> bool:
        """Note what the process of the load did next to these bytes, under a lock: load them again, or store there.

        Return True once that is known.
        """
        for load in self.events:
            is_theirs = load.kind in LOADS and load.process == event.process and load.time < event.time
            if is_theirs and load.start < end and start < load.end:
                self.rechecked = not stores
                self.written = event if stores else None
                return True
        return False

    def cause(self) -> Cause:
        """Return the cause: what a process lost before what it never had."""
        for cause in (self.why_first, self.why_second):
            if cause not in ("no lock", "emptied before the lock", "written after the unlock"):
                return cause
        if "emptied before the lock" in (self.why_first, self.why_second):
            return "emptied before the lock"
        if "written after the unlock" in (self.why_first, self.why_second):
            return "written after the unlock"
        if self.rechecked:
            return "looked before the lock"
        return "read before the lock" if self.written is not None else "no lock"

    def told(self) -> tuple[Event, ...]:
        """Return the calls to show."""
        return (*self.events, *([self.written] if self.written else []))


@dataclass(slots=True)
class Hold:
    """A range that somebody holds, and the call that took it; `stale` where the file has lost its name by then."""

    start: int
    end: int
    exclusive: bool
    event: Event
    stale: bool = False

    @property
    def lock(self) -> Lock:
        """Return which lock it is, whoever holds it and whenever."""
        return Lock(self.event.kind, self.event.file, self.start, self.end, self.exclusive)

    def overlaps(self, start: int, end: int) -> bool:
        """Tell whether the ranges have a byte in common."""
        return self.start < end and start < self.end


@dataclass(slots=True)
class Lost:
    """A lock that went, though the process did not say so: how, where it was taken, and the call that lost it."""

    cause: Cause
    hold: Hold
    by: Event
