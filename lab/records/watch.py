"""Define the document of `watch`: what is wrong with a program's locks, how they were used, and what was not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .common import Header
from .race import Quantiles


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The options of `watch`. `keep` is the folder of the logs, empty where they are not kept."""

    command: list[str]
    copies: int
    files: list[str]
    ignore: list[str]
    suppress: list[str]
    time_limit_s: float
    keep: str


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """One call of a finding. `place` is its source line where that is known; `after_us` is from the first call."""

    process: int
    thread: int
    call: str
    place: str
    stack: list[str]
    after_us: float


@dataclass(frozen=True, slots=True)
class WatchFinding:
    """One finding: its cause, its file, how often it was seen, and the calls of the first time.

    A `note` is told and is no fault: there are programs that do so by design.
    """

    cause: str
    note: bool
    file: str
    count: int
    calls: list[WatchedCall]


@dataclass(frozen=True, slots=True)
class LockedFile:
    """How one file was locked in one way. `contended` requests waited for somebody, `refused` ones got no lock."""

    file: str
    lock: str
    granted: int
    contended: int
    refused: int
    wait_ns: Quantiles | None
    hold_ns: Quantiles | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a copy of the command ended: its exit code, or the signal that ended it; `hung` ones the lab ended."""

    copy: int
    exit_code: int
    signal: int
    hung: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Header):
    """One invocation of `watch`: `files` is how many files were judged, `not_seen` what it can say nothing about.

    `accesses` includes those that are `suppressed`, and so not judged.
    """

    command: Literal["watch"] = "watch"
    options: WatchOptions
    outcomes: list[Outcome]
    programs: list[str]
    processes: int
    events: int
    accesses: int
    suppressed: int
    files: int
    findings: list[WatchFinding]
    locked: list[LockedFile]
    not_seen: list[str]

    @property
    def faults(self) -> list[WatchFinding]:
        """Return the findings that are faults."""
        return [each for each in self.findings if not each.note]
