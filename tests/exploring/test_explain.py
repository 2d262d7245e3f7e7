from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.exploring.beside_race import explain
from lab.exploring.run import explore
from lab.processes import Terminated
from lab.records import Case, Damage, ExploredCase
from lab.scenario import Found, find_scenarios
from tests.exploring.worlds import scenario_of
from tests.report.records import CLEAN, DIED, HUNG, TWO_IN, UNLOCKED, run_of

DAMAGED = replace(UNLOCKED, workers=4, rounds=1000)


def explained(case: Case, *scenarios: Found) -> ExploredCase | None:
    """The explanation of a raced case of a built-in scenario, or of those given."""
    run = explain(run_of(case), scenarios or find_scenarios([case.scenario]))
    assert run.cases == [replace(case, explanation=run.cases[0].explanation)]
    return run.cases[0].explanation


def raced(scenario: str, lock: str, kind: str, **changes: Any) -> Case:
    """A case that was damaged so."""
    return replace(DAMAGED, scenario=scenario, lock=lock, damage=[Damage(kind, 1, 1000, [])], **changes)


def test_damage_is_explained_by_the_shortest_interleaving_that_does_the_same() -> None:
    explanation = explained(DAMAGED)
    assert explanation
    assert (explanation.verdict, explanation.workers, explanation.rounds) == ("broken", 2, 1)
    assert explanation.headline == "lost update: worker 0 overwrites what worker 1 stored in value"
    assert explanation.preemptions == 1
    assert explanation.token


@pytest.mark.parametrize(
    ("kind", "rounds"),
    [("torn record of 256 bytes", 2), ("torn record of 4096 bytes", 3)],
)
def test_it_is_the_same_kind_of_damage_with_as_many_rounds_as_that_needs(kind: str, rounds: int) -> None:
    explanation = explained(raced("torn_record", "none", kind))
    assert explanation
    assert explanation.rounds == rounds
    assert kind in {each.kind for each in explanation.damage}


def test_the_interleaving_has_no_more_workers_and_rounds_than_raced() -> None:
    explanation = explained(raced("torn_record", "none", "torn record of 4096 bytes", workers=2, rounds=2))
    assert explanation
    assert (explanation.workers, explanation.rounds) == (2, 2)
    assert explanation.rounds <= 2


def test_a_counterexample_is_explained_under_its_lock() -> None:
    explanation = explained(raced("check_then_lock", "fcntl", "lost update"))
    assert explanation
    assert explanation.verdict == "broken"
    assert "the lock did not help" in explanation.reasons[-1]


def test_a_race_that_hung_is_explained_by_its_deadlock() -> None:
    explanation = explained(replace(HUNG, scenario="opposite_order", lock="ofd", workers=4, rounds=10))
    assert explanation
    assert explanation.headline == "deadlock: worker 0 and worker 1 wait for each other"


def test_damage_that_the_model_does_not_have_is_told_as_that() -> None:
    explanation = explained(replace(DAMAGED, lock="fcntl"))
    assert explanation
    assert (explanation.verdict, explanation.exhausted) == ("holds", True)


@pytest.mark.parametrize("case", [CLEAN, DIED, replace(CLEAN, verdict="unsupported")])
def test_what_was_not_damaged_is_not_explained(case: Case) -> None:
    assert explained(case) is None


def test_a_lock_that_let_two_in_and_broke_nothing_has_no_kind_to_look_for() -> None:
    explanation = explained(TWO_IN)
    assert explanation is None or explanation.verdict == "holds"


def test_a_lock_without_a_model_is_not_explained() -> None:
    assert explained(replace(DAMAGED, lock="another")) is None


@pytest.mark.parametrize("name", ["threads", "closed_descriptor", "private_mapping"])
def test_what_cannot_be_simulated_is_not_explained(name: str) -> None:
    assert explained(raced(name, "fcntl", "lost update")) is None


def test_a_scenario_that_bypasses_the_memory_was_raced_all_the_same() -> None:
    def work(_: object, w: Any) -> None:
        w.memory.value += len(w.path)

    assert explained(replace(DAMAGED, scenario="made"), scenario_of(work)) is None


def test_only_the_damaged_cases_of_a_run_are_explained() -> None:
    run = explain(run_of(DAMAGED, CLEAN), find_scenarios(["counter"]))
    assert [bool(case.explanation) for case in run.cases] == [True, False]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_who_interrupts_the_second_explanation_has_the_race_and_the_first(
    stop: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[object] = []

    def once(*args: Any) -> ExploredCase:
        searched.append(args)
        if len(searched) > 1:
            raise stop
        return explore(*args)

    monkeypatch.setattr("lab.exploring.beside_race.explore", once)
    cases = [DAMAGED, replace(DAMAGED, lock="ofd")]
    run = explain(run_of(*cases), find_scenarios(["counter"]))
    assert run.interrupted
    assert [bool(case.explanation) for case in run.cases] == [True, False]
