"""What is claimed of a race, on records made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.errors import UsageError
from lab.pytest_plugin.again import Again
from lab.pytest_plugin.answer import Raced
from lab.pytest_plugin.raced import RaceResult
from lab.results import Case
from tests.report.records import CLEAN, DAMAGED, DIED, HUNG, LESSON, REFUSED, TWO_IN, UNLOCKED, run_of

STRONG = replace(CLEAN, contended_requests=5000, detection_power=0.0006)


def result_of(case: Case, *, name: str = "", lock: str | None = "fcntl", gave_way: bool = False) -> RaceResult:
    """A race that nobody ran, and that has no explanation."""
    raced = Raced(run_of(case), name, gave_way=gave_way, raced_s=2.0)
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
        (TWO_IN, "counter under fcntl, 2 workers: damaged: the lock let two in, 1 time, though no data broke"),
        (DIED, "counter under fcntl, 2 workers: died: worker 1 was killed by SIGKILL"),
        (HUNG, "counter under fcntl, 2 workers: timeout: worker 0 still at work"),
        (UNLOCKED, "counter under none, 2 workers: damaged: apart"),
        (LESSON, "short_range under fcntl, 2 workers: damaged: anyway"),
        (replace(TWO_IN, verdict="clean"), "counter under fcntl, 2 workers: clean: the lock let two in"),
    ],
    ids=["damage", "two in", "died", "hung", "expected damage", "a lesson", "two in, whatever the verdict"],
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
        result_of(replace(CLEAN, contended_requests=0, detection_power=None)).assert_clean(detects=0.99)


@pytest.mark.parametrize("detects", [0, 1, -0.1, 2])
def test_what_is_no_rate_is_refused(detects: float) -> None:
    with pytest.raises(UsageError, match="is no rate: above 0, below 1"):
        result_of(STRONG).assert_clean(detects=detects)


def test_the_line_that_does_it_again_is_the_commands_where_it_can_do_the_same() -> None:
    test = "python -m pytest test_it.py::test_it --lab-seed 7"
    race = "python -m lab race my/file.py:sub --lock fcntl --workers 2 --rounds 250 --trials 2 --seed 7 --dir /mnt"
    assert last_line_of(result_of(DAMAGED, name="my/file.py:sub")) == f"again: {race}"
    assert last_line_of(result_of(DAMAGED, name="my/file.py:sub", lock=None)) == f"again: {test}"
    assert last_line_of(result_of(DAMAGED, name="my/file.py:sub", gave_way=True)) == f"again: {test}"
    assert last_line_of(result_of(DAMAGED)) == f"again: {test}"


def last_line_of(result: RaceResult) -> str:
    with pytest.raises(AssertionError) as failed:
        result.assert_clean()
    return str(failed.value).splitlines()[-1]


def test_workers_that_gave_way_are_said() -> None:
    with pytest.raises(AssertionError, match="workers gave way"):
        result_of(CLEAN, gave_way=True).assert_clean()
    with pytest.raises(AssertionError) as failed:
        result_of(CLEAN).assert_clean()
    assert "gave way" not in str(failed.value)
