"""Read the events of several logs as one history by time, in pieces: however long it is, little of it is in memory.

Of each log the times of its events and their kinds are kept, 9 bytes an event. The events themselves are read and
unpacked when they are asked for, some ten thousand of all logs together. The calls of one thread are in order in its
log; where several threads write to one, and calls wait, their order by time is kept too.
"""

from __future__ import annotations

import heapq
import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter, itemgetter
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from lab.analysis.held_locks import SOME_CHILD
from lab.analysis.watched import END, LOADS, LOCKS, RELEASED, STORES, Event, Kind

EVENT, FLAGS = Struct("<QQqqIIiiiiHHI"), 11
"""How an event is written, and the place of its flags."""
HEAD = 4096

IN_MEMORY = 1 << 15
"""So many events of all logs together are unpacked at a time."""

AT_A_TIME = 1 << 16
"""So many events of one log are looked through at a time."""

DATA = (*LOADS, *STORES)
RELEASES = (Kind.CLOSE, Kind.SEND, Kind.LEAVE, Kind.UNMAP, Kind.RENAME, Kind.UNLINK, Kind.EXIT)
AT_ONCE = (*RELEASES, Kind.LOAD, Kind.STORE, Kind.ATOMIC, Kind.OPENED, Kind.CLOSED)
"""What counts from its first stamp."""

BLOCK = 1 << 12
"""So many events are read together where only some of them are asked for."""

NOTHING = 0
"""The kind of an event that its process had not completed when it was killed."""

KINDS: list[Kind] = [Kind.START, *Kind]
"""The kinds by their numbers; nothing has number 0."""

COUNTS_AT_ONCE = bytes(kind in AT_ONCE or kind == NOTHING for kind in range(256))
IS_RELEASE = bytes(flags & 3 == RELEASED for flags in range(256))
IS_KNOWN = bytes(range(max(Kind) + 1))


class LogEvents:
    """The events of one log: when each counts, and what kind it is."""

    def __init__(self, path: Path, count: int, parent: int, started: int, forked: int) -> None:
        """Look through a log with so many events. Raises ValueError for a kind that is not known, and OSError."""
        self.path, self.parent, self.started, self.forked = path, parent, started, forked
        self.times, self.kinds = array("q"), bytearray()
        self.order: array[int] | None = None
        """The place in the log of each event by time, where that is another one."""
        self.last = 0
        """The time of the last call that returned."""
        in_order = True
        with path.open("rb") as file:
            file.seek(HEAD)
            for at in range(0, count, AT_A_TIME):
                times = self._look_through(file.read(EVENT.size * min(AT_A_TIME, count - at)))
                in_order = in_order and times == sorted(times) and (not self.times or self.times[-1] <= times[0])
                self.times.extend(times)
        if not in_order:
            self.order = array("I", sorted(range(len(self.times)), key=self.times.__getitem__))
            self.times = array("q", map(self.times.__getitem__, self.order))
        self.count = len(self.times) - self.kinds.count(NOTHING)

    def _look_through(self, raw: bytes) -> list[int]:
        """Return the times of these events."""
        words = memoryview(raw).cast("Q")
        kinds, flags, finishes = raw[56 :: EVENT.size], raw[58 :: EVENT.size], words[1::8].tolist()
        if unknown := kinds.translate(None, IS_KNOWN):
            raise ValueError(f"kind {unknown[0]}")
        self.kinds += kinds
        at_once, released = kinds.translate(COUNTS_AT_ONCE), flags.translate(IS_RELEASE)
        begun = words[0::8].tolist()
        times = [
            begin if once or release or not finish else finish
            for begin, finish, once, release in zip(begun, finishes, at_once, released, strict=True)
        ]
        if finished := [time for time, finish in zip(times, finishes, strict=True) if finish]:
            self.last = max(self.last, max(finished))
        for found in re.finditer(b"[\x00%c]" % Kind.FORK, kinds):
            times[found.start()] = self.forked if kinds[found.start()] else END
        if 0 in finishes:
            for at, finish in enumerate(finishes):
                if not finish and kinds[at] in LOCKS and not released[at]:
                    times[at] = END  # it waits to the end
        return times

    def rows(self, first: int, last: int) -> Iterator[tuple[int, ...]]:
        """Yield the fields of the events from `first` up to, not including, `last`, by time."""
        if self.order is None:
            yield from EVENT.iter_unpack(self._read(first, last))
            return
        places = self.order[first:last]
        low, high = min(places, default=0), max(places, default=-1) + 1
        if high - low <= 2 * IN_MEMORY + 8 * len(places):
            raw = self._read(low, high)
            yield from (EVENT.unpack_from(raw, (place - low) * EVENT.size) for place in places)
        else:
            yield from (EVENT.unpack(self._read(place, place + 1)) for place in places)

    def rows_of(self, kinds: Collection[Kind], at_a_time: int = BLOCK) -> Iterator[tuple[int, ...]]:
        """Yield the fields of the events of these kinds, in the order of the log; so many are read together."""
        wanted = re.compile(b"[%b]" % b"".join(b"\\x%02x" % kind for kind in kinds))
        read, raw = -1, b""
        for found in wanted.finditer(self.kinds):
            block, place = divmod(found.start(), at_a_time)
            if block != read:
                read, raw = block, self._read(block * at_a_time, min((block + 1) * at_a_time, len(self.kinds)))
            yield EVENT.unpack_from(raw, place * EVENT.size)

    def _read(self, first: int, last: int) -> bytes:
        with self.path.open("rb") as file:
            return os.pread(file.fileno(), (last - first) * EVENT.size, HEAD + first * EVENT.size)


class Source(NamedTuple):
    """A log, and the places in the history of its process, its image and its files by their numbers in it."""

    events: LogEvents
    process: int
    image: int
    files: dict[int, int]


class MergedEvents:
    """The events of all logs of a run, by time; `process_at` finds the process that had a number at a time."""

    def __init__(self, sources: Sequence[Source], process_at: Callable[[int, int], int]) -> None:
        self._sources = sources
        self._process_at = process_at
        self._most = sum(source.events.count for source in sources)

    def __len__(self) -> int:
        return self._most

    def cut(self, most: int) -> None:
        """Leave out what comes after the first so many events."""
        self._most = min(self._most, most)

    def __iter__(self) -> Iterator[Event]:
        return islice(self._merged(), self._most)

    def of_kinds(self, kinds: Collection[Kind]) -> Iterator[Event]:
        """Yield the events of these kinds, those of each log in its order."""
        for source in self._sources:
            yield from self._unpacked(source, source.events.rows_of(kinds))

    def requests(self) -> Iterator[Event]:
        """Yield the requests for locks by `begin`."""
        at_a_time = max(1, IN_MEMORY // max(1, len(self._sources)))
        rows = ((source, source.events.rows_of(LOCKS, at_a_time)) for source in self._sources)
        asked = (self._unpacked(source, (row for row in its if row[FLAGS] & 3 != RELEASED)) for source, its in rows)
        yield from heapq.merge(*asked, key=attrgetter("begin"))

    def last_times(self) -> dict[int, int]:
        """Return the time of the last call of each process that returned."""
        last: dict[int, int] = {}
        for source in self._sources:
            last[source.process] = max(last.get(source.process, 0), source.events.last)
        return last

    def around(self, time: int, before: int, after: int) -> list[Event]:
        """Return so many before a time, and so many from it on."""
        found: list[Event] = []
        for source in self._sources:
            times = source.events.times
            at = bisect_left(times, time)
            rows = source.events.rows(max(0, at - before), min(len(times), at + after))
            found += self._unpacked(source, rows)
        found.sort(key=itemgetter(0, 1))
        at = bisect_left(found, time, key=itemgetter(0))
        return found[max(0, at - before) : at + after]

    def _merged(self) -> Iterator[Event]:
        places = [0] * len(self._sources)
        ends = [len(source.events.times) for source in self._sources]
        while places != ends:
            until = self._end_of_piece(places)
            piece: list[Event] = []
            for number, source in enumerate(self._sources):
                first, last = places[number], bisect_right(source.events.times, until, places[number])
                if first < last:
                    piece += self._unpacked(source, source.events.rows(first, last))
                    places[number] = last
            piece.sort(key=itemgetter(0, 1))
            yield from piece

    def _end_of_piece(self, places: Sequence[int]) -> int:
        """Return the time up to which there are as many events as are unpacked at a time."""
        low, high = 0, END
        while low < high:
            middle = (low + high) // 2
            if sum(self._up_to(middle, places)) >= IN_MEMORY:
                high = middle
            else:
                low = middle + 1
        return low

    def _up_to(self, time: int, places: Sequence[int]) -> Iterator[int]:
        for source, place in zip(self._sources, places, strict=True):
            yield bisect_right(source.events.times, time, place) - place

    def _unpacked(self, source: Source, rows: Iterable[tuple[int, ...]]) -> Iterator[Event]:
        """Yield the events of rows of a log."""
        log, process, image, files = source
        keys: dict[int, tuple[int, int]] = {}
        process_at = self._process_at
        for begin, finish, start, length, file, stack, fd, other, result, thread, kind, flags, _ in rows:
            if kind == NOTHING:
                continue
            called, releases = KINDS[kind], flags & 3 == RELEASED
            time = finish if finish and not releases and not COUNTS_AT_ONCE[kind] else begin
            end = start + length if length or called in DATA else END
            if not finish and not releases and called in LOCKS:
                time = END
            elif called is Kind.FORK:
                time, other = log.forked, process_at(log.parent, log.forked)
            elif called is Kind.START:
                other = process_at(log.parent, log.started)
            elif called is Kind.WAITED:
                other = process_at(other, begin) if other else SOME_CHILD
            elif called is Kind.RENAME:
                start = files.get(start, -1)
            key = keys.get(stack) or keys.setdefault(stack, (image, stack))
            yield Event.__new__(
                Event, time, process, called, files.get(file, -1), start, end, fd, other, -result, flags, begin, finish,
                key, thread,
            )  # fmt: skip
