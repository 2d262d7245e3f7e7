"""What failed in the last run is tried first in the next, and forgotten where it no longer fails."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from lab.api import pacing
from lab.api.examples import Example, Failure
from lab.api.pacing import Pace
from lab.api.protocol import Answer
from lab.api.results import ExploreResult, RaceResult, Repetition
from lab.exploring.case import Case
from lab.exploring.run import explore, explore_again
from lab.records import Case as Row
from lab.records import Exploration, ExploredCase
from lab.scenario import find_scenarios
from tests.api.exploring import OPTIONS, exploration_of
from tests.report.records import CLEAN, DAMAGED, run_of

BROKEN = Failure("counter", "none", 2, token="L1,counter")  # noqa: S106 - no secret


def test_failures_are_kept_by_call_and_dropped(tmp_path: Path) -> None:
    one, other = (Example.of(tmp_path, "race", name, "fcntl", "", wanted=True) for name in ("counter", "bank"))
    assert one.failures() == []
    one.keep([BROKEN])
    assert (one.failures(), other.failures()) == ([BROKEN], [])
    assert (tmp_path / ".lab/.gitignore").read_text() == "*\n"
    one.drop()
    one.drop()
    assert one.failures() == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"call": 3}', b'{"call": "x", "failures": []}'])
def test_a_file_of_others_is_ignored(content: bytes, tmp_path: Path) -> None:
    example = Example.of(tmp_path, "race", wanted=True)
    example.keep([BROKEN])
    (file,) = (tmp_path / ".lab").glob("race-*.json")
    file.write_bytes(content)
    assert example.failures() == []


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / ".lab").write_text("a file")
    example = Example.of(tmp_path, "race", wanted=True)
    example.keep([BROKEN])
    example.drop()
    assert example.failures() == []
    assert (tmp_path / ".lab").read_text() == "a file"


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Example.of(tmp_path, "race", wanted=True).keep([BROKEN])
    assert Example.of(tmp_path, "race", wanted=False).failures() == []
    monkeypatch.setenv("LAB_EXAMPLES", "0")
    assert Example.of(tmp_path, "race", wanted=True).failures() == []


def case_of(lock: str) -> Case:
    return Case(find_scenarios(["counter"])[0], lock, 2, 2)


def test_the_interleaving_that_broke_is_run_first_and_alone_where_it_still_breaks() -> None:
    found = explore(case_of("none"), OPTIONS)
    assert found.token
    again = explore_again(case_of("none"), OPTIONS, [found.token])
    assert again is not None
    assert (again.verdict, again.token, again.schedules) == ("broken", found.token, 1)
    assert again.covered.startswith("1 run, the failure of the last time")
    locked = replace_lock(found.token, "fcntl")
    assert explore_again(case_of("fcntl"), OPTIONS, [found.token, locked]) is None


def replace_lock(token: str, lock: str) -> str:
    """The same interleaving under another lock, which does other operations."""
    from lab.exploring.token import read

    return str(replace(read(token), lock=lock))


def result_of(row: Row, example: Example) -> RaceResult:
    return RaceResult(
        Answer([""], run_of(row)), Repetition("", None), unable=pytest.fail, explain=lambda run: run, example=example
    )


def test_a_race_that_fails_its_claim_keeps_its_settings_and_one_that_passes_drops_them(tmp_path: Path) -> None:
    example = Example.of(tmp_path, "race", wanted=True)
    with pytest.raises(AssertionError):
        result_of(replace(DAMAGED, manner="yielded"), example).assert_clean()
    (kept,) = example.failures()
    assert (kept.scenario, kept.lock, kept.workers, kept.rounds, kept.manner) == ("counter", "fcntl", 2, 250, "yielded")
    with pytest.raises(AssertionError, match="was to break"):
        result_of(CLEAN, example).assert_damaged()
    assert example.failures() == [kept]
    result_of(replace(CLEAN, contended_requests=5000, detection_limit=0.0006), example).assert_clean()
    assert example.failures() == []


def test_an_exploration_that_fails_its_claim_keeps_the_token(tmp_path: Path) -> None:
    example = Example.of(tmp_path, "explore", wanted=True)

    def result(case: ExploredCase) -> ExploreResult:
        run: Exploration = exploration_of(case)
        return ExploreResult(Answer([""], run), Repetition("", None), unable=pytest.fail, example=example)

    broken = explore(case_of("none"), OPTIONS)
    result(broken).assert_broken()
    assert example.failures() == []
    with pytest.raises(AssertionError, match="broken: lost update"):
        result(broken).assert_exhausted()
    assert [each.token for each in example.failures()] == [broken.token]
    result(explore(case_of("fcntl"), OPTIONS)).assert_exhausted()
    assert example.failures() == []


@pytest.mark.parametrize(
    ("first", "expected"), [(DAMAGED, [(1.0, "slept", 7)]), (CLEAN, [(1.0, "slept", 7), (1.0, "", 300)])]
)
def test_a_race_begins_with_the_settings_that_failed(
    first: Row, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[float, str, int]] = []

    def timed(case: Any, _: object, seconds: float, *, manner: str = "", enough: float = inf) -> Row:
        made.append((seconds, manner, case.setting.rounds))
        row = first if len(made) == 1 else replace(CLEAN, detection_limit=0.0005)
        return replace(row, raced_s=seconds)

    from lab.racing import cases_of
    from tests.api.test_giving import OPTIONS as RACE

    monkeypatch.setattr(pacing, "_timed", timed)
    (case,) = cases_of(find_scenarios(["counter"])[:1], replace(RACE, locks=["fcntl"]))
    failed = Failure("counter", "fcntl", 4, backing="mapped", rounds=7, manner="slept")
    others = [replace(failed, lock="ofd"), replace(failed, workers=3), replace(failed, scenario="bank")]
    Pace(None, 1.0, first=[*others, failed]).race_case(case, [])
    assert made == expected
