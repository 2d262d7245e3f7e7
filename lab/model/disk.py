"""Model what a power failure leaves of a mapped file: each unit as it was at some moment since it was last synced.

The kernel may write a changed page back at any moment, in any order, and as often as it likes; only a sync promises
that what was stored is on the disk (msync(2), fsync(2)). So of each unit only the set of its contents since the last
sync matters: a store adds one, a sync leaves the present one. The units fail each for itself. A unit is as long as what
the disk writes whole: a page, a sector, or a cache line of memory that is itself the disk.

msync(2) takes whole pages: POSIX says "those whole pages containing any part of the address space".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod

PAGE = 4096
"""The length of a page, in bytes, of which a sync takes all."""

Versions = Mapping[int, frozenset[bytes]]
"""The contents that each unit may have on the disk, by its number; a unit that is not named has its present one."""

NO_VERSIONS: Versions = {}


class Disk:
    """The disk under a file of `size` bytes, which writes `unit` bytes whole; 0 stands for the whole file.

    A sync takes whole pages of so many bytes.
    """

    __slots__ = ("_page", "size", "unit")

    def __init__(self, unit: int, size: int, page: int = PAGE) -> None:
        self.unit = unit or size
        self.size = size
        self._page = page if unit else size

    def stored(
        self, versions: Versions, before: bytes | bytearray, after: bytes | bytearray, start: int, end: int
    ) -> Versions:
        """Return the versions once these bytes, start to end, have been stored: the file was `before`, is `after`."""
        unit, changed = self.unit, {}
        for number in self.units(start, end):
            place = slice(number * unit, (number + 1) * unit)
            old, new = bytes(before[place]), bytes(after[place])
            if old != new:
                changed[number] = versions.get(number, frozenset((old,))) | {new}
        return {**versions, **changed} if changed else versions

    def synced(self, versions: Versions, start: int, end: int) -> Versions:
        """Return the versions once these bytes have been synced, with all others of their pages."""
        first, last = start // self._page * self._page, -(-min(end, self.size) // self._page) * self._page
        kept = {n: each for n, each in versions.items() if n * self.unit >= last or (n + 1) * self.unit <= first}
        return kept if len(kept) < len(versions) else versions

    def units(self, start: int, end: int) -> range:
        """Return the units that have bytes from start to end."""
        return range(start // self.unit, -(-min(end, self.size) // self.unit))

    def touched(self, units: Iterable[int], start: int, end: int) -> int | None:
        """Return the first of these units, in order, that has one of the bytes; None where none has."""
        return next((each for each in sorted(units) if each * self.unit < end and start < (each + 1) * self.unit), None)

    def put(self, content: bytes | bytearray, number: int, data: bytes) -> bytes:
        """Return the content with this unit replaced."""
        start = number * self.unit
        return bytes(content[:start]) + data + bytes(content[start + len(data) :])


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
