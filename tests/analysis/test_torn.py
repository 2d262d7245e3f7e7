from __future__ import annotations

from lab.analysis.accesses import Access
from lab.analysis.torn import BEFORE, Torn, torn_at_the_end, torn_loads
from tests.analysis.accessing import FILE, image, load, store

A, B = b"a" * 16, b"b" * 16
MIXED = b"a" * 10 + b"b" * 6
START = image(FILE, -9)


def found(*accesses: Access) -> list[Torn]:
    return list(torn_loads(sorted(accesses), START))


def test_a_load_that_met_bytes_of_two_stores_is_torn_and_names_both() -> None:
    assert found(store(0, (1, 2), A), store(1, (3, 6), B), load(2, (4, 5), MIXED)) == [Torn(2, 0, 0, 1, 10)]


def test_a_load_that_met_half_a_store_over_what_lay_there_before_is_torn() -> None:
    assert found(store(1, (3, 6), A), load(2, (4, 5), A[:4] + FILE[4:])) == [Torn(1, 0, 0, BEFORE, 4)]


def test_a_load_that_met_either_store_whole_is_not_torn() -> None:
    for met in (A, B):
        assert found(store(0, (1, 2), A), store(1, (3, 6), B), load(2, (4, 5), met)) == []


def test_a_load_of_two_stores_to_different_bytes_is_not_torn() -> None:
    assert found(store(0, (1, 5), A[:8]), store(1, (2, 6), B[:8], start=8), load(2, (3, 7), A[:8] + B[:8])) == []


def test_a_store_over_a_part_leaves_the_rest_of_the_other_and_is_not_torn() -> None:
    assert found(store(0, (1, 4), A), store(1, (3, 6), B[:6], start=10), load(2, (5, 7), MIXED)) == []


def test_bytes_mixed_by_two_stores_at_once_are_torn_for_a_later_load_and_at_the_end() -> None:
    stores = store(0, (1, 4), A), store(1, (2, 5), B)
    assert found(*stores, load(2, (8, 9), MIXED)) == [Torn(2, 0, 0, 1, 10)]
    assert list(torn_at_the_end(list(stores), START, image(MIXED, 99))) == [Torn(BEFORE, 0, 0, 1, 10)]
    assert list(torn_at_the_end(list(stores), START, image(A, 99))) == []


def test_where_the_order_is_known_nothing_is_torn() -> None:
    assert found(store(0, (1, 2), A), store(1, (3, 4), B), load(2, (5, 6), B)) == []


def test_what_the_machine_loads_at_once_is_never_torn() -> None:
    assert found(store(0, (1, 2), A[:8]), store(1, (3, 6), B[:8]), load(2, (4, 5), b"aaaabbbb")) == []


def test_a_load_whose_bytes_were_not_kept_is_not_judged() -> None:
    cut = load(2, (4, 5), MIXED)._replace(data=MIXED[:12])
    assert found(store(0, (1, 2), A), store(1, (3, 6), B), cut) == []


def test_a_copy_of_less_than_a_word_can_be_torn_and_a_number_cannot() -> None:
    for length, torn in ((5, True), (7, True), (4, False), (8, False)):
        met = A[:1] + B[: length - 1]
        loads = found(store(0, (1, 2), A[:length]), store(1, (3, 6), B[:length]), load(2, (4, 5), met))
        assert bool(loads) == torn, length
