"""Follow the words of shared memory that processes synchronise by: those that an atomic instruction ever touched.

A store to such a word releases: what its process did before is known to whoever loads it later. A load is recorded
before it happens, and its process may be preempted in between, so it acquires as late as the next event of its thread.
Where the accesses to a page were not recorded for a while, it is taken for granted that every word in it was stored to
and loaded all the time: a missing report is better than a false one. So it is with a whole mapping whose accesses are
not recorded, if words in it are known: SQLite's index of its WAL tells readers, without a lock, what a writer has done.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .ordering import Clocks
from .watched import END, STAYS, Event, Kind

THROUGH_MAPPINGS = (Kind.LOAD, Kind.STORE, Kind.ATOMIC, Kind.OPENED, Kind.CLOSED)
LEAVES_OPEN = (*THROUGH_MAPPINGS, Kind.READ, Kind.WRITE, Kind.OPEN)
"""Kinds before which the library does not close the pages that it had opened."""


KnownWords = Mapping[int, Iterable[tuple[int, int]]]
"""The bytes of each file that are known to order processes: from, up to not including."""


class _Open(NamedTuple):
    """A page that is used unseen, and the words in it."""

    event: Event
    words: list[tuple[int, int]]


class Words:
    """The words of a history, and what is released and acquired by them."""

    def __init__(self, atomic: Iterable[Event], clocks: Clocks, known: KnownWords) -> None:
        """Find the words: those that are accessed by atomic instructions, and those that are `known`."""
        self._clocks = clocks
        self._ranges: dict[int, list[tuple[int, int]]] = {}
        self._late: dict[int, list[Event]] = defaultdict(list)
        """Loads of each process that may not have happened yet."""
        self._open: dict[int, dict[int, list[_Open]]] = defaultdict(lambda: defaultdict(list))
        """The pages of each file that each process uses unseen."""
        self._had: dict[tuple[int, int], int] = {}
        """How often others had released words of a file when a process last acquired those in its open pages."""
        self._known = known
        self._mapped: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
        """From when to when each process had each file mapped whose known words are accessed unseen."""
        found: dict[int, set[tuple[int, int]]] = defaultdict(set)
        for event in atomic:
            found[event.file].add((event.start, event.end))
        for file, more in known.items():
            found[file].update(more)
        for file, ranges in found.items():
            merged = self._ranges[file] = [(-1, -1)]
            for start, end in sorted(ranges):
                if start < merged[-1][1]:
                    merged[-1] = merged[-1][0], max(end, merged[-1][1])
                else:
                    merged.append((start, end))

    def within(self, event: Event) -> list[tuple[int, int]]:
        """Return the parts of an access that are such words."""
        ranges = self._ranges.get(event.file)
        if ranges is None:
            return []
        found = []
        for at in range(max(0, bisect_right(ranges, (event.start, -1)) - 1), len(ranges)):
            start, end = max(ranges[at][0], event.start), min(ranges[at][1], event.end)
            if ranges[at][0] >= event.end:
                break
            if start < end:
                found.append((start, end))
        return found

    def access(self, event: Event) -> Iterator[tuple[int, int]]:
        """Note an access through a mapping and yield the parts of it that are data."""
        at = event.start
        for start, end in self.within(event):
            if event.kind is not Kind.STORE:
                self._late[event.process].append(event._replace(start=start, end=end))
            if event.kind is not Kind.LOAD:
                self._clocks.release(event.process, ("word", event.file), start, end)
                if event.finish > event.begin and event.file in self._known:  # stored to again, after other accesses
                    self._open[event.file][event.process].append(_Open(event, [(start, end)]))
            if at < start:
                yield at, start
            at = end
        if at < event.end:
            yield at, event.end

    def opened(self, event: Event) -> None:
        """A page is used from now on without being seen, until its process does what orders it."""
        if words := self.within(event):
            self._open[event.file][event.process].append(_Open(event, words))
            for start, end in words:
                self._clocks.acquire(event.process, ("word", event.file), start, end)

    def mapped(self, event: Event) -> None:
        """A file is mapped from now on, and the accesses are not seen."""
        if event.file in self._known:
            self._mapped[event.file].setdefault(event.process, (event.time, END))

    def unmapped(self, event: Event) -> None:
        """It was mapped until now."""
        its = self._mapped.get(event.file, {})
        if event.process in its:
            its[event.process] = its[event.process][0], event.time

    def forked(self, event: Event) -> None:
        """A child has the mappings of its parent."""
        for its in self._mapped.values():
            if event.other in its and its[event.other][1] == END:
                its[event.process] = event.time, END

    def may_order(self, first: Event, second: Event) -> bool:
        """Tell whether words that are accessed unseen may order two accesses: all that has both has them mapped."""
        return any(
            first.process in its
            and second.process in its
            and first.time <= its[first.process][1]
            and its[second.process][0] <= second.time
            for its in self._mapped.values()
        )

    def before(self, event: Event) -> None:
        """Let what a process has loaded count, as it begins something else."""
        if late := self._late.get(event.process):
            for load in late:
                self._acquire(load)
            self._late[event.process] = [
                load for load in late if load.thread != event.thread or load.finish > event.begin
            ]  # fmt: skip
        for file, pages in self._open.items():
            if event.process in pages:
                pages[event.process] = self._still_open(file, pages[event.process], event)

    def _still_open(self, file: int, pages: list[_Open], event: Event) -> list[_Open]:
        """Let a process's unseen loads of the words in open pages count, and its stores where it orders itself."""
        others = self._clocks.released_by_others(event.process, ("word", file))
        has_news = self._had.get((file, event.process), -1) != others
        stays = event.kind in LEAVES_OPEN and event.kind is not Kind.CLOSED
        if stays and not has_news and len(self._open[file]) == 1:
            return pages
        words = [word for page in pages for word in page.words]
        if has_news:
            for start, end in words:
                self._clocks.acquire(event.process, ("word", file), start, end)
            self._had[file, event.process] = others
        self._learn(event.process, file, words)
        if not stays:
            for start, end in words:
                self._clocks.release(event.process, ("word", file), start, end)
        if event.kind is Kind.CLOSED:
            return [page for page in pages if (file, page.event.start) != (event.file, event.start)]
        return [page for page in pages if event.kind in LEAVES_OPEN or page.event.flags & STAYS]

    def _acquire(self, load: Event) -> None:
        self._clocks.acquire(load.process, ("word", load.file), load.start, load.end)
        self._learn(load.process, load.file, [(load.start, load.end)])

    def _learn(self, process: int, file: int, words: list[tuple[int, int]]) -> None:
        """Let a process know all of those that use a page with one of the words unseen."""
        for other, pages in self._open.get(file, {}).items():
            if other != process and any(
                page.event.start < end and start < page.event.end for page in pages for start, end in words
            ):
                self._clocks.learn(process, other)
