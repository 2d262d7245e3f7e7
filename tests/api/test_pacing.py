"""How long and how a case is raced, decided on records made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest

from lab.analysis.statistics import requests_for
from lab.api import pacing
from lab.api.manner import SLEPT, YIELDED
from lab.api.pacing import DETECTS, LONGEST_S, MOST_S, Pace
from lab.racing import Case
from lab.records import Case as Row
from tests.report.records import CLEAN, DAMAGED, DIED

ASKED = Pace(seconds=None, about_s=1.0)
ENOUGH = replace(CLEAN, contended_requests=5000, detection_limit=0.0006)
SOME = replace(CLEAN, contended_requests=1000, detection_limit=0.003)
FEW = replace(CLEAN, contended_requests=300, detection_limit=0.01)
NONE = replace(CLEAN, contended_requests=0, detection_limit=None)

BEYOND = replace(FEW, contended_requests=30)
FEW_IN_TEN = replace(FEW, contended_requests=900)
SLOW = replace(SOME, contended_requests=700)
FIRST, SECOND, THIRD = (1.0, ""), (1.0, YIELDED), (1.0, SLEPT)
LONG_YIELDED, LONG_SLEPT = (MOST_S, YIELDED), (MOST_S, SLEPT)
TOLD_YIELDED = (LONGEST_S, YIELDED)


def races(asked: Pace, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """The races of a case that come to these rows: for how long each, and what its workers did."""
    made: list[tuple[float, str]] = []
    timed_rows: list[Row] = []

    def timed(case: Any, folders: Sequence[Path], seconds: float, *, manner: str = "", enough: float = inf) -> Row:
        made.append((round(seconds, 2), manner))
        assert enough == (requests_for(DETECTS) if seconds in (LONGEST_S, MOST_S) else inf)
        timed_rows.append(replace(rows[len(made) - 1], raced_s=seconds, manner=manner))  # type: ignore[arg-type]
        return timed_rows[-1]

    monkeypatch.setattr(pacing, "_timed", timed)
    monkeypatch.setattr(pacing, "manners_of", lambda case: [YIELDED, SLEPT])
    shown = asked.race_case(cast("Case", "as it is"), [Path("/")])
    assert any(shown is row for row in timed_rows)
    assert replace(shown, raced_s=0.0, manner="") == rows[-1]
    return made


@pytest.mark.parametrize("last", [ENOUGH, DAMAGED, DIED], ids=["enough", "damaged", "died"])
@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param([], [FIRST], id="one race is enough"),
        pytest.param([SOME], [FIRST, SECOND], id="who met too seldom yields in a second"),
        pytest.param([NONE, FEW], [FIRST, SECOND, THIRD], id="who then meets too seldom sleeps in a third"),
    ],
)
def test_it_ends_where_a_race_shows_enough_or_is_not_clean(
    before: list[Row], last: Row, expected: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert races(ASKED, [*before, last], monkeypatch) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([NONE, SLOW, FEW, ENOUGH], [SECOND, THIRD, LONG_YIELDED], id="the better manner goes on"),
        pytest.param([NONE, SOME, ENOUGH], [SECOND, LONG_YIELDED], id="no sleep where yielding is soon enough"),
        pytest.param([NONE, FEW, SOME, ENOUGH], [SECOND, THIRD, LONG_SLEPT], id="longer where that would be enough"),
        pytest.param([NONE, NONE, FEW, SOME], [SECOND, THIRD, LONG_SLEPT], id="a minute longer at most"),
        pytest.param(
            [NONE, BEYOND, NONE, BEYOND], [SECOND, THIRD, TOLD_YIELDED], id="ten seconds where a minute is too little"
        ),
        pytest.param(
            [NONE, BEYOND, NONE, FEW_IN_TEN, ENOUGH],
            [SECOND, THIRD, TOLD_YIELDED, LONG_YIELDED],
            id="a minute once ten seconds show that it is enough",
        ),
        pytest.param([NONE, NONE, replace(NONE, rounds=1)], [SECOND, THIRD], id="no longer where nobody met"),
        pytest.param([SOME, FEW, ENOUGH], [SECOND, (MOST_S, "")], id="as they were where that met more"),
        pytest.param([NONE, FEW, NONE, SOME], [SECOND, THIRD, LONG_YIELDED], id="yielding where sleep met less"),
    ],
)
def test_it_goes_on_in_the_manner_that_met_most(
    rows: list[Row], expected: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert races(ASKED, rows, monkeypatch) == [FIRST, *expected]


@pytest.mark.parametrize(
    ("changed", "rows", "expected"),
    [
        pytest.param({"about_s": 0.2}, [SOME, ENOUGH], [(0.2, ""), (0.2, YIELDED)], id="the option is the second"),
        pytest.param({"seconds": 20.0}, [SOME, ENOUGH], [(5.0, ""), (15.0, "")], id="as they are where many meet"),
        pytest.param({"seconds": 2.0}, [NONE, SOME, ENOUGH],
                     [(0.5, ""), (0.25, YIELDED), (1.25, YIELDED)], id="yielding where they meet seldom"),
        pytest.param({"seconds": 2.0}, [NONE, BEYOND, SOME, ENOUGH],
                     [(0.5, ""), (0.25, YIELDED), (0.25, SLEPT), (1.0, SLEPT)], id="asleep where that does not help"),
        pytest.param({"seconds": 20.0}, [DAMAGED], [(5.0, "")], id="broken in the first"),
        pytest.param({"seconds": 20.0}, [NONE, DAMAGED], [(5.0, ""), (2.5, YIELDED)], id="broken in the second"),
        pytest.param({"seconds": 20.0}, [NONE, NONE, DIED],
                     [(5.0, ""), (2.5, YIELDED), (2.5, SLEPT)], id="broken in the third"),
    ],
)  # fmt: skip
def test_what_was_asked_for_is_used_up_unless_something_is_broken(
    changed: dict[str, Any], rows: list[Row], expected: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert races(replace(ASKED, **changed), rows, monkeypatch) == expected
