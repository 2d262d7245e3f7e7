"""Model what a power failure leaves of a mapped file: each unit as it was at some moment since it was last synced.

The kernel may write a changed page back at any moment, in any order, and as often as it likes; only a sync promises
that what was stored is on the disk (msync(2), fsync(2)). So of each unit only the set of its contents since the last
sync matters: a store adds one, a sync leaves the present one. The units fail each for itself. A unit is as long as what
the disk writes whole: a page, a sector, or a cache line of memory that is itself the disk.

msync(2) takes whole pages: POSIX says "those whole pages containing any part of the address space".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod

PAGE = 4096
"""The length of a page, in bytes, of which a sync takes all."""

Versions = Mapping[int, frozenset[bytes]]
"""The contents that each unit may have on the disk, by its number; a unit that is not named has its present one."""

NO_VERSIONS: Versions = {}

NOTHING = slice(0, 0)


class Disk:
    """The disk under a file of `size` bytes, which writes `unit` bytes whole; 0 stands for all in one.

    A sync takes whole pages of so many bytes. Behind the file lie further `parts`, each a unit of its own that a sync
    takes for itself: those of a directory. What is in `volatile` is on no disk: it is zeros after a failure.
    """

    __slots__ = ("_page", "_parts", "_starts", "_volatile", "count", "size", "unit")

    def __init__(
        self, unit: int, size: int, page: int = PAGE, parts: Sequence[slice] = (), volatile: slice = NOTHING
    ) -> None:
        self.size = size if unit else max([size, *(part.stop for part in parts)])
        self.unit = unit or self.size
        self._page = page if unit else self.size
        self._parts = tuple(parts) if unit else ()
        self._starts = [part.start for part in self._parts]
        self._volatile = volatile
        self.count = -(-self.size // self.unit) + len(self._parts)

    def stored(
        self, versions: Versions, before: bytes | bytearray, after: bytes | bytearray, start: int, end: int
    ) -> Versions:
        """Return the versions once these bytes, start to end, have been stored: the file was `before`, is `after`."""
        changed = {}
        for number in self.units(start, end):
            place = self.place(number)
            old, new = bytes(before[place]), bytes(after[place])
            if old != new:
                changed[number] = versions.get(number, frozenset((old,))) | {new}
        return {**versions, **changed} if changed else versions

    def synced(self, versions: Versions, start: int, end: int) -> Versions:
        """Return the versions once these bytes have been synced, with all others of their pages."""
        first, last = start, end
        if start < self.size:
            first, last = start // self._page * self._page, -(-min(end, self.size) // self._page) * self._page
        taken = {*self.units(first, last)}
        kept = {number: each for number, each in versions.items() if number not in taken}
        return kept if len(kept) < len(versions) else versions

    def place(self, number: int) -> slice:
        """Return where the bytes of a unit are."""
        regular = self.count - len(self._parts)
        if number >= regular:
            return self._parts[number - regular]
        return slice(number * self.unit, min((number + 1) * self.unit, self.size))

    def units(self, start: int, end: int) -> Iterable[int]:
        """Return the units that have bytes from start to end."""
        if start < self.size:
            return range(start // self.unit, -(-min(end, self.size) // self.unit))
        regular = self.count - len(self._parts)
        first = max(0, bisect_right(self._starts, start) - 1)
        last = bisect_left(self._starts, end)
        return [regular + each for each in range(first, last) if self._parts[each].stop > start]

    def touched(self, units: Iterable[int], start: int, end: int) -> int | None:
        """Return the first of these units, in order, that has one of the bytes; None where none has."""
        for each in sorted(units):
            place = self.place(each)
            if place.start < end and start < place.stop:
                return each
        return None

    def put(self, content: bytes | bytearray, number: int, data: bytes) -> bytes:
        """Return the content with this unit replaced."""
        start = self.place(number).start
        return bytes(content[:start]) + data + bytes(content[start + len(data) :])

    def failed(self, content: bytes) -> bytes:
        """Return the content without what is on no disk."""
        start, stop = self._volatile.start, self._volatile.stop
        return content[:start] + bytes(stop - start) + content[stop:] if stop > start else content


def how_many(versions: Versions) -> int:
    """Return how many different files a failure may leave."""
    return prod(map(len, versions.values()))


def images(disk: Disk, content: bytes, versions: Versions) -> Iterator[bytes]:
    """Yield each file that a failure may leave."""
    units = sorted(versions)
    for choice in product(*(sorted(versions[each]) for each in units)):
        image = content
        for number, data in zip(units, choice, strict=True):
            image = disk.put(image, number, data)
        yield image
