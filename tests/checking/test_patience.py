"""How long a call has to sleep until it is said to wait."""

from __future__ import annotations

import pytest

from lab.checking.actors.controller import (
    ANSWER_S,
    ASLEEP_S,
    DOUBT,
    HANDOFFS,
    REMEMBERED,
    SETTLE_S,
    USUAL_ANSWERS,
    WAKE_S,
    Patience,
)

WAITS = ("waits",)
MAY_WAIT = ("EDEADLK", "(waits)")
SHORTEST, LONGEST = SETTLE_S


def after(*answers_s: float) -> Patience:
    patience = Patience()
    for seconds in answers_s:
        patience.answered_in(seconds)
    return patience


def always(seconds: float) -> Patience:
    """A filesystem on which every call takes so long, for so long that nothing else is remembered."""
    return after(*[seconds] * 100 * REMEMBERED)


def test_one_hundredth_and_three_tenths_of_a_second_are_the_limits() -> None:
    assert SETTLE_S == (0.01, 0.3)


@pytest.mark.parametrize(("answer_s", "settles_s"), [(1e-6, SHORTEST), (1.0, LONGEST), (0.01, USUAL_ANSWERS * 0.01)])
def test_who_is_to_wait_sleeps_for_some_usual_answers_within_limits(answer_s: float, settles_s: float) -> None:
    assert always(answer_s).settle_s(WAITS) == pytest.approx(settles_s)


def test_before_any_answer_it_is_the_shortest_time() -> None:
    assert Patience().settle_s(WAITS) == SHORTEST


@pytest.mark.parametrize("answer_s", [1e-6, 0.01, 1.0])
def test_who_may_wait_or_not_is_given_ten_times_as_long(answer_s: float) -> None:
    patience = always(answer_s)
    assert DOUBT == 10
    assert patience.settle_s(MAY_WAIT) == pytest.approx(10 * patience.settle_s(WAITS))


@pytest.mark.parametrize("expected", [("ok", "granted"), ("EAGAIN", "EACCES"), ("EINTR",), ()])
def test_who_should_not_wait_is_given_all_the_time_there_is(expected: tuple[str, ...]) -> None:
    assert always(0.01).settle_s(expected) == ANSWER_S


@pytest.mark.parametrize("expected", [("waits", "(EDEADLK)"), ("waits", "(waits)"), ("granted", "waits")])
def test_one_wait_among_what_is_right_is_enough(expected: tuple[str, ...]) -> None:
    assert always(0.01).settle_s(expected) == always(0.01).settle_s(WAITS)


def test_one_slow_answer_among_quick_ones_changes_little_and_is_forgotten() -> None:
    quick = [0.002] * 10 * REMEMBERED
    once = after(*quick, 0.02).settle_s(WAITS)
    assert after(*quick).settle_s(WAITS) < once < 0.1
    assert after(*quick, 0.02, *quick).settle_s(WAITS) == pytest.approx(after(*quick).settle_s(WAITS), rel=0.01)


def test_a_lock_that_was_not_handed_over_when_it_was_measured_is_not_waited_for_so_long_again() -> None:
    patience = Patience({"ofd": 0.5}, asleep={"posix", "flock"})
    usual_s = HANDOFFS * 0.5
    waits = {(): usual_s, ("posix",): ASLEEP_S, ("posix", "flock"): ASLEEP_S, ("posix", "ofd"): usual_s}
    assert {locks: patience.wake_s_of(locks) for locks in waits} == waits
    assert Patience().wake_s_of(["posix"]) == WAKE_S
