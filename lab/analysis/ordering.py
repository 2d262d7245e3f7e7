"""Order the accesses of several processes: happens-before by vector clocks over what releases and what acquires.

A process has a clock, and knows of the others' clocks what reached it: a release of bytes leaves a copy of the
releaser's knowledge behind, and the next request for overlapping bytes that excludes it takes that over. Two accesses
to the same byte, at least one a store, of which neither is known to the other are *unordered*: nothing that was seen
keeps them apart, whatever they did to the data in this run. Source: Lamport, "Time, clocks, and the ordering of events
in a distributed system" (1978); Flanagan and Freund, "FastTrack" (2009), for what is kept of each byte.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from .watched import END, Event

Knowledge = dict[int, int]
"""What is known of each process: the number of its releases."""


class Clocks:
    """What each process knows of the others, and what releases left behind."""

    def __init__(self) -> None:
        self._known: dict[int, Knowledge] = defaultdict(dict)
        self._left: dict[Hashable, _Left] = defaultdict(_Left)

    def now(self, process: int) -> int:
        """Return the clock of a process."""
        return self._known[process].setdefault(process, 1)

    def knows(self, process: int, other: int, clock: int) -> bool:
        """Tell whether what the other did at that clock happened before what the process does now."""
        return self._known[process].get(other, 0) >= clock

    def learn(self, process: int, other: int) -> None:
        """Let a process know all that another knows now; that one's clock goes on."""
        self.now(other)
        _join(self._known[process], self._known[other])
        self._known[other][other] += 1
        self.now(process)

    def release(self, process: int, what: Hashable, start: int = 0, end: int = END, *, exclusive: bool = True) -> None:
        """Leave the knowledge of a process behind on a range of something."""
        self.now(process)
        left = self._left[what]
        each = left.at(start, end)
        _join(each.exclusive if exclusive else each.shared, self._known[process])
        left.count += 1
        left.own[process] += 1
        self._known[process][process] += 1

    def released_by_others(self, process: int, what: Hashable) -> int:
        """Return how often something was released by others than this process: the same number is no news."""
        left = self._left.get(what)
        return left.count - left.own.get(process, 0) if left else 0

    def acquire(self, process: int, what: Hashable, start: int = 0, end: int = END, *, exclusive: bool = True) -> None:
        """Let a process know what was left behind on overlapping ranges, by those that it excludes."""
        known, left, others = self._known[process], self._left.get(what), self.released_by_others(process, what)
        if left and left.had.get((process, start, end, exclusive), 0) != others:
            left.had[process, start, end, exclusive] = others
            for each in left.over(start, end):
                _join(known, each.exclusive)
                if exclusive:
                    _join(known, each.shared)
        self.now(process)


@dataclass(slots=True)
class _Left:
    """What releases left behind on ranges of one thing; how many there were, also of each process."""

    count: int = 0
    own: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    had: dict[tuple[int, int, int, bool], int] = field(default_factory=dict)
    """How many releases of others there had been when a process last acquired a range."""
    _released: dict[tuple[int, int], _Released] = field(default_factory=dict)
    _places: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """The ranges in order, those of one size together: shorter than `1 << size`."""

    def at(self, start: int, end: int) -> _Released:
        """Return what was left on exactly this range."""
        if (start, end) not in self._released:
            self._released[start, end] = _Released()
            insort(self._places[(end - start).bit_length()], (start, end))
        return self._released[start, end]

    def over(self, start: int, end: int) -> Iterator[_Released]:
        """Yield what was left on ranges that overlap this one."""
        for size, places in self._places.items():
            first, last = bisect_left(places, (start - (1 << size), 0)), bisect_left(places, (end, 0))
            yield from (self._released[place] for place in places[first:last] if place[1] > start)


@dataclass(slots=True)
class _Released:
    exclusive: Knowledge = field(default_factory=dict)
    shared: Knowledge = field(default_factory=dict)


def _join(known: Knowledge, more: Knowledge) -> None:
    for process, clock in more.items():
        if known.get(process, 0) < clock:
            known[process] = clock


@dataclass(slots=True)
class _Bytes:
    """The last accesses to some bytes: the last store, and the last load of each process since."""

    store: tuple[int, int, Event] | None = None
    loads: dict[int, tuple[int, Event]] = field(default_factory=dict)

    def copy(self) -> _Bytes:
        return _Bytes(self.store, dict(self.loads))


class Accesses:
    """The accesses to one file: which bytes were last loaded and stored by whom."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._starts: list[int] = [0]
        self._bytes: list[_Bytes] = [_Bytes()]

    def load(self, event: Event, start: int, end: int) -> Iterator[Event]:
        """Note a load and yield the stores that are unordered with it."""
        process, clock = event.process, self._clocks.now(event.process)
        for each in self._cut(start, end):
            yield from self._unordered_store(each, process)
            each.loads[process] = clock, event

    def store(self, event: Event, start: int, end: int) -> Iterator[Event]:
        """Note a store and yield the loads and stores that are unordered with it."""
        process, clock = event.process, self._clocks.now(event.process)
        for each in self._cut(start, end):
            yield from self._unordered_store(each, process)
            for other, (seen, load) in each.loads.items():
                if other != process and not self._clocks.knows(process, other, seen):
                    yield load
            each.store = process, clock, event
            each.loads.clear()

    def _unordered_store(self, each: _Bytes, process: int) -> Iterator[Event]:
        if each.store and each.store[0] != process and not self._clocks.knows(process, *each.store[:2]):
            yield each.store[2]

    def _cut(self, start: int, end: int) -> list[_Bytes]:
        """Return the pieces of a range, cut at its ends."""
        for at in (start, end):
            place = bisect_right(self._starts, at) - 1
            if self._starts[place] != at and at < END:
                self._starts.insert(place + 1, at)
                self._bytes.insert(place + 1, self._bytes[place].copy())
        return self._bytes[bisect_left(self._starts, start) : bisect_left(self._starts, end)]
