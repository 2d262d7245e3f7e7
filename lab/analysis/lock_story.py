"""Tell what led to each finding: the calls of its processes in order, which locks were held, and why that follows.

The locks are followed once more, as far as the findings need it: which ones a process held at each call of a finding,
and the requests for locks around it, for a drawing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .held_locks import UNKNOWN, WAYS
from .lock_faults import Cause, Finding, Hold
from .lock_use import Judge, nothing
from .ordering import Clocks
from .watched import END, EXCLUSIVE, LOADS, LOCKS, RELEASED, STORES, Event, History, Kind

DATA = (*LOADS, *STORES)
ACCESSES = (*DATA, Kind.TRUNCATE, Kind.OPEN)
ENDS = (*LOCKS, Kind.CLOSE, Kind.EXEC, Kind.EXIT, Kind.UNLINK)
TOLD = (*LOCKS, *ACCESSES, Kind.CLOSE, Kind.FORK, Kind.EXEC, Kind.MAP, Kind.RENAME, Kind.UNLINK, Kind.INHERITED)

MOST_STEPS, FAR = 14, 2000
"""So many calls of a finding are told, and looked for so many events before and after its own."""

AROUND_NS = 1_000_000
"""A drawing shows the requests so long before and after the calls of a finding."""


class Request(NamedTuple):
    """One request for a lock: where it was made, and when it was released; None where nobody saw that."""

    event: Event
    start: int
    end: int
    released_ns: int | None


@dataclass
class Story:
    """The requests to draw, how many were left out, and the locks held at calls of findings."""

    requests: list[Request] = field(default_factory=list)
    left_out: int = 0
    held: dict[Event, list[Hold]] = field(default_factory=dict)


class _NoClocks(Clocks):
    """What orders processes does not matter where only locks are followed."""

    def learn(self, process: int, other: int) -> None:
        """Learn nothing."""

    def release(self, process: int, what: Hashable, start: int = 0, end: int = END, *, exclusive: bool = True) -> None:
        """Leave nothing behind."""

    def acquire(self, process: int, what: Hashable, start: int = 0, end: int = END, *, exclusive: bool = True) -> None:
        """Learn nothing."""


class _Follower(Judge):
    """The locks once more, without the accesses and without findings."""

    def __init__(self, history: History, findings: Sequence[Finding], most: int) -> None:
        super().__init__(history, lambda _: None, True, nothing)
        self._clocks = _NoClocks()
        self.story = Story()
        self._own = {event for each in findings for event in each.events}
        self._times = {event.time for event in self._own}
        self._windows = sorted(
            (
                min(event.begin for event in each.events) - AROUND_NS,
                max(_end(event) for event in each.events) + AROUND_NS,
            )
            for each in findings
        )
        self._begins = [begin for begin, _ in self._windows]
        self._longest = max((end - begin for begin, end in self._windows), default=0)
        self._room = [most // 2, most - most // 2]
        """For the first requests of the run, and for those around findings."""

    def follow(self) -> Story:
        calls = {kind: call for kind, call in self._calls().items() if kind not in DATA}
        last, left = max((end for _, end in self._windows), default=0), FAR
        for event in self._in_effect():
            if event.time in self._times and event in self._own:
                self.story.held[event] = list(self._holds_of(event.process))
            if call := calls.get(event.kind):
                call(event)
            if not self._room[0] and event.begin > last:  # so many events more, for the ends of what is held now
                left -= 1
                if not left:
                    break
        self._record_rest()
        self.story.requests.sort(key=lambda each: each.event.begin)
        return self.story

    def _access(self, event: Event, start: int, end: int, *, stores: bool) -> None:
        """Leave the accesses out."""

    def _found(self, cause: Cause, file: int, *events: Event) -> None:
        """Report nothing again."""

    def _lock(self, event: Event) -> None:
        super()._lock(event)
        if event.flags & 3 != RELEASED and not event.finish:
            self._keep_request(event, event.start, event.end, None)

    def _record(self, hold: Hold, file: int, released: int) -> None:
        self._keep_request(hold.event, hold.start, hold.end, None if released == UNKNOWN else released)

    def _keep_request(self, event: Event, start: int, end: int, released_ns: int | None) -> None:
        place = 1 if self._is_near(event.begin, released_ns or event.finish or event.begin) else 0
        if not self._room[place]:
            place = 0
        if self._room[place]:
            self._room[place] -= 1
            self.story.requests.append(Request(event, start, end, released_ns))
        else:
            self.story.left_out += 1

    def _is_near(self, begin: int, end: int) -> bool:
        """Tell whether the time overlaps a window around a finding."""
        at = bisect_right(self._begins, end)
        first = bisect_left(self._begins, begin - self._longest)
        return any(self._windows[number][1] >= begin for number in range(first, at))


def _end(event: Event) -> int:
    return max(event.begin, event.finish)


def follow(history: History, findings: Sequence[Finding], most: int) -> Story:
    """Return the locks around the findings, and at most so many requests: half of them the first of the run."""
    return _Follower(history, findings, most).follow()


def steps_of(history: History, found: Finding, held: dict[Event, list[Hold]]) -> list[Event]:
    """Return the calls that led to a finding, at most MOST_STEPS, in the order in which they began.

    They are its own, the requests for the locks held at them, the last request before and the next release after each,
    and what the same processes did to the file in between.
    """
    essential = dict.fromkeys(found.events)
    for event in found.events:
        essential.update(dict.fromkeys(hold.event for hold in held.get(event, ())))
        near = history.events.around(event.time, FAR, FAR)
        at = near.index(event) if event in near else bisect_left(near, event.time, key=lambda each: each.time)
        for other in (_before(near, at, event), _after(near, at, event)):
            if other is not None and len(essential) < MOST_STEPS:
                essential[other] = None
    spans: dict[int, list[int]] = defaultdict(list)
    for event in essential:
        spans[event.process].append(event.time)
    between: dict[Event, None] = {}
    for process, times in spans.items():
        for event in history.events.around(min(times), 0, FAR):
            if event.time > max(times):
                break
            if event.process == process and event.kind in TOLD and event.file in (found.file, -1):
                between[event] = None
    shown = between | essential
    if len(shown) > MOST_STEPS:
        others = sorted(
            (each for each in between if each not in essential),
            key=lambda each: min(abs(each.begin - own.begin) for own in found.events),
        )
        shown = essential | dict.fromkeys(others[: max(0, MOST_STEPS - len(essential))])
    return sorted(shown, key=lambda each: (each.begin, each.process))


def _before(events: Sequence[Event], at: int, event: Event) -> Event | None:
    """Return the last call of the same process before an access that locked or unlocked the file."""
    for other in reversed(events[:at]) if event.kind in ACCESSES else ():
        if other.process == event.process and other.kind in LOCKS and other.file == event.file:
            return other
    return None


def _after(events: Sequence[Event], at: int, event: Event) -> Event | None:
    """Return the next call of the same process that may end a lock on the file."""
    if event.kind in LOCKS and event.flags & 3 == RELEASED:
        return None
    for other in events[at + 1 :]:
        if other.process == event.process and other.kind in ENDS and other.file == event.file:
            return other if other.kind not in LOCKS or other.flags & 3 == RELEASED else None
    return None


BY_CALLS: dict[Cause, str] = {
    "dropped by a close": "{1} ends the lock of {0}, for the whole process",
    "locked twice": "{1} is granted though {0} still holds, because the process is the same",
    "two let in": "{1} is granted while {0} still holds",
    "converted": "{1} makes the shared lock of {0} exclusive",
    "locked a replaced file": "{0} locks the file that had the name before; {1} uses it, or what has the name now",
    "unlocked by another process": "{1} releases what {0} locked",
    "kept by a child": "{1} closes the file, and the lock of {0} goes on: another process still has it open",
    "opposite order": "{0} is held while {1} is requested, and {2} while {3} is: each can wait for the other",
    "still waiting": "{1} waits for the lock of {0} until the end",
    "cut below a mapping": "{1} makes the file shorter while the mapping of {0} is there",
    "appended in pieces": "between {0} and {1} another process appended",
    "went on without the lock": "{0} got no lock, and {1} stores",
    "written under a shared lock": "{0} lets others in that share it, and {1} stores",
}
"""What follows from the calls of a finding, by the numbers of its steps, where they are not two unordered accesses."""


def reasons_of(found: Finding, steps: Sequence[Event], held: dict[Event, list[Hold]]) -> Iterator[str]:
    """Yield what follows from the steps, which are numbered from 1."""
    numbers = {step: number for number, step in enumerate(steps, 1)}
    own = [numbers[event] for event in found.events if event in numbers]
    accesses = [event for event in found.events if event.kind in ACCESSES]
    unordered = len(accesses) > 1 and accesses[0].process != accesses[1].process
    if not unordered:
        template = BY_CALLS.get(found.cause, "")
        if template and len(own) > max(int(each) for each in "0123" if f"{{{each}}}" in template):
            yield template.format(*own)
    elif found.cause == "dropped by a close":
        yield from _drops(steps)
    elif found.cause == "read before the lock":
        read = next((each for each in accesses[:2] if each.process == accesses[-1].process), accesses[0])
        yield f"{own[-1]} stores what {numbers[read]} had read before the lock"
    if found.cause not in ("appended in pieces", "opposite order", "cut below a mapping"):
        for event in accesses[: 2 if unordered else 1]:
            yield f"{numbers[event]} happens {_under(event, held.get(event, ()), numbers)}"
    if unordered and found.cause != "appended in pieces":
        yield f"{own[0]} may come before or after {own[1]}: nothing that was seen orders them"


def _drops(steps: Sequence[Event]) -> Iterator[str]:
    """Yield which close among the steps ends which POSIX lock."""
    locked: dict[int, int] = {}
    for number, step in enumerate(steps, 1):
        if step.kind is Kind.POSIX:
            locked.pop(step.process, None)
            if step.flags & 3 != RELEASED and not step.result:
                locked[step.process] = number
        elif step.kind in (Kind.CLOSE, Kind.EXEC) and step.process in locked:
            yield f"{number} ends the lock of {locked.pop(step.process)}, for the whole process"


def _under(event: Event, holds: Sequence[Hold], numbers: dict[Event, int]) -> str:
    if not holds:
        return "under no lock"
    names = []
    for hold in holds:
        mode = "" if hold.exclusive else "shared "
        where = f" of {numbers[hold.event]}" if hold.event in numbers else f" ({way_of(hold.event)})"
        names.append(f"the {mode}lock{where}")
    return f"under {' and '.join(dict.fromkeys(names))}"


def way_of(event: Event) -> str:
    """Return the kind of lock that a call takes."""
    return WAYS.get(event.kind, "lock file")


def is_exclusive(event: Event) -> bool:
    """Return whether a request is for an exclusive lock; a lock file is one."""
    return event.kind not in LOCKS or bool(event.flags & EXCLUSIVE)


def is_protocol(found: Finding) -> bool:
    """Tell whether both accesses are to aligned words of at most 8 bytes, as a protocol without locks uses them."""
    data = [event for event in found.events if event.kind in DATA]
    return found.cause == "no lock" and len(data) > 1 and all(_is_word(event) for event in data)


def _is_word(event: Event) -> bool:
    length = event.end - event.start
    return length in (1, 2, 4, 8) and event.start % length == 0
