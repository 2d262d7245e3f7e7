"""Define what is judged about a watched program: its calls on files, in the order in which they took effect.

`lab.watching.log` reads them from what the program left. All judging is pure: a history in, findings out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter
from typing import Literal, NamedTuple, Protocol

END = 1 << 62
"""The end of a range that runs to the end of the file, however long it becomes."""


class Kind(IntEnum):
    """What was called; the numbers are those of `enum kind` in _watch.h."""

    START = 1
    EXIT = 2
    FORK = 3
    EXEC = 4
    WAITED = 5
    OPEN = 6
    TAKEN = 7
    CLOSE = 8
    DUP = 9
    INHERITED = 10
    POSIX = 11
    OFD = 12
    FLOCK = 13
    READ = 14
    WRITE = 15
    TRUNCATE = 16
    MAP = 17
    UNMAP = 18
    RENAME = 19
    UNLINK = 20
    RECEIVE = 21
    SEND = 22
    ENTER = 23
    LEAVE = 24
    LOAD = 25
    STORE = 26
    ATOMIC = 27
    OPENED = 28
    PAGE = 29
    CLOSED = 30
    SYNCED = 31


EXCLUSIVE, RELEASED, WAITS, APPENDS, ENDS_LINE, SEEN, UNDECODED, STAYS = 1, 2, 4, 8, 16, 32, 64, 128
"""Flags of an event. The lowest two bits are the mode of a lock: 0 shared, 1 exclusive, 2 released. The accesses to a
mapping that is SEEN are events; an instruction that is UNDECODED is not. A page that was OPENED and STAYS so is used
unseen until it is CLOSED, any other until the next call that orders processes."""

LOCKS = (Kind.POSIX, Kind.OFD, Kind.FLOCK)
LOADS, STORES = (Kind.READ, Kind.LOAD), (Kind.WRITE, Kind.STORE, Kind.ATOMIC)
"""The kinds of an access to data, by calls and through mappings."""


class Event(NamedTuple):
    """One call of one process; of a PAGE some bytes were stored before it, and after the call before it.

    `time` is when it counts, in ns of CLOCK_MONOTONIC: the first stamp of a call that releases, else the second. What a
    request for a lock in another mode gives up counts from the first (`HeldLocks`).
    `begin` and `finish` are both stamps; `finish` is 0 where the call never returned. `process` and `file` are places
    in the lists of the history, -1 where there is none. The range runs from `start` up to, not including, `end`.
    Of an access through a mapping that was made again before the process did anything that orders it, `begin` is the
    first time and `finish` the last.
    `result` is 0 or an errno. `stack` is the place of an image in the history, and a key of its stacks.
    """

    time: int
    process: int
    kind: Kind
    file: int
    start: int
    end: int
    fd: int
    other: int
    result: int
    flags: int
    begin: int
    finish: int
    stack: tuple[int, int]
    thread: int


@dataclass(slots=True)
class WatchedProcess:
    """One process, with the programs that it executed, one after the other."""

    pid: int
    parent: int
    started_ns: int
    programs: list[str] = field(default_factory=list)
    lost: int = 0
    full: bool = False
    ended: bool = False


@dataclass(slots=True)
class WatchedFile:
    """One file: its name when it was first seen, and the names that it was given."""

    path: str
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Image:
    """One log: the program of a process, its stacks as addresses or lines of Python or Java, and where code is loaded.

    `who` is the same in another run: the number of the copy, then of a child among the children of its parent, and so
    on, with dots between; empty for a program that a child executed.
    """

    process: int
    who: str = ""
    stacks: dict[int, list[int]] = field(default_factory=dict)
    interpreted: dict[int, list[tuple[str, int, str]]] = field(default_factory=dict)
    code: list[tuple[int, int, int, str]] = field(default_factory=list)


class Events(Protocol):
    """The events of a history by `time`, as often as they are asked for; there may be more than fit in memory."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __iter__(self) -> Iterator[Event]:
        """Yield all by time."""

    def of_kinds(self, kinds: Collection[Kind]) -> Iterator[Event]:
        """Yield those of some kinds, in the order in which each program called."""

    def requests(self) -> Iterator[Event]:
        """Yield the requests for locks by `begin`."""

    def last_times(self) -> dict[int, int]:
        """Return the time of the last call of each process that returned."""

    def around(self, time: int, before: int, after: int) -> list[Event]:
        """Return so many before a time, and so many from it on."""

    def cut(self, most: int) -> None:
        """Leave out what comes after the first so many."""


class EventList(list[Event]):
    """Events that are there already."""

    def of_kinds(self, kinds: Collection[Kind]) -> Iterator[Event]:
        """Yield those of some kinds."""
        return (event for event in self if event.kind in kinds)

    def requests(self) -> Iterator[Event]:
        """Yield the requests for locks by `begin`."""
        asked = (event for event in self.of_kinds(LOCKS) if event.flags & 3 != RELEASED)
        yield from sorted(asked, key=attrgetter("begin"))

    def last_times(self) -> dict[int, int]:
        """Return the time of the last call of each process that returned."""
        return {event.process: event.time for event in self if event.finish}

    def around(self, time: int, before: int, after: int) -> list[Event]:
        """Return so many before a time, and so many from it on."""
        at = bisect_left(self, time, key=lambda event: event.time)
        return self[max(0, at - before) : at + after]

    def cut(self, most: int) -> None:
        """Leave out what comes after the first so many."""
        del self[most:]


@dataclass(slots=True)
class History:
    """All that was recorded: events by `time`, and what they refer to.

    `escaped` are programs without a log, `unrecorded` is how many processes could not make one, and `limits` are what
    the recorder says that it did not see. `level` is how closely mappings were watched.
    """

    processes: list[WatchedProcess]
    files: list[WatchedFile]
    images: list[Image]
    events: Events
    escaped: list[str]
    unrecorded: int = 0
    limits: list[str] = field(default_factory=list)
    level: Literal["calls", "pages", "accesses"] = "calls"
    recorder: Literal["library", "tracer", "kernel"] = "library"
