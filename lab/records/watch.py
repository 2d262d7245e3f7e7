"""Define the document of `watch`: what is wrong with a program's locks, how they were used, and what was not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from .common import Header, Holds, Quantiles

Recorder = Literal["library", "tracer", "kernel"]

WatchLevel = Literal["calls", "pages", "accesses"]
"""How closely mappings are watched: not at all, which pages are written between two calls, or each load and store."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The options of `watch`. `keep` is the folder of the logs, empty where they are not kept.

    Without a command `files`, or those of the process `pid`, were looked at as they were locked at that moment. The
    `recorder` is the preloaded library, a tracer from outside, or the kernel. With `strict`, notes count as faults;
    with `mounts`, so does what is stored through a mapping and not synced before the unlock. The fault of number
    `replay` is replayed, 0 for none, and the file that is left judged by `check`, if it is not empty.
    """

    command: list[str]
    copies: int
    files: list[str]
    ignore: list[str]
    suppress: list[str]
    time_limit_s: float
    keep: str
    level: WatchLevel = "calls"
    pid: int = 0
    recorder: Recorder = "library"
    strict: bool = False
    mounts: bool = False
    replay: int = 0
    check: str = ""


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """One call of a finding. `place` is its source line where that is known; `after_us` is from the first call.

    `source` and `line` are the innermost source line in the project: its path from the project's root, which is the
    nearest folder with .git, else the current one; empty and 0 where there is none.
    """

    process: int
    thread: int
    call: str
    place: str
    stack: list[str]
    after_us: float
    source: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class WatchStep:
    """One call that led to a finding, `own` if it is one of the finding itself; `after_us` is from the first step.

    `kind` is what was called: posix, ofd, flock, read, write, open, close, and so on. The call was about `length` bytes
    from `start` on, at most 2^62, the end of a file.
    """

    process: int
    thread: int
    call: str
    place: str
    after_us: float
    own: bool
    kind: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class WatchFinding:
    """One finding: its cause, its file, how often it was seen, and the calls of the first time.

    A `note` is told and is no fault: there are programs that do so by design. `steps` are what the processes did to
    the file before, between and after, and `reasons` say what follows from them, by their numbers from 1; of the first
    five of a cause and file, of others the `steps` are its calls. `at_ns` is
    the time of the first step from the start of the run. `suppress` is a suppression for accesses that look like those
    of a protocol without locks; empty where they do not.
    """

    cause: str
    note: bool
    file: str
    count: int
    calls: list[WatchedCall]
    steps: list[WatchStep] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    at_ns: int = 0
    suppress: str = ""


@dataclass(frozen=True, slots=True)
class LockedFile:
    """How one file was locked in one way. `contended` requests waited for somebody, `refused` ones got no lock.

    `longest` is where the lock was requested that was held longest.
    """

    file: str
    lock: str
    granted: int
    contended: int
    refused: int
    wait_ns: Quantiles | None
    hold_ns: Quantiles | None
    longest: str = ""


@dataclass(frozen=True, slots=True)
class WatchedProcess:
    """One process, and the last program that it executed."""

    pid: int
    program: str


@dataclass(frozen=True, slots=True)
class WatchTimeline:
    """Requests for locks, those around findings and the first of the run: one column for each fact.

    The workers of `holds` are numbers in `processes`, its times are from the start of the run, and its lengths are at
    most 2^62, the end of a file. `file` has numbers in `files`; `lock` the kind. `left_out` requests found no room.
    """

    processes: list[WatchedProcess] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    holds: Holds = field(default_factory=Holds)
    thread: list[int] = field(default_factory=list)
    file: list[int] = field(default_factory=list)
    lock: list[str] = field(default_factory=list)
    left_out: int = 0


def faults_of(findings: Sequence[WatchFinding]) -> list[WatchFinding]:
    """Return the findings that are faults."""
    return [each for each in findings if not each.note]


def groups_of(findings: Sequence[WatchFinding]) -> list[list[WatchFinding]]:
    """Put the findings of one cause and one file together, the faults first; in each those with both sides first."""
    groups: dict[tuple[str, str], list[WatchFinding]] = {}
    for each in sorted(findings, key=lambda found: -len({call.process for call in found.calls})):
        groups.setdefault((each.cause, each.file), []).append(each)
    return sorted(groups.values(), key=lambda group: (group[0].note, -sum(each.count for each in group)))


@dataclass(frozen=True, slots=True)
class ReplayedOrder:
    """One order of two calls on the real kernel: the call that was to pass first, and the one held until then.

    `why_not` says why the order could not be made, empty where it was. `damage` is what the check said of the file that
    was left, null without a check or without that order; empty for a right one.
    """

    first: str
    second: str
    why_not: str = ""
    damage: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The fault of this number in the report, replayed: first as its two calls were `seen`, then in the `other` order.

    `same_bytes` says whether both left the file with the same bytes, null where one could not be made. `refused` says
    why it was not replayed at all; empty where it was.
    """

    fault: int
    seen: ReplayedOrder | None = None
    other: ReplayedOrder | None = None
    same_bytes: bool | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class WatchedLocks:
    """What was recorded of a program's calls in a race, in so many `trials`, and what is wrong with its locking.

    `accesses` includes those that are `suppressed`, and so not judged. `not_seen` is what nothing is said about.
    """

    trials: int
    processes: int
    calls: int
    accesses: int
    suppressed: int
    findings: list[WatchFinding]
    locked: list[LockedFile]
    not_seen: list[str]

    @property
    def faults(self) -> list[WatchFinding]:
        """Return the findings that are faults."""
        return faults_of(self.findings)


@dataclass(frozen=True, slots=True)
class LockProcess:
    """One process that has a lock or waits for one, and the descriptors with which it does; none where not known."""

    pid: int
    command: str
    descriptors: list[int]


@dataclass(frozen=True, slots=True)
class LockNow:
    """One lock on a file at the moment of the look, or a request for one, which `waits`.

    Several `processes` share the open file that has the lock. `taker` is the process that requested it, as far as the
    kernel names it, else 0; only processes that are younger than the taker, its children, still have an `orphan`.
    `last` is the last byte, null for the end of the file. A request has waited for `waiting_s` seconds as far as that
    can be known (since the kernel last ran its thread), and is `behind` these processes.
    """

    file: str
    lock: str
    exclusive: bool
    start: int
    last: int | None
    waits: bool
    processes: list[LockProcess]
    taker: int = 0
    orphan: bool = False
    waiting_s: float | None = None
    behind: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LocksNow:
    """All locks on some files at one moment.

    `deadlocks` are rings of processes of which each waits for the next, and the last for the first. `unreadable` is how
    many processes could not be looked into, `unnamed` how many locks were listed whose process or descriptor was not
    found. `beside` are other names in the folder that begin as a file does and are locked.
    """

    files: list[str]
    locks: list[LockNow]
    deadlocks: list[list[int]]
    unreadable: int
    unnamed: int
    beside: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a copy of the command ended: its exit code, or the signal that ended it; `hung` ones the lab ended.

    `left_behind` is the process of one that did not end on SIGKILL, else 0.
    """

    copy: int
    exit_code: int
    signal: int
    hung: bool
    left_behind: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Header):
    """One invocation of `watch`: `files` is how many files were judged, `not_seen` what it can say nothing about.

    `accesses` includes those that are `suppressed`, and so not judged. Where no program was watched, `now` is how files
    were locked at one moment. `unused` are suppressions that left nothing out.
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
    now: LocksNow | None = None
    timeline: WatchTimeline = field(default_factory=WatchTimeline)
    unused: list[str] = field(default_factory=list)
    replayed: Replayed | None = None

    @property
    def faults(self) -> list[WatchFinding]:
        """Return the findings that are faults."""
        return self.findings if self.options.strict else faults_of(self.findings)
