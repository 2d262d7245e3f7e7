"""Define what can be wrong with how a program locks: causes, findings, and how a lock was used."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Literal

from .watched import Event, Kind

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
    """One fault or note: its cause, the file, how often it was seen, and the calls of the first time, in order."""

    cause: Cause
    file: int
    events: tuple[Event, ...]
    count: int = 1

    @property
    def is_note(self) -> bool:
        """Return True where it changes no exit code."""
        return self.cause in NOTES


@dataclass(slots=True)
class Use:
    """How one file was locked in one way: times in ns, of each request that was granted."""

    waits_ns: list[int] = field(default_factory=list)
    holds_ns: list[int] = field(default_factory=list)
    contended: int = 0
    refused: int = 0


@dataclass(slots=True)
class Judgement:
    """What was found, how each file was locked by file and kind of lock, and what was seen."""

    findings: list[Finding]
    uses: dict[tuple[int, str], Use]
    accesses: int
    left_out: int
    judged: set[int]
    mapped: set[int]


@dataclass(slots=True)
class Unordered:
    """Two accesses that nothing orders, and what is known of why."""

    first: Event
    second: Event
    why_first: Cause
    why_second: Cause
    rechecked: bool = False
    written: Event | None = None

    @property
    def events(self) -> tuple[Event, Event]:
        """Return both."""
        return self.first, self.second

    def settle(self, event: Event, start: int, end: int, stores: bool) -> None:
        """Note what the process of the load did next to these bytes, under a lock: load them again, or store there."""
        for load in self.events:
            is_theirs = load.kind is Kind.READ and load.process == event.process and load.time < event.time
            if is_theirs and load.start < end and start < load.end and not self.rechecked and self.written is None:
                self.rechecked = not stores
                self.written = event if stores else None

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
