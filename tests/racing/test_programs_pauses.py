"""The places at which a copy of a program is held: drawn from what its first trial has shown, the same for a seed."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from lab.processes.tracer import Call
from lab.racing.programs.cases import cases_of_program
from lab.racing.programs.faulty import IN_THE_RACE, Pauses, planned
from lab.records import Options

START = [
    Call("openat", "data", False),
    Call("openat", "data.region", False),
    Call("ftruncate", "data.region", False),
    Call("mmap", "data.region", False),
    Call("openat", "data.tmp1", False),
    Call("openat", "data.tmp22", False),
]
RACE = [Call("flock", "data", True), Call("pwrite64", "data", True), Call("flock", "data", True)]


def alone(plans: list[Pauses]) -> list[int]:
    """The places of the first copy, which all lie in the same part."""
    places = [plan.alone for plan in plans if plan.alone]
    assert len({after for after, _ in places}) <= 1
    return [number for _, number in places]


def test_the_places_after_a_file_was_made_come_first_and_each_kind_once() -> None:
    plans = planned(START + RACE, "data", waits=True, draws=Random(1))
    assert alone(plans)[:2] == [2, 5]  # after the region, and after the first of two temporary names
    assert sorted(alone(plans)) == [0, 1, 2, 3, 4, 5]
    assert {plan.later for plan in plans} <= {((True, 0), (True, 1)), ((True, 1), (True, 0))}


def test_a_program_without_a_start_signal_starts_with_its_first_calls() -> None:
    calls = [call._replace(released=True) for call in START + RACE * 10]
    plans = planned(calls, "data", waits=False, draws=Random(1))
    assert alone(plans)[:2] == [2, 5]
    assert max(alone(plans)) < 12
    assert all(place[1] >= 12 for plan in plans for place in plan.later)


@pytest.mark.parametrize("calls", [[], RACE])
def test_without_calls_in_the_start_there_is_one_plan(calls: list[Call]) -> None:
    (plan,) = planned(calls, "data", waits=True, draws=Random(1))
    assert (plan.alone, len(plan.later)) == (None, len({call.name for call in calls}))


def test_a_trial_has_so_many_places_at_most_and_a_seed_gives_the_same() -> None:
    many = [Call(f"call{number:c}", "data", True) for number in range(ord("a"), ord("z"))]
    plans = [planned(START + many, "data", waits=True, draws=Random(seed)) for seed in (1, 1, 2)]
    assert {len(plan.later) for plan in plans[0]} == {IN_THE_RACE}
    assert plans[0] == plans[1] != plans[2]


def of_program(tmp_path: Path, faults: str, isolate: str = "") -> list[tuple[str, int, bool]]:
    """The fault, the rounds and the isolation of each case of a program."""
    check = tmp_path / "check.py"
    check.write_text("def check(path, outcome): return []\n")
    options = Options(
        scenarios=[],
        locks=[],
        workers=[4],
        rounds=77,
        trials=1,
        directory=str(tmp_path),
        seed=0,
        pin=None,
        window_ns=0,
        leak=0.0,
        time_limit_s=9.0,
        program=f"{sys.executable} {{file}} {{rounds}}",
        check=str(check),
        faults=faults,
        isolate=isolate,
    )
    cases = [case.setting for case in cases_of_program(options)]
    return [(case.fault.name if case.fault else "", case.rounds, case.isolated) for case in cases]


SHORT = [
    "own pid namespace", "paused between calls", "waiter signalled", "holder killed", "waiter killed",
    "holder stopped 1 s", "holder stopped 5 s",
]  # fmt: skip


def test_a_program_alone_has_each_fault_as_a_row_by_default(tmp_path: Path) -> None:
    rows = [("", 77, False)] + [(name, 77, name == "own pid namespace") for name in SHORT]
    assert of_program(tmp_path, "") == of_program(tmp_path, "short") == rows
    assert of_program(tmp_path, "none") == rows[:1]
    assert of_program(tmp_path, "long")[-1] == ("holder stopped 15 s", 77, False)


def test_with_isolate_every_row_is_isolated_and_none_is_there_for_it(tmp_path: Path) -> None:
    assert of_program(tmp_path, "", "pid") == [(name, 77, True) for name in ["", *SHORT[1:]]]
