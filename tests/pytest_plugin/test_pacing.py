"""How long and how a case is raced, decided on records made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest

from lab.analysis.statistics import requests_for
from lab.pytest_plugin import pacing
from lab.pytest_plugin.manner import SLEPT, YIELDED
from lab.pytest_plugin.pacing import Shown, raced
from lab.pytest_plugin.protocol import DETECTS, LONGEST_S, RaceRequest
from lab.race import Case
from lab.records import Case as Row
from tests.report.records import CLEAN, DAMAGED, DIED

ASKED = RaceRequest(
    scenario={"name": "counter"},
    lock={"name": "fcntl"},
    workers=2,
    rounds=None,
    trials=None,
    seconds=None,
    about_s=1.0,
    backing=None,
    window_ns=0,
    leak=0.0,
    seed=0,
    directory="/",
    time_limit_s=10.0,
)
ENOUGH = replace(CLEAN, contended_requests=5000, detection_limit=0.0006)
SOME = replace(CLEAN, contended_requests=1000, detection_limit=0.003)
FEW = replace(CLEAN, contended_requests=300, detection_limit=0.01)
NONE = replace(CLEAN, contended_requests=0, detection_limit=None)

Racing = Callable[[RaceRequest, list[Row]], list[tuple[float, str]]]


@pytest.fixture
def racing(monkeypatch: pytest.MonkeyPatch) -> Racing:
    """Races that come to these rows: for how long each, and what its workers did."""

    def race(asked: RaceRequest, rows: list[Row]) -> list[tuple[float, str]]:
        races: list[tuple[float, str]] = []

        def timed(
            case: Any, folder: Path, seconds: float = 0.0, trials: int = 0, *, manner: str = "", enough: float = inf
        ) -> Shown:
            races.append((round(seconds or trials, 2), manner))
            assert enough == (requests_for(DETECTS) if seconds == LONGEST_S else inf)
            return Shown(rows[len(races) - 1], seconds or 1.0, manner)

        monkeypatch.setattr(pacing, "_timed", timed)
        monkeypatch.setattr(pacing, "manners_of", lambda case: [YIELDED, SLEPT])
        shown = raced(cast("Case", "as it is"), Path("/"), asked)
        assert (shown.row, shown.manner) == (rows[-1], races[rows.index(shown.row)][1])
        return races

    return race


@pytest.mark.parametrize("row", [ENOUGH, DAMAGED, DIED])
def test_one_race_is_enough_where_it_shows_enough_or_is_not_clean(racing: Racing, row: Row) -> None:
    assert racing(ASKED, [row]) == [(1.0, "")]


@pytest.mark.parametrize("row", [ENOUGH, DAMAGED, DIED])
def test_workers_that_met_too_seldom_give_way_in_a_second_race(racing: Racing, row: Row) -> None:
    assert racing(ASKED, [SOME, row]) == [(1.0, ""), (1.0, YIELDED)]


@pytest.mark.parametrize("row", [ENOUGH, DAMAGED, DIED])
def test_where_even_that_is_too_seldom_they_sleep_in_a_third(racing: Racing, row: Row) -> None:
    assert racing(ASKED, [NONE, FEW, row]) == [(1.0, ""), (1.0, YIELDED), (1.0, SLEPT)]


def test_they_do_not_sleep_where_giving_way_is_soon_enough(racing: Racing) -> None:
    slow = replace(SOME, contended_requests=700)
    assert racing(ASKED, [NONE, slow, FEW, ENOUGH]) == [(1.0, ""), (1.0, YIELDED), (1.0, SLEPT), (LONGEST_S, YIELDED)]
    assert racing(ASKED, [NONE, SOME, ENOUGH]) == [(1.0, ""), (1.0, YIELDED), (LONGEST_S, YIELDED)]


def test_the_race_is_longer_where_that_would_be_enough(racing: Racing) -> None:
    assert racing(ASKED, [NONE, SOME, ENOUGH]) == [(1.0, ""), (1.0, YIELDED), (LONGEST_S, YIELDED)]
    assert racing(ASKED, [NONE, FEW, SOME, ENOUGH])[2:] == [(1.0, SLEPT), (LONGEST_S, SLEPT)]


def test_it_is_ten_seconds_longer_at_most(racing: Racing) -> None:
    """The first trials are short and mostly start, so that more may come of it than it seems."""
    assert racing(ASKED, [NONE, NONE, FEW, SOME])[2:] == [(1.0, SLEPT), (LONGEST_S, SLEPT)]


def test_it_is_not_longer_where_nobody_met(racing: Racing) -> None:
    assert racing(ASKED, [NONE, NONE, replace(NONE, rounds=1)])[2:] == [(1.0, SLEPT)]


def test_workers_that_meet_more_seldom_when_they_wait_inside_go_on_as_they_were(racing: Racing) -> None:
    assert racing(ASKED, [SOME, FEW, ENOUGH]) == [(1.0, ""), (1.0, YIELDED), (LONGEST_S, "")]
    assert racing(ASKED, [NONE, FEW, NONE, SOME])[2:] == [(1.0, SLEPT), (LONGEST_S, YIELDED)]


def test_the_option_stands_for_the_second(racing: Racing) -> None:
    assert racing(replace(ASKED, about_s=0.2), [SOME, ENOUGH]) == [(0.2, ""), (0.2, YIELDED)]


def test_trials_are_raced_as_they_are(racing: Racing) -> None:
    assert racing(replace(ASKED, trials=3), [NONE]) == [(3, "")]


def test_seconds_are_used_up_as_they_are_where_workers_meet_often(racing: Racing) -> None:
    assert racing(replace(ASKED, seconds=20.0), [SOME, ENOUGH]) == [(5.0, ""), (15.0, "")]


def test_seconds_are_used_up_by_workers_that_give_way_where_they_meet_seldom(racing: Racing) -> None:
    races = racing(replace(ASKED, seconds=2.0), [NONE, SOME, ENOUGH])
    assert races == [(0.5, ""), (0.25, YIELDED), (1.25, YIELDED)]


def test_seconds_are_used_up_by_workers_that_sleep_where_giving_way_does_not_help(racing: Racing) -> None:
    races = racing(replace(ASKED, seconds=2.0), [NONE, replace(FEW, contended_requests=30), SOME, ENOUGH])
    assert races == [(0.5, ""), (0.25, YIELDED), (0.25, SLEPT), (1.0, SLEPT)]


@pytest.mark.parametrize("rows", [[DAMAGED], [NONE, DAMAGED], [NONE, NONE, DIED]])
def test_seconds_are_not_used_up_where_something_is_broken(racing: Racing, rows: list[Row]) -> None:
    assert racing(replace(ASKED, seconds=20.0), rows) == [(5.0, ""), (2.5, YIELDED), (2.5, SLEPT)][: len(rows)]
