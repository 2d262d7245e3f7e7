"""How much a clean race would have to show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.analysis.statistics import detection_limit, requests_for
from lab.racing.summary import held_to, rounds_for, seconds_for
from lab.records import Case
from tests.report.records import CLEAN, DAMAGED, DIED, REFUSED


@pytest.mark.parametrize("rate", [0.5, 0.1, 1e-3, 1e-6])
def test_the_requests_that_a_rate_takes_are_just_enough_to_notice_it(rate: float) -> None:
    needed = requests_for(rate)
    assert (detection_limit(needed) or 1) <= rate < (detection_limit(needed - 1) or 1)


def test_rounds_and_seconds_grow_with_what_is_missing() -> None:
    assert rounds_for(CLEAN, 1e-3) == 29_950
    assert seconds_for(CLEAN, 1e-3, 2.0) == pytest.approx(2.0 * 29.95 * 1.2)


def test_where_nobody_met_nothing_can_be_said() -> None:
    alone = replace(CLEAN, contended_requests=0)
    assert (rounds_for(alone, 1e-3), seconds_for(alone, 1e-3, 2.0)) == (0, 0.0)


MET = replace(CLEAN, contended_requests=100, refused_requests=0)
"""Enough for a lock that grants falsely 1 in 34 times, and not for a rarer one."""


@pytest.mark.parametrize(
    ("case", "detects", "verdict"),
    [
        (MET, None, "clean"),
        (MET, 0.03, "clean"),
        (MET, 0.029, "inconclusive"),
        (replace(MET, contended_requests=0, refused_requests=3000), 1e-3, "clean"),
        (replace(MET, contended_requests=0), 0.999, "inconclusive"),
        (replace(MET, lock="none"), 1e-3, "clean"),
        (replace(MET, expected="damaged"), 1e-3, "clean"),
        (DAMAGED, 1e-3, "damaged"),
        (DIED, 1e-3, "died"),
        (REFUSED, 1e-3, "unsupported"),
    ],
)
def test_a_clean_race_under_a_lock_is_held_to_the_strength_that_was_asked_for(
    case: Case, detects: float | None, verdict: str
) -> None:
    assert held_to(detects, case).verdict == verdict


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (MET, "100 requests met a holder, which detects 1 in 33; --detects 0.001 takes 2,995: give about --trials 72,"),
        (replace(MET, contended_requests=0), "no request met a holder; --detects 0.001 takes 2,995 that do: give"),
        (replace(MET, contended_requests=0, holds=0), "no hold of a lock was recorded; --detects 0.001 takes 2,995 "),
    ],
)
def test_a_race_that_is_too_weak_says_how_far_it_came_and_what_to_do(case: Case, said: str) -> None:
    assert held_to(1e-3, case).reason.startswith(said)


def test_so_many_trials_as_it_says_would_be_enough() -> None:
    trials = int(held_to(1e-3, MET).reason.partition("--trials ")[2].partition(",")[0])
    assert held_to(1e-3, replace(MET, contended_requests=100 * trials // MET.trials)).verdict == "clean"
