"""What is claimed of a race, on records made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.errors import UsageError
from lab.pytest_plugin.manner import SLEPT, YIELDED
from lab.pytest_plugin.protocol import Raced
from lab.pytest_plugin.results import Again, RaceResult
from lab.records import Case, Failure, Run
from tests.report.records import CLEAN, COUNTEREXAMPLE, DAMAGED, DIED, HUNG, REFUSED, TWO_IN, UNLOCKED, run_of

STRONG = replace(CLEAN, contended_requests=5000, detection_limit=0.0006)


def result_of(
    case: Case, *, name: str = "", lock: str | None = "fcntl", manner: str = "", leak: float = 0.0
) -> RaceResult:
    """A race that nobody ran, and that has no explanation."""
    raced = Raced(run_of(case, leak=leak), name, manner=manner, raced_s=2.0)
    return RaceResult(raced, Again("test_it.py::test_it", lock, "/mnt"), lambda run: run)


def test_clean_with_enough_power_passes() -> None:
    result_of(STRONG).assert_clean()


def test_just_enough_power_is_enough() -> None:
    result_of(STRONG).assert_clean(detects=0.0006)
    with pytest.raises(AssertionError, match="shows too little"):
        result_of(STRONG).assert_clean(detects=0.00059)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (DAMAGED, "counter under fcntl, 2 workers: damaged: the lock held and the data broke anyway"),
        (TWO_IN, "counter under fcntl, 2 workers: damaged: conflicting holds overlapped, 1 time, though no data broke"),
        (DIED, "counter under fcntl, 2 workers: died: worker 1 was killed by SIGKILL"),
        (HUNG, "counter under fcntl, 2 workers: timeout: worker 0 still at work"),
        (UNLOCKED, "counter under none, 2 workers: damaged: apart"),
        (COUNTEREXAMPLE, "short_range under fcntl, 2 workers: damaged: anyway"),
        (replace(TWO_IN, verdict="clean"), "counter under fcntl, 2 workers: clean: conflicting holds overlapped"),
    ],
    ids=["damage", "overlaps", "died", "hung", "expected damage", "a counterexample", "two in, whatever the verdict"],
)
def test_whatever_is_not_clean_fails_and_is_told_apart(case: Case, said: str) -> None:
    with pytest.raises(AssertionError) as failed:
        result_of(case).assert_clean(detects=0.5)
    assert str(failed.value).startswith(said)


@pytest.mark.parametrize("claim", ["assert_clean", "assert_damaged"])
def test_what_the_environment_cannot_is_skipped(claim: str) -> None:
    with pytest.raises(pytest.skip.Exception, match="lock fcntl: refused on /mnt"):
        getattr(result_of(REFUSED), claim)()


def test_damage_that_was_wanted_passes_however_it_came() -> None:
    for case in (DAMAGED, TWO_IN, UNLOCKED):
        result_of(case).assert_damaged()


@pytest.mark.parametrize("case", [CLEAN, DIED, HUNG])
def test_neither_clean_nor_a_failed_worker_is_the_damage_that_was_wanted(case: Case) -> None:
    with pytest.raises(AssertionError):
        result_of(case).assert_damaged()


def test_how_much_more_it_takes_follows_from_the_pace_so_far() -> None:
    with pytest.raises(AssertionError) as failed:
        result_of(CLEAN).assert_clean(detects=1e-3)
    said = str(failed.value)
    assert "100 of 1,000 rounds met a holder" in said
    assert "which takes 2,995: about 28,950 more rounds, as with seconds=72" in said


def test_where_nobody_met_no_rate_is_small_enough() -> None:
    with pytest.raises(AssertionError, match="no request met a holder"):
        result_of(replace(CLEAN, contended_requests=0, detection_limit=None)).assert_clean(detects=0.99)


@pytest.mark.parametrize("detects", [0, 1, -0.1, 2])
def test_what_is_no_rate_is_refused(detects: float) -> None:
    with pytest.raises(UsageError, match="is no rate: above 0, below 1"):
        result_of(STRONG).assert_clean(detects=detects)


def test_the_line_that_does_it_again_is_the_commands_where_it_can_do_the_same() -> None:
    test = "python -m pytest test_it.py::test_it --lab-seed 7"
    race = "python -m lab race my/file.py:sub --lock fcntl --workers 2 --rounds 250 --trials 2 --seed 7 --dir /mnt"
    assert last_line_of(result_of(DAMAGED, name="my/file.py:sub")) == f"again: {race}"
    assert last_line_of(result_of(DAMAGED, name="my/file.py:sub", lock=None)) == f"again: {test}"
    assert last_line_of(result_of(DAMAGED, name="my/file.py:sub", manner=YIELDED)) == f"again: {test}"
    assert last_line_of(result_of(DAMAGED)) == f"again: {test}"


def last_line_of(result: RaceResult) -> str:
    with pytest.raises(AssertionError) as failed:
        result.assert_clean()
    return str(failed.value).splitlines()[-1]


@pytest.mark.parametrize("manner", [YIELDED, SLEPT])
def test_workers_that_waited_inside_the_lock_are_said(manner: str) -> None:
    with pytest.raises(AssertionError, match=f"workers {manner} inside the lock"):
        result_of(CLEAN, manner=manner).assert_clean()
    with pytest.raises(AssertionError) as failed:
        result_of(CLEAN).assert_clean()
    assert f"workers {manner}" not in str(failed.value)
    assert (result_of(CLEAN, manner=manner).yielded, result_of(CLEAN).yielded) == (True, False)


def test_a_lock_that_is_met_too_seldom_all_the_same_may_look_too_seldom() -> None:
    told = "a lock that polls meets others only as often as it looks: have it look every millisecond"
    theirs = replace(CLEAN, lock="mine")
    assert [told in too_weak(case, manner) for case, manner in ((theirs, SLEPT), (theirs, ""), (CLEAN, SLEPT))] == [
        True,
        False,
        False,
    ]


def too_weak(case: Case, manner: str = "") -> str:
    with pytest.raises(AssertionError) as failed:
        result_of(case, manner=manner).assert_clean(detects=1e-3)
    return str(failed.value).splitlines()[0]


def test_where_nobody_met_there_are_numbers_to_try() -> None:
    said = too_weak(replace(CLEAN, contended_requests=0, detection_limit=None))
    assert "detects=0.001 takes 2,995 that do: give workers=4 and rounds=5_000, or leave trials= out" in said


def test_a_race_that_would_only_have_noticed_a_constant_lie_says_so() -> None:
    said = too_weak(replace(CLEAN, contended_requests=1, detection_limit=0.95))
    assert (
        "1 of 1,000 rounds met a holder, so hardly a false grant would have been noticed, and detects=0.001 asks"
        in said
    )
    assert "1 in 1 " not in said


def test_what_to_do_is_said_in_the_words_of_a_test() -> None:
    late = Failure(trial=0, worker=0, round=9, how="late", reason="still at work, waiting for the lock")
    with pytest.raises(AssertionError) as failed:
        result_of(replace(HUNG, failures=[late])).assert_clean()
    assert "; give fewer rounds= or a longer time_limit=, if it is no deadlock" in str(failed.value).splitlines()[0]


def test_of_a_leak_that_was_asked_for_no_lock_is_blamed() -> None:
    def explain(run: Run) -> Run:
        raise AssertionError("nobody needs to look for a reason")

    raced = Raced(run_of(TWO_IN, leak=0.01), "")
    with pytest.raises(AssertionError) as failed:
        RaceResult(raced, Again("test_it.py::test_it", "fcntl"), explain).assert_clean()
    assert "why it broke: leak=0.01 makes conflicting holds overlap: no fault of its own" in str(failed.value)
