from __future__ import annotations

import pytest

from lab.analysis.accesses import Access
from lab.analysis.torn import BEFORE, Torn, torn_at_the_end, torn_loads
from tests.analysis.accessing import FILE, image, load, store

A, B = b"a" * 16, b"b" * 16
MIXED = b"a" * 10 + b"b" * 6
START = image(FILE, -9)


def found(*accesses: Access) -> list[Torn]:
    return list(torn_loads(sorted(accesses), START))


CUT = load(2, (4, 5), MIXED)._replace(data=MIXED[:12])
CASES: dict[str, tuple[list[Access], list[Torn]]] = {
    "bytes of two stores": (
        [store(0, (1, 2), A), store(1, (3, 6), B), load(2, (4, 5), MIXED)],
        [Torn(2, 0, 0, 1, 10)],
    ),
    "half a store over what lay there before": (
        [store(1, (3, 6), A), load(2, (4, 5), A[:4] + FILE[4:])],
        [Torn(1, 0, 0, BEFORE, 4)],
    ),
    "the first store whole": ([store(0, (1, 2), A), store(1, (3, 6), B), load(2, (4, 5), A)], []),
    "the second store whole": ([store(0, (1, 2), A), store(1, (3, 6), B), load(2, (4, 5), B)], []),
    "two stores to different bytes": (
        [store(0, (1, 5), A[:8]), store(1, (2, 6), B[:8], start=8), load(2, (3, 7), A[:8] + B[:8])],
        [],
    ),
    "a store over a part": ([store(0, (1, 4), A), store(1, (3, 6), B[:6], start=10), load(2, (5, 7), MIXED)], []),
    "the order is known": ([store(0, (1, 2), A), store(1, (3, 4), B), load(2, (5, 6), B)], []),
    "loaded at once": ([store(0, (1, 2), A[:8]), store(1, (3, 6), B[:8]), load(2, (4, 5), b"aaaabbbb")], []),
    "bytes that were not kept": ([store(0, (1, 2), A), store(1, (3, 6), B), CUT], []),
}


@pytest.mark.parametrize(("accesses", "torn"), CASES.values(), ids=CASES)
def test_a_load_is_torn_where_it_met_parts_of_stores_which_it_names(accesses: list[Access], torn: list[Torn]) -> None:
    assert found(*accesses) == torn


def test_bytes_mixed_by_two_stores_at_once_are_torn_for_a_later_load_and_at_the_end() -> None:
    stores = store(0, (1, 4), A), store(1, (2, 5), B)
    assert found(*stores, load(2, (8, 9), MIXED)) == [Torn(2, 0, 0, 1, 10)]
    assert list(torn_at_the_end(list(stores), START, image(MIXED, 99))) == [Torn(BEFORE, 0, 0, 1, 10)]
    assert list(torn_at_the_end(list(stores), START, image(A, 99))) == []


def test_a_copy_of_less_than_a_word_can_be_torn_and_a_number_cannot() -> None:
    for length, torn in ((5, True), (7, True), (4, False), (8, False)):
        met = A[:1] + B[: length - 1]
        loads = found(store(0, (1, 2), A[:length]), store(1, (3, 6), B[:length]), load(2, (4, 5), met))
        assert bool(loads) == torn, length
