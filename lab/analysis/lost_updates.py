"""Find lost updates: stores over another worker's bytes that the storing worker had not seen.

A worker has seen what its last load of a byte, or its last store to it, in the same round met. Where another worker
stored to the byte after that look, and the worker then stores too, one of the two stores is lost. Blind stores, without
a look in their round, overwrite on purpose and are not lost updates. `origins` reports which store left each byte at
the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from .accesses import LOAD, REPORT, Access, Cells, Stores


class LostUpdate(NamedTuple):
    """A lost update, by numbers of accesses: `store` came over `lost`, which `look` had not seen; and the bytes.

    Where the two stores overlap in time their order is unknown, and there is the look of the other worker too, which
    had not seen this store either: one of the two is lost in either order.
    """

    look: int
    store: int
    lost: int
    start: int
    end: int
    their_look: int | None = None


def lost_updates(accesses: Sequence[Access]) -> Iterator[LostUpdate]:
    """Yield every store by which an update was lost, with the first one that it lost; in the order of the stores."""
    cells = Cells(accesses)
    stores = Stores(accesses, cells)
    looks = _looks(accesses, cells)
    for number in range(len(accesses)):
        found = [
            lost for cell in cells.of(accesses[number]) for lost in _at(accesses, cells, stores, looks, number, cell)
        ]
        if found:
            yield min(found, key=lambda each: accesses[each.lost].begun_ns)


def _looks(accesses: Sequence[Access], cells: Cells) -> dict[tuple[int, int], int]:
    """Return, by store and cell, the worker's last look at the cell in the same round."""
    last: dict[tuple[int, int], int] = {}
    looks: dict[tuple[int, int], int] = {}
    for number, access in enumerate(accesses):
        if access.what == REPORT:
            continue
        for cell in cells.of(access):
            before = last.get((access.worker, cell))
            if access.what != LOAD and before is not None and accesses[before].round == access.round:
                looks[number, cell] = before
            last[access.worker, cell] = number
    return looks


def _at(
    accesses: Sequence[Access],
    cells: Cells,
    stores: Stores,
    looks: dict[tuple[int, int], int],
    number: int,
    cell: int,
) -> Iterator[LostUpdate]:
    look = looks.get((number, cell))
    if look is None:
        return
    mine, my_look = accesses[number], accesses[look]
    for other in stores.between(cell, my_look.begun_ns, mine.ended_ns, but=mine.worker):
        theirs = accesses[other]
        if not _unseen(my_look, theirs, cells.bounds(cell)):
            continue
        if theirs.before(mine):
            yield LostUpdate(look, number, other, *cells.bounds(cell))
        elif other < number and (their_look := _blind_too(accesses, looks.get((other, cell)), mine)) is not None:
            yield LostUpdate(look, number, other, *cells.bounds(cell), their_look)  # reported once, with the later one


def _unseen(look: Access, store: Access, bounds: tuple[int, int]) -> bool:
    """Tell whether the look cannot have met the store's bytes: it was over, or it met others."""
    if look.before(store):
        return True
    return look.what == LOAD and look.whole and store.whole and look.at(*bounds) != store.at(*bounds)


def _blind_too(accesses: Sequence[Access], look: int | None, store: Access) -> int | None:
    """Return the other worker's look, where it was over before this store, which it had not seen either."""
    return look if look is not None and accesses[look].before(store) else None


NOBODY = -1
"""The number of the bytes that lay there before the first store."""


class Origin(NamedTuple):
    """The bytes from `start` to `end`, with the number of the store that left them, and of the one that it overwrote.

    `certain` is False where another store to them overlapped it in time and left the same bytes, so that the order
    is unknown. `agrees` is False where the bytes differ from those of the last store.
    """

    start: int
    end: int
    store: int
    over: int
    certain: bool
    agrees: bool


def origins(accesses: Sequence[Access], after: Access) -> Iterator[Origin]:
    """Yield the origin of every byte that was stored to; neighbours of one origin are joined.

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
    """Yield, byte by byte, those of the last stores whose byte is there."""
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
