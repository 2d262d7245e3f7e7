"""The explorer's numbered lock states held against the models that they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import CannotRunError
from lab.exploring.locks import Ranges, Whole, states_of
from lab.exploring.operation import LOCK, UNLOCK, Operation
from lab.locking.registry import MODELLED, OWN
from lab.model.record_locks import RecordLocks

FREE = 0


def lock(start: int = 0, length: int = 1, *, write: bool = True) -> Operation:
    return Operation(LOCK, start, length, write=write)


def unlock(start: int = 0, length: int = 1) -> Operation:
    return Operation(UNLOCK, start, length, write=True)


@st.composite
def request(draw: st.DrawFn) -> tuple[int, Operation]:
    """Who asks for what, near the start of the file or from there to its end."""
    kind = draw(st.sampled_from([LOCK, LOCK, UNLOCK]))
    operation = Operation(kind, draw(st.integers(0, 5)), draw(st.integers(0, 4)), write=draw(st.booleans()))
    return draw(st.integers(0, 2)), operation


@pytest.mark.parametrize("detects", [True, False])
@given(st.lists(request(), max_size=20))
def test_any_series_of_requests_is_answered_as_the_table_answers_it(
    detects: bool, series: list[tuple[int, Operation]]
) -> None:
    states, table, state = Ranges(detects=detects), RecordLocks(), FREE
    for worker, operation in series:
        if operation.kind == UNLOCK:
            table.release(worker, operation.span.start, operation.span.length)
            state = states.release(state, worker, operation)
            continue
        conflict = table.conflict(worker, operation.span)
        blocker, after = states.request(state, worker, operation)
        assert (blocker is None) == (conflict is None)
        if conflict is None:
            table.grant(worker, operation.span)
            state = after
        elif detects:
            assert blocker == conflict.owner


@pytest.mark.parametrize("states", [Ranges(detects=True), Ranges(detects=False), Whole()])
def test_a_refused_request_leaves_the_state_and_a_release_leads_back_to_the_first(states: Ranges | Whole) -> None:
    before = states.request(FREE, 0, lock())
    held = before[1]
    assert held != FREE
    assert states.request(held, 1, lock()) == (0, held)
    assert states.release(held, 0, unlock()) == FREE
    states.request(held, 0, lock(3))
    assert states.request(FREE, 0, lock()) == before, "whatever was asked in between"


@pytest.mark.parametrize(("detects", "same"), [(True, False), (False, True)])
def test_the_order_of_arrival_tells_states_apart_only_where_rings_are_looked_for(detects: bool, same: bool) -> None:
    states = Ranges(detects=detects)
    read = lock(write=False)
    one = states.request(states.request(FREE, 0, read)[1], 1, read)[1]
    other = states.request(states.request(FREE, 1, read)[1], 0, read)[1]
    assert (one == other) == same


def test_ranges_that_do_not_touch_go_together() -> None:
    states = Ranges(detects=True)
    _, first = states.request(FREE, 0, lock(0))
    blocker, both = states.request(first, 1, lock(1))
    assert blocker is None
    assert both not in (FREE, first)


def test_an_inner_unlock_frees_its_bytes_of_the_outer_range() -> None:
    states = Ranges(detects=True)
    _, outer = states.request(FREE, 0, lock(0, 4))
    _, inner = states.request(outer, 0, lock(1, 1))
    assert inner == outer
    after = states.release(inner, 0, unlock(1, 1))
    assert states.request(after, 1, lock(1))[0] is None
    assert states.request(after, 1, lock(2))[0] == 0


def test_flock_has_no_ranges() -> None:
    states = Whole()
    _, held = states.request(FREE, 0, lock(0))
    assert states.request(held, 1, lock(100))[0] == 0


def test_flock_lets_readers_in_together_and_keeps_a_writer_out_until_the_last_has_left() -> None:
    states = Whole()
    _, one = states.request(FREE, 0, lock(write=False))
    blocker, two = states.request(one, 1, lock(write=False))
    assert blocker is None
    assert states.request(two, 2, lock())[0] == 0
    assert states.request(states.release(two, 0, unlock()), 2, lock())[0] == 1
    assert states.request(states.release(one, 0, unlock()), 2, lock())[0] is None


def test_flock_is_given_back_with_the_last_of_the_ranges_that_were_taken() -> None:
    states = Whole()
    _, once = states.request(FREE, 0, lock(0))
    _, twice = states.request(once, 0, lock(1))
    assert states.request(states.release(twice, 0, unlock(1)), 1, lock())[0] == 0
    assert states.release(states.release(twice, 0, unlock(1)), 0, unlock(0)) == FREE


def test_flock_taken_for_reading_within_writing_stays_exclusive() -> None:
    states = Whole()
    _, writing = states.request(FREE, 0, lock())
    _, both = states.request(writing, 0, lock(write=False))
    assert states.request(both, 1, lock(write=False))[0] == 0


def test_flock_made_exclusive_by_the_only_reader_is_one_step_and_stays_exclusive_until_the_last_range() -> None:
    states = Whole()
    _, reading = states.request(FREE, 0, lock(write=False))
    blocker, writing = states.request(reading, 0, lock())
    assert blocker is None
    assert states.request(writing, 1, lock(write=False))[0] == 0
    outer = states.release(writing, 0, unlock())
    assert states.request(outer, 1, lock(write=False))[0] == 0
    assert states.release(outer, 0, unlock()) == FREE


def test_flock_made_exclusive_beside_another_reader_is_given_up_first_and_then_waits() -> None:
    states = Whole()
    _, one = states.request(FREE, 0, lock(write=False))
    _, both = states.request(one, 1, lock(write=False))
    blocker, given_up = states.request(both, 0, lock())
    assert (blocker, given_up != both) == (1, True)
    assert states.request(given_up, 0, lock()) == (1, given_up)
    blocker, writing = states.request(given_up, 1, lock())  # what the first gave up is in nobody's way
    assert blocker is None
    freed = states.release(states.release(writing, 1, unlock()), 1, unlock())
    blocker, mine = states.request(freed, 0, lock())
    assert blocker is None
    assert states.release(states.release(mine, 0, unlock()), 0, unlock()) == FREE
    assert states.drop(given_up, 0) == states.drop(both, 0)


def test_every_modelled_lock_has_states_and_only_posix_locks_look_for_rings() -> None:
    found = {name: (type(states_of(name)), states_of(name).detects) for name in MODELLED}
    assert found == {name: (Whole if OWN[name].whole_file else Ranges, name == "fcntl") for name in MODELLED}
    assert (found["ofd"], found["flock"]) == ((Ranges, False), (Whole, False))


def test_a_lock_without_a_model_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(CannotRunError, match="lock sem: the explorer has no model of it, only of none, fcntl, ofd"):
        states_of("sem")
