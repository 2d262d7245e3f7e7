from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.holds import END
from lab.exploring.operation import LOAD, LOCK, STORE, UNLOCK, Operation


def made(kind: int, start: int = 0, length: int = 8, *, write: bool | None = None) -> Operation:
    """An operation; stores write, loads do not, and locks are exclusive unless told."""
    return Operation(kind, start, length, write=kind != LOAD if write is None else write)


def test_a_lock_of_length_0_runs_to_infinity() -> None:
    lock = made(LOCK, 8, 0)
    assert (lock.start, lock.end, lock.span.length) == (8, END, 0)


@pytest.mark.parametrize(
    ("one", "other", "depends"),
    [
        (LOAD, LOAD, False),
        (LOAD, STORE, True),
        (STORE, LOAD, True),
        (STORE, STORE, True),
        (LOCK, LOCK, True),
        (LOCK, UNLOCK, True),
        (UNLOCK, LOCK, True),
        (UNLOCK, UNLOCK, False),
        (LOAD, LOCK, False),
        (STORE, LOCK, False),
        (LOCK, STORE, False),
        (UNLOCK, LOAD, False),
    ],
)
def test_the_order_of_two_on_the_same_bytes_matters(one: int, other: int, depends: bool) -> None:
    assert made(one).depends_on(made(other)) == depends


@pytest.mark.parametrize(("one", "other"), list(product([LOCK, UNLOCK], repeat=2)))
def test_shared_locks_do_not_depend_on_one_another(one: int, other: int) -> None:
    assert not made(one, write=False).depends_on(made(other, write=False))


def test_a_shared_lock_depends_on_an_exclusive_one() -> None:
    assert made(LOCK, write=False).depends_on(made(LOCK))
    assert made(LOCK).depends_on(made(UNLOCK, write=False))


@pytest.mark.parametrize("kind", [STORE, LOCK])
def test_neighbours_that_share_no_byte_are_independent(kind: int) -> None:
    assert not made(kind, 0, 8).depends_on(made(kind, 8, 8))
    assert not made(kind, 8, 8).depends_on(made(kind, 0, 8))
    assert made(kind, 0, 9).depends_on(made(kind, 8, 8))


def test_a_lock_to_infinity_depends_on_every_lock_behind_its_start() -> None:
    everything = made(LOCK, 8, 0)
    assert everything.depends_on(made(LOCK, 1 << 40, 1))
    assert not everything.depends_on(made(LOCK, 0, 8))


operations = st.builds(
    made, st.sampled_from([LOAD, STORE, LOCK, UNLOCK]), st.integers(0, 6), st.integers(1, 6), write=st.booleans()
)


@given(operations, operations)
def test_dependence_is_mutual(one: Operation, other: Operation) -> None:
    assert one.depends_on(other) == other.depends_on(one)


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (made(LOAD, 8, 8), "load 8-15"),
        (made(STORE, 0, 1), "store 0-0"),
        (made(LOCK, 8, 0), "lock 8-"),
        (made(UNLOCK), "unlock 0-7"),
    ],
)
def test_an_operation_tells_its_kind_and_its_bytes(operation: Operation, told: str) -> None:
    assert repr(operation) == told
    assert operation.word == told.split()[0]
