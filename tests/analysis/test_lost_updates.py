from __future__ import annotations

import pytest

from lab.analysis.accesses import Access
from lab.analysis.lost_updates import LostUpdate, lost_updates
from tests.analysis.accessing import load, report, store


def found(*accesses: Access) -> list[LostUpdate]:
    return list(lost_updates(sorted(accesses)))


LOOK, OTHER, MINE = load(0, (1, 2), b"a"), store(1, (3, 4), b"b"), store(0, (5, 6), b"c")
WIDE = [load(0, (1, 2), b"abcd"), store(1, (3, 4), b"xy", start=2), store(2, (5, 6), b"z"), store(0, (7, 8), b"ABCD")]
BOTH_LOOKED = [load(0, (1, 2), b"a"), load(1, (1, 3), b"a"), store(0, (4, 8), b"b"), store(1, (5, 7), b"b")]
DIED = [LOOK, report(0, 3), store(1, (4, 1 << 63), b"b"), MINE]
CASES: dict[str, tuple[list[Access], list[LostUpdate]]] = {
    "stored after the last look": ([LOOK, OTHER, MINE], [LostUpdate(0, 2, 1, 0, 1)]),
    "a look at the other store": ([store(1, (1, 2), b"b"), load(0, (3, 4), b"b"), MINE], []),
    "overwritten on purpose, without a look": ([OTHER, MINE], []),
    "a look in another round": ([LOOK, OTHER, MINE._replace(round=1)], []),
    "a store of its own is a look": ([store(0, (1, 2), b"a"), OTHER, MINE], [LostUpdate(0, 2, 1, 0, 1)]),
    "other bytes": ([LOOK, store(1, (3, 4), b"b", start=1), MINE], []),
    "the first of several, with the bytes that both stored": (WIDE, [LostUpdate(0, 3, 1, 2, 4)]),
    "overlapping stores, neither seen": (BOTH_LOOKED, [LostUpdate(1, 3, 2, 0, 1, their_look=0)]),
    "overlapping stores, one blind": ([LOOK, store(0, (4, 8), b"b"), store(1, (5, 7), b"c")], []),
    "a look beside the store that met the old": (
        [store(1, (1, 4), b"b"), load(0, (2, 5), b"a"), store(0, (6, 7), b"c")],
        [LostUpdate(1, 2, 0, 0, 1)],
    ),
    "a look beside the store that met the new": (
        [store(1, (1, 4), b"b"), load(0, (2, 5), b"b"), store(0, (6, 7), b"c")],
        [],
    ),
    "ended in its store, and reports": (DIED, []),
}


@pytest.mark.parametrize(("accesses", "lost"), CASES.values(), ids=CASES)
def test_a_store_over_bytes_that_were_stored_after_the_last_look_loses_an_update(
    accesses: list[Access], lost: list[LostUpdate]
) -> None:
    assert found(*accesses) == lost
