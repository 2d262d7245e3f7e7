"""Find torn loads: they met parts of several stores as no order of whole stores could have left them.

Two stores that both cover two bytes leave both to the one that came last. A load that finds one byte of the one and the
other byte of the other has met them in the middle. The bytes from before the first store count as one store more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .accesses import LOAD, STORE, Access, Cells, Stores

LOOKED_BACK = 3
"""The number of stores of each worker, latest first, that may have left the bytes of a load."""

ONE_MOVE = (1, 2, 4, 8)
"""The sizes in bytes of plain numbers, which are loaded and stored at once where aligned, as every plain field is."""

BEFORE = -1
"""The number of the bytes that lay there before."""


class Torn(NamedTuple):
    """A load by number (`BEFORE`: the end of the trial) that met bytes of two stores; where those of each begin."""

    load: int
    one: int
    one_at: int
    other: int
    other_at: int


def torn_loads(accesses: Sequence[Access], before: Access | None) -> Iterator[Torn]:
    """Yield every load that is torn, in the order of the loads; `before` is the file as it was, where it is known."""
    cells = Cells(accesses)
    stores = Stores(accesses, cells)
    for number, access in enumerate(accesses):
        if access.what == LOAD and (found := _torn(accesses, cells, stores, access, before)):
            yield Torn(number, *found)


def torn_at_the_end(accesses: Sequence[Access], before: Access | None, after: Access) -> Iterator[Torn]:
    """Yield the same for the bytes that were left; `after` is a load of all of them."""
    cells = Cells(accesses)
    stores = Stores(accesses, cells)
    extents = {(access.start, access.length) for access in accesses if access.what == STORE}
    for start, length in sorted(extents):
        left = after._replace(start=start, length=length, data=after.at(start, start + length))
        if found := _torn(accesses, cells, stores, left, before):
            yield Torn(BEFORE, *found)


def _torn(
    accesses: Sequence[Access], cells: Cells, stores: Stores, load: Access, before: Access | None
) -> tuple[int, int, int, int] | None:
    if not load.whole or load.length in ONE_MOVE:
        return None
    near = {n for cell in cells.of(load) for n in stores.latest(cell, load.ended_ns, LOOKED_BACK)}
    known = {n: accesses[n] for n in near if accesses[n].whole}
    if not any(_is_unordered(store, load, list(known.values())) for store in known.values()):
        return None
    if before and not any(store.before(load) and _covers(store, load) for store in known.values()):
        known[BEFORE] = before
    if any(_covers(store, load) and store.at(load.start, load.end) == load.data for store in known.values()):
        return None
    return _mixed(known, _first_of_each(known, load))


def _is_unordered(store: Access, load: Access, others: Sequence[Access]) -> bool:
    """Tell whether the order of the store and the load, or of the store and another one, is unknown."""
    against = (other for other in others if other is not store and other.worker != store.worker)
    return not store.before(load) or any(not store.before(other) and not other.before(store) for other in against)


def _covers(store: Access, load: Access) -> bool:
    return store.start <= load.start and load.end <= store.end


def _first_of_each(known: dict[int, Access], load: Access) -> dict[frozenset[int], int]:
    """Return, by the set of stores that may have left a byte, the first such byte."""
    first: dict[frozenset[int], int] = {}
    for at, byte in enumerate(load.data, load.start):
        may = frozenset(
            n for n, store in known.items() if store.start <= at < store.end and store.data[at - store.start] == byte
        )
        first.setdefault(may, at)
    return first


def _mixed(known: dict[int, Access], first: dict[frozenset[int], int]) -> tuple[int, int, int, int] | None:
    """Return two bytes of two stores that both cover both."""
    for only, at in first.items():
        if len(only) != 1:
            continue
        (one,) = only
        for may, there in first.items():
            if may and one not in may and all(_both(known[one], known[other], at, there) for other in may):
                return one, at, min(may), there
    return None


def _both(one: Access, other: Access, at: int, there: int) -> bool:
    return other.start <= at < other.end and one.start <= there < one.end
