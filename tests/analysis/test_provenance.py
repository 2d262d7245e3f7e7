from __future__ import annotations

from lab.analysis.accesses import Access
from lab.analysis.lost_updates import NOBODY, Origin, origins
from tests.analysis.accessing import image, load, store


def found(left: bytes, *accesses: Access) -> list[Origin]:
    return list(origins(sorted(accesses), image(left, 99)))


def test_the_last_store_left_the_bytes_and_overwrote_the_one_before() -> None:
    stores = store(0, (1, 2), b"a"), store(1, (3, 4), b"b")
    assert found(b"b.", *stores) == [Origin(0, 1, 1, 0, certain=True, agrees=True)]


def test_the_first_store_overwrote_what_nobody_stored() -> None:
    assert found(b".a", store(0, (1, 2), b"a", start=1)) == [Origin(1, 2, 0, NOBODY, certain=True, agrees=True)]


def test_loads_leave_nothing() -> None:
    assert found(b"..", load(0, (1, 2), b"..")) == []


def test_a_store_to_a_part_leaves_the_rest_to_the_one_before() -> None:
    stores = store(0, (1, 2), b"aaaa"), store(1, (3, 4), b"b", start=1)
    assert [each[:4] for each in found(b"abaa", *stores)] == [(0, 1, 0, NOBODY), (1, 2, 1, 0), (2, 4, 0, NOBODY)]


def test_of_stores_that_overlap_in_time_the_bytes_that_are_left_tell_whose_they_are() -> None:
    stores = store(0, (1, 4), b"aaaa"), store(1, (2, 5), b"bbbb")
    assert [each[:4] for each in found(b"abba", *stores)] == [(0, 1, 0, 1), (1, 3, 1, 0), (3, 4, 0, 1)]


def test_where_both_left_the_same_byte_the_order_is_not_certain() -> None:
    (origin,) = found(b"a", store(0, (1, 4), b"a"), store(1, (2, 5), b"a"))
    assert not origin.certain
    assert origin.agrees


def test_bytes_that_nobody_stored_last_do_not_agree() -> None:
    (origin,) = found(b"z", store(0, (1, 2), b"a"))
    assert not origin.agrees
