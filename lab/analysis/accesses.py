"""Order recorded loads and stores, as far as the clock shows.

An access happened at some moment between two looks at the clock. Of two whose intervals overlap the order is unknown;
otherwise it is certain, CLOCK_MONOTONIC being one clock for all processes (clock_gettime(2)).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LOAD, STORE, REPORT = range(3)
"""The kinds of an access; a report is corruption that the worker saw and reported, and touches no bytes."""

MOST_CELLS = 2_000_000
"""The most cells of all stores together that are searched; a store of each of two workers to one place is two."""

ENDLESS = 1 << 63
"""The end of an access whose worker ended before it."""


class Access(NamedTuple):
    """One access of a worker in one of its rounds; `data` is what was loaded or stored, as far as it was kept."""

    begun_ns: int
    ended_ns: int
    worker: int
    round: int
    what: int
    start: int
    length: int
    data: bytes

    @property
    def end(self) -> int:
        """Return one past the last byte."""
        return self.start + self.length

    @property
    def whole(self) -> bool:
        """Tell whether all of its bytes were kept."""
        return len(self.data) == self.length

    def at(self, start: int, end: int) -> bytes:
        """Return its bytes from `start` to `end` of the file."""
        return self.data[start - self.start : end - self.start]

    def before(self, other: Access) -> bool:
        """Tell whether it was certainly over when the other began."""
        return self.ended_ns <= other.begun_ns


class Cells:
    """The memory cut at every place where an access begins or ends: each access covers whole cells."""

    def __init__(self, accesses: Sequence[Access]) -> None:
        touching = [access for access in accesses if access.length]
        self._cuts = sorted({access.start for access in touching} | {access.end for access in touching})

    def of(self, access: Access) -> range:
        """Return the numbers of its cells."""
        return range(bisect_left(self._cuts, access.start), bisect_left(self._cuts, access.end))

    def bounds(self, cell: int) -> tuple[int, int]:
        """Return the first byte and one past the last."""
        return self._cuts[cell], self._cuts[cell + 1]


class Stores:
    """The stores of each worker to each cell, in the order in which it made them."""

    def __init__(self, accesses: Sequence[Access], cells: Cells) -> None:
        """Raise ValueError where there are too many to search."""
        self._begun: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._found: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._accesses = accesses
        if sum(len(cells.of(access)) for access in accesses if access.what == STORE) > MOST_CELLS:
            raise ValueError(f"stores overlap in more than {MOST_CELLS:,} places")
        for number, access in enumerate(accesses):
            if access.what == STORE:
                for cell in cells.of(access):
                    self._begun[cell][access.worker].append(access.begun_ns)
                    self._found[cell][access.worker].append(number)

    def cells(self) -> list[int]:
        """Return the cells that were stored to."""
        return sorted(self._found)

    def all(self, cell: int) -> list[int]:
        """Return every store to a cell."""
        return sorted(number for numbers in self._found[cell].values() for number in numbers)

    def between(self, cell: int, after_ns: int, until_ns: int, *, but: int) -> Iterator[int]:
        """Yield the stores of other workers that ended after one moment and began before another, latest first."""
        for worker, begun in self._begun[cell].items() if cell in self._begun else ():
            if worker == but:
                continue
            for at in range(bisect_left(begun, until_ns) - 1, -1, -1):
                number = self._found[cell][worker][at]
                if self._accesses[number].ended_ns <= after_ns:
                    break
                yield number

    def latest(self, cell: int, until_ns: int, count: int) -> Iterator[int]:
        """Yield the last few stores of every worker that began before a moment."""
        for worker, begun in self._begun[cell].items() if cell in self._begun else ():
            last = bisect_right(begun, until_ns)
            yield from self._found[cell][worker][max(0, last - count) : last]
