"""Whose bytes lie where at the end, and what they overwrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from .accesses import Access, Cells, Stores

NOBODY = -1
"""The number of the bytes that lay there before the first store."""


class Origin(NamedTuple):
    """Of the bytes from `start` to `end`: the number of the store that left them, and of the one that it overwrote.

    `certain` is False where another store to them overlapped it in time and left the same bytes, so that the order
    cannot be told. `agrees` is False where other bytes are there than the last store put there.
    """

    start: int
    end: int
    store: int
    over: int
    certain: bool
    agrees: bool


def origins(accesses: Sequence[Access], after: Access) -> Iterator[Origin]:
    """Of every byte that was stored to, where it comes from; neighbours of one origin together.

    `after` is a load of the whole file at the end.
    """
    cells = Cells(accesses)
    stores = Stores(accesses, cells)
    for cell in stores.cells():
        start, end = cells.bounds(cell)
        ordered = sorted(stores.all(cell), key=lambda number: accesses[number].ended_ns)
        last = accesses[ordered[-1]]
        rivals = [number for number in ordered[:-1] if not accesses[number].before(last)] + ordered[-1:]
        left = after.at(start, end)
        each = enumerate(_fitting(accesses, rivals, start, left), start)
        for fitting, run in groupby(each, key=lambda item: item[1]):
            found = [at for at, _ in run]
            yield _origin(found[0], found[-1] + 1, ordered, rivals, fitting)


def _fitting(accesses: Sequence[Access], rivals: list[int], start: int, left: bytes) -> Iterator[tuple[int, ...]]:
    """Byte by byte, the stores of the last ones whose byte lies there."""
    if len(rivals) == 1 and accesses[rivals[0]].at(start, start + len(left)) == left:
        yield from [tuple(rivals)] * len(left)
        return
    for at, byte in enumerate(left, start):
        yield tuple(number for number in rivals if accesses[number].at(at, at + 1) == bytes([byte]))


def _origin(start: int, end: int, ordered: list[int], rivals: list[int], fitting: tuple[int, ...]) -> Origin:
    store = (fitting or rivals)[-1]
    place = ordered.index(store)
    over = ordered[place - 1] if place else (rivals[1] if len(rivals) > 1 else NOBODY)
    return Origin(start, end, store, over, len(fitting) == 1 or len(rivals) == 1, bool(fitting))
