"""A scenario's text that goes on for ever without a step ends the search, and is told: as damage, or as a mistake."""

from __future__ import annotations

from typing import Any

import pytest

from lab.exploring import sandbox
from lab.exploring.case import Case
from lab.exploring.run import explore
from lab.records import ExploreOptions
from lab.scenario.base import Endless
from tests.exploring.worlds import scenario_of


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "LOOK_S", 0.02)
    monkeypatch.setattr(sandbox, "ENDLESS_S", 0.4)


def for_ever(scenario: Any, w: Any) -> None:
    while True:
        pass


def if_it_meets_a_half(scenario: Any, w: Any) -> None:
    w.memory.value = 1
    if w.index and w.memory.value == 0:
        for_ever(scenario, w)
    w.memory.value = 0


def explored(found: Any, search: str = "auto") -> Any:
    options = ExploreOptions(
        scenarios=["made"], locks=["none"], workers=[2], rounds=[1], search=search, preemptions=2, line_bytes=64,
        seed=0, jobs=1, time_limit_s=60.0, show_schedules=0,
    )  # fmt: skip
    return explore(Case(found, "none", 2, 1), options)


@pytest.mark.parametrize("search", ["auto", "dpor"])
def test_a_worker_that_goes_on_for_ever_in_some_order_is_damage(search: str) -> None:
    case = explored(scenario_of(if_it_meets_a_half), search)
    assert [each.kind for each in case.damage] == ["goes on for ever"]
    (evidence,) = case.damage[0].evidence
    assert "worker 1" in evidence
    assert "work goes on for ever: it took no step for" in evidence
    assert "test_endless.py" in evidence
    assert case.token is None  # a replay would go on for ever too


def test_one_that_does_so_alone_is_a_mistake_in_the_scenario() -> None:
    told = r"^work goes on for ever: it took no step for .*test_endless.py:\d+\); fix the file"
    with pytest.raises(Endless, match=told):
        explored(scenario_of(for_ever))


def test_so_is_a_start_that_does() -> None:
    with pytest.raises(Endless, match=r"^start goes on for ever: it took no step for"):
        explored(scenario_of(if_it_meets_a_half, start=for_ever))
