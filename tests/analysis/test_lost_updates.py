from __future__ import annotations

import pytest

from lab.analysis.accesses import Access
from lab.analysis.lost_updates import LostUpdate, lost_updates
from tests.analysis.accessing import load, report, store


def found(*accesses: Access) -> list[LostUpdate]:
    return list(lost_updates(sorted(accesses)))


def test_a_store_over_bytes_that_were_stored_after_the_last_look_loses_an_update() -> None:
    assert found(load(0, (1, 2), b"a"), store(1, (3, 4), b"b"), store(0, (5, 6), b"c")) == [LostUpdate(0, 2, 1, 0, 1)]


def test_a_store_after_a_look_at_the_other_store_loses_nothing() -> None:
    assert found(store(1, (1, 2), b"b"), load(0, (3, 4), b"b"), store(0, (5, 6), b"c")) == []


def test_a_store_without_a_look_in_its_round_overwrites_on_purpose() -> None:
    assert found(store(1, (3, 4), b"b"), store(0, (5, 6), b"c")) == []
    assert found(load(0, (1, 2), b"a"), store(1, (3, 4), b"b"), store(0, (5, 6), b"c", round=1)) == []


def test_a_store_of_its_own_counts_as_a_look() -> None:
    lost = found(store(0, (1, 2), b"a"), store(1, (3, 4), b"b"), store(0, (5, 6), b"c"))
    assert lost == [LostUpdate(0, 2, 1, 0, 1)]


def test_stores_to_other_bytes_lose_nothing() -> None:
    assert found(load(0, (1, 2), b"a"), store(1, (3, 4), b"b", start=1), store(0, (5, 6), b"c")) == []


def test_of_several_lost_updates_the_first_is_told_with_the_bytes_that_both_stored() -> None:
    lost = found(
        load(0, (1, 2), b"abcd"), store(1, (3, 4), b"xy", start=2), store(2, (5, 6), b"z"), store(0, (7, 8), b"ABCD")
    )
    assert lost == [LostUpdate(0, 3, 1, 2, 4)]


def test_of_two_stores_that_overlap_in_time_one_is_lost_where_neither_had_seen_the_other() -> None:
    accesses = load(0, (1, 2), b"a"), load(1, (1, 3), b"a"), store(0, (4, 8), b"b"), store(1, (5, 7), b"b")
    assert found(*accesses) == [LostUpdate(1, 3, 2, 0, 1, their_look=0)]


def test_of_two_stores_that_overlap_in_time_none_need_be_lost_where_one_was_blind() -> None:
    assert found(load(0, (1, 2), b"a"), store(0, (4, 8), b"b"), store(1, (5, 7), b"c")) == []


@pytest.mark.parametrize(("met", "lost"), [(b"a", 1), (b"b", 0)])
def test_where_the_look_overlaps_the_other_store_the_bytes_that_it_met_decide(met: bytes, lost: int) -> None:
    accesses = store(1, (1, 4), b"b"), load(0, (2, 5), met), store(0, (6, 7), b"c")
    assert len(found(*accesses)) == lost


def test_a_worker_that_ended_in_its_store_and_reports_are_no_obstacle() -> None:
    accesses = load(0, (1, 2), b"a"), report(0, 3), store(1, (4, 1 << 63), b"b"), store(0, (5, 6), b"c")
    assert found(*accesses) == []
