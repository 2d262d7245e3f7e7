"""What is claimed of a race, on records made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.api.manner import SLEPT, YIELDED
from lab.api.protocol import Answer
from lab.api.results import RaceResult, Repetition
from lab.errors import UsageError
from lab.records import Case, Failure, Run
from tests.report.records import CLEAN, COUNTEREXAMPLE, DAMAGED, DIED, HUNG, REFUSED, TWO_IN, UNLOCKED, run_of

STRONG = replace(CLEAN, contended_requests=5000, detection_limit=0.0006)
UNMET = replace(CLEAN, contended_requests=0, detection_limit=None)
ONE_MET = replace(CLEAN, contended_requests=1, detection_limit=0.95)
LATE = Failure(trial=0, worker=0, round=9, how="late", reason="still at work, waiting for the lock")
TEST = "python -m pytest test_it.py::test_it --lab-seed 7"
RACE = (
    "lab race my/file.py:sub --lock fcntl --workers 2 --rounds 250 --trials 2 --seed 7 --dir /mnt --time-limit {limit}"
)


def result_of(
    case: Case, *, name: str = "", lock: str | None = "fcntl", manner: str = "", **options: Any
) -> RaceResult:
    """A race that nobody ran, and that has no explanation."""
    raced = Answer([name], run_of(replace(case, manner=manner, raced_s=2.0), **options))  # type: ignore[arg-type]
    again = Repetition("test_it.py::test_it", lock, "/mnt")
    return RaceResult(raced, again, unable=pytest.skip, explain=lambda run: run)


def said_of(result: RaceResult, detects: float = 1e-3) -> str:
    """What the failure of the claim that it is clean says."""
    with pytest.raises(AssertionError) as failed:
        result.assert_clean(detects=detects)
    return str(failed.value)


def test_clean_with_just_enough_power_passes() -> None:
    result_of(STRONG).assert_clean()
    result_of(STRONG).assert_clean(detects=0.0006)
    assert "shows too little" in said_of(result_of(STRONG), 0.00059)


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
    assert said_of(result_of(case), 0.5).startswith(said)


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


@pytest.mark.parametrize(
    ("case", "detects", "said"),
    [
        (CLEAN, 1e-3, "100 of 1,000 rounds met a holder"),
        (CLEAN, 1e-3, "which takes 2,995: about 28,950 more rounds, as with seconds=72"),
        (UNMET, 0.99, "no request met a holder"),
        (UNMET, 1e-3, "detects=0.001 takes 2,995 that do: give workers=4 and rounds=5_000, or leave trials= out"),
        (ONE_MET, 1e-3, "1 of 1,000 rounds met a holder, so hardly a false grant would have been noticed, and detects"),
        (replace(HUNG, failures=[LATE]), 1e-3, "; give fewer rounds= or a longer time_limit=, if it is no deadlock"),
    ],
)
def test_a_race_that_shows_too_little_says_what_it_takes_in_the_words_of_a_test(
    case: Case, detects: float, said: str
) -> None:
    first = said_of(result_of(case), detects).splitlines()[0]
    assert said in first
    assert "1 in 1 " not in first


@pytest.mark.parametrize("detects", [0, 1, -0.1, 2])
def test_what_is_no_rate_is_refused(detects: float) -> None:
    with pytest.raises(UsageError, match="is no rate: above 0, below 1"):
        result_of(STRONG).assert_clean(detects=detects)


@pytest.mark.parametrize(
    ("again", "changed"),
    [
        (RACE.format(limit=30), {}),
        (RACE.format(limit=0.5), {"time_limit_s": 0.5}),
        (TEST, {"lock": None}),
        (TEST, {"manner": YIELDED}),
        (TEST, {"name": ""}),
    ],
)
def test_the_line_that_does_it_again_is_the_commands_where_it_can_do_the_same(
    again: str, changed: dict[str, Any]
) -> None:
    result = result_of(DAMAGED, **({"name": "my/file.py:sub"} | changed))
    assert said_of(result).splitlines()[-1] == f"again: {again}"


@pytest.mark.parametrize("manner", [YIELDED, SLEPT])
def test_workers_that_waited_inside_the_lock_are_said(manner: str) -> None:
    waited, plain = result_of(CLEAN, manner=manner), result_of(CLEAN)
    assert [f"workers {manner} inside the lock" in said_of(each) for each in (waited, plain)] == [True, False]
    assert (waited.yielded, plain.yielded) == (True, False)


def test_a_lock_that_is_met_too_seldom_all_the_same_may_look_too_seldom() -> None:
    told = "a lock that polls meets others only as often as it looks: have it look every millisecond"
    theirs = replace(CLEAN, lock="mine")
    cases = [result_of(theirs, manner=SLEPT), result_of(theirs), result_of(CLEAN, manner=SLEPT)]
    assert [told in said_of(each) for each in cases] == [True, False, False]


def test_of_a_leak_that_was_asked_for_no_lock_is_blamed() -> None:
    def explain(run: Run) -> Run:
        raise AssertionError("nobody needs to look for a reason")

    again = Repetition("test_it.py::test_it", "fcntl")
    result = RaceResult(Answer([""], run_of(TWO_IN, leak=0.01)), again, unable=pytest.skip, explain=explain)
    assert "why it broke: leak=0.01 makes conflicting holds overlap: no fault of its own" in said_of(result)
