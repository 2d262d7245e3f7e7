"""A short exploration of each race that stayed clean: what it changes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_uint64
from dataclasses import asdict, replace
from typing import Any

import pytest

from lab.exploring import beside_race
from lab.exploring.beside_race import explain, explored_beside
from lab.records import Case, Run
from lab.scenario import Damage, Found, find_scenarios
from tests.exploring.worlds import scenario_of
from tests.helpers import OtherProcess
from tests.report.records import CLEAN, DAMAGED, DIED, run_of

BOTH = (("a", c_uint64), ("b", c_uint64))


def in_two_locks(self: Any, w: Any) -> None:
    for field in (self.Memory.a, self.Memory.b):
        with w.write_lock(field):
            setattr(w.memory, "a" if field is self.Memory.a else "b", w.index + 1)


def in_one_lock(self: Any, w: Any) -> None:
    with w.write_lock():
        w.memory.a = w.memory.b = w.index + 1


def forever(self: Any, w: Any) -> None:
    while True:
        pass


def around(self: Any, w: Any) -> None:
    w.path  # noqa: B018 - a race may ask for it, an exploration may not


def alike(self: Any, memory: Any, outcome: Any) -> Damage:
    return Damage("mixed", int(memory.a != memory.b), 1)


def enough(self: Any, memory: Any, outcome: Any) -> Damage:
    """A check that a small shape cannot pass: it has nothing to do with the order of steps."""
    return Damage("too few", int(outcome.rounds < 1000), 1)


SCENARIOS: dict[str, Callable[[], Found]] = {
    "two locks": lambda: scenario_of(in_two_locks, *BOTH, check=alike),
    "two locks, expected": lambda: scenario_of(in_two_locks, *BOTH, check=alike),
    "one lock": lambda: scenario_of(in_one_lock, *BOTH, check=alike),
    "enough": lambda: scenario_of(in_one_lock, *BOTH, check=enough),
    "forever": lambda: scenario_of(forever),
    "around": lambda: scenario_of(around),
    "race only": lambda: scenario_of(in_two_locks, *BOTH, check=alike, worlds=frozenset({"race"})),
}


def explored(name: str, case: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The case after a race of the scenario that ended as CLEAN, with these fields changed."""
    found = replace(SCENARIOS[name](), name=CLEAN.scenario)
    beside_race.ENDED_S = 0.5 if name == "forever" else 20.0  # a loaded machine is no reason to say nothing
    beside_race.BRIEFLY_S = 5.0
    run = run_of(replace(CLEAN, **(case or {})), **options)
    (row,) = explain(explored_beside(run, [found]), [found]).cases
    return asdict(row)


def test_a_clean_race_that_breaks_when_explored_is_damaged_and_explained_by_that(other: OtherProcess) -> None:
    row = other.call(explored, "two locks")
    assert (row["verdict"], row["damage"], row["corruption_rate"]) == ("damaged", [], 0)
    assert row["reason"] == "the race found no corruption; exploring breaks it in 1 preemption: mixed"
    assert (row["explored"]["verdict"], row["explored"]["workers"], row["explored"]["rounds"]) == ("broken", 2, 1)
    assert row["explored"]["reasons"][-1].startswith("the lock did not help: worker 0 released a before")
    assert row["explanation"] == row["explored"]


def test_where_corruption_is_expected_the_verdict_stays_and_the_exploration_is_added(other: OtherProcess) -> None:
    row = other.call(explored, "two locks", {"expected": "damaged"})
    assert (row["verdict"], row["reason"], row["explored"]["verdict"]) == ("clean", "", "broken")


def test_a_case_too_weak_for_what_was_asked_is_damaged_too(other: OtherProcess) -> None:
    row = other.call(explored, "two locks", {"verdict": "inconclusive", "reason": "few"}, detects=1e-3)
    assert row["verdict"] == "damaged"


def test_a_mended_scenario_stays_clean_and_holds_in_the_largest_shape(other: OtherProcess) -> None:
    row = other.call(explored, "one lock", {"workers": 4})
    assert (row["verdict"], row["explanation"]) == ("clean", None)
    found = row["explored"]
    assert (found["verdict"], found["exhausted"], found["workers"], found["rounds"]) == ("holds", True, 3, 2)


@pytest.mark.parametrize(
    ("name", "case", "options"),
    [
        ("enough", {}, {}),  # it breaks without any interleaving
        ("forever", {}, {}),
        ("around", {}, {}),
        ("race only", {}, {}),
        ("two locks", {"lock": "lockfile"}, {}),
        ("two locks", {"shares": False}, {}),
        ("two locks", {"workers": 1}, {}),
        ("two locks", {"fault": "holder killed"}, {}),
        ("two locks", {"program": "mine", "programs": 2}, {}),
        ("two locks", {"operations": 0}, {}),
        ("two locks", {}, {"leak": 0.5}),
    ],
)
def test_what_cannot_be_explored_stays_as_it_is(
    name: str, case: dict[str, Any], options: dict[str, Any], other: OtherProcess
) -> None:
    row = other.call(explored, name, case, **options)
    assert (row["verdict"], row["reason"], row["explored"]) == ("clean", "", None)


@pytest.mark.parametrize("case", [DAMAGED, DIED, replace(CLEAN, verdict="unsupported")])
def test_only_what_stayed_clean_is_explored(case: Case) -> None:
    run: Run = run_of(case)
    assert explored_beside(run, find_scenarios([case.scenario])) == run
