from __future__ import annotations

import pytest

from lab.model.record_locks import closes_ring


def chain(length: int) -> dict[int, int]:
    """Owner 1 waits for 2, 2 for 3 and so on up to the last, who waits for owner 0, the caller."""
    return {owner: (owner + 1) % length for owner in range(1, length)}


def test_a_blocker_that_waits_for_the_caller_closes_a_ring() -> None:
    assert closes_ring("me", "you", {"you": "me"})


def test_a_blocker_that_runs_closes_none() -> None:
    assert not closes_ring("me", "you", {"other": "me"})


def test_a_chain_that_ends_elsewhere_closes_none() -> None:
    assert not closes_ring(0, 1, {1: 2, 2: 3})


@pytest.mark.parametrize("length", range(2, 13))
def test_a_ring_of_up_to_12_owners_is_noticed(length: int) -> None:
    assert closes_ring(0, 1, chain(length))


@pytest.mark.parametrize("length", [13, 14, 30])
def test_a_longer_ring_is_not(length: int) -> None:
    assert not closes_ring(0, 1, chain(length))


def test_a_ring_without_the_caller_ends_the_search() -> None:
    assert not closes_ring(0, 1, {1: 2, 2: 1})


def test_who_waits_for_whom_may_be_a_function() -> None:
    asked: list[int] = []

    def waiting_for(owner: int) -> int:
        asked.append(owner)
        return owner + 1

    assert not closes_ring(0, 1, waiting_for)
    assert asked == list(range(1, 12))
