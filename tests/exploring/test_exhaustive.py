from __future__ import annotations

from math import factorial, prod
from typing import Any

import pytest

from lab import Damage
from lab.exploring.search import every_schedule, every_state
from lab.scenario import find_scenarios
from tests.exploring.worlds import Endings, cells, follow, scenario_of, world

GALLERY = [found.name for found in find_scenarios([])]
"""The scenarios that a lock fixes."""


def schedules(*args: Any, most: float = float("inf"), **kwargs: Any) -> Endings:
    tally = Endings(most=most)
    every_schedule(world(*args, **kwargs), tally)
    return tally


def states(*args: Any, **kwargs: Any) -> Endings:
    tally = Endings()
    every_state(world(*args, **kwargs), tally)
    return tally


def interleavings(*steps: int) -> int:
    """In how many orders sequences of so many steps can be merged."""
    return factorial(sum(steps)) // prod(map(factorial, steps))


@pytest.mark.parametrize(
    ("workers", "rounds", "expected", "clean"),
    [(2, 1, 6, 2), (2, 2, 70, 6), (2, 3, 924, 20), (3, 1, 90, 6), (3, 2, 34_650, 90), (4, 1, 2_520, 24)],
)
def test_the_counter_without_a_lock_runs_each_schedule_once_and_only_whole_rounds_are_clean(
    workers: int, rounds: int, expected: int, clean: int
) -> None:
    tally = schedules("counter", workers=workers, rounds=rounds)
    assert tally.schedules == len(set(tally.paths)) == expected == interleavings(*[2 * rounds] * workers)
    assert tally.schedules - tally.broken == clean == interleavings(*[rounds] * workers)
    assert tally.complete


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_under_a_lock_only_whole_rounds_interleave(lock: str) -> None:
    tally = schedules("counter", lock, rounds=2)
    assert (tally.schedules, tally.broken) == (interleavings(2, 2), 0) == (6, 0)


def test_the_counter_ends_with_every_value_that_it_can_end_with() -> None:
    met = schedules("counter", rounds=3).met
    assert sorted(int.from_bytes(each.content, "little") for each in met) == [2, 3, 4, 5, 6]


def test_workers_that_take_different_numbers_of_steps_interleave_in_all_ways() -> None:
    def work(_: object, w: Any) -> None:
        for _ in range(w.index + 1):
            w.memory.value = w.index

    assert schedules(scenario_of(work), workers=3).schedules == interleavings(1, 2, 3)


def test_a_worker_with_no_step_left_leaves_the_others_their_turns() -> None:
    def work(_: object, w: Any) -> None:
        if w.memory.cells[0] == 0:
            w.memory.cells[0] = 1

    assert sorted(schedules(scenario_of(work, cells(1))).paths) == [
        b"\0\0\1",
        b"\0\1\0\1",
        b"\0\1\1\0",
        b"\1\0\0\1",
        b"\1\0\1\0",
        b"\1\1\0",
    ]


def test_the_schedules_from_a_path_on_begin_with_it() -> None:
    tally = Endings()
    made = follow(world("counter", rounds=2), [0, 1])
    every_schedule(made, tally)
    assert tally.schedules == interleavings(3, 3)
    assert all(path.startswith(b"\0\1") for path in tally.paths)
    assert made.path == b"\0\1"


def test_the_states_are_each_met_once() -> None:
    made = world("counter", rounds=1)
    met = set()

    def visit() -> None:
        met.add((bytes(made.content), *(tuple(node.history()) for node in made.at)))
        for worker in made.choices():
            made.do(worker)
            visit()
            made.undo()

    visit()
    assert every_state(made, Endings(), symmetric=False)[0] == len(met) == 12
    assert every_state(made, Endings())[0] == len({(content, *sorted(map(repr, at))) for content, *at in met}) == 8


@pytest.mark.parametrize(
    ("workers", "rounds", "lock"),
    [(2, 1, "none"), (2, 2, "none"), (2, 3, "none"), (3, 1, "none"), (3, 2, "none"), (2, 2, "fcntl"), (3, 2, "flock")],
)
def test_the_states_lead_to_the_ends_of_all_schedules_and_count_them_without_running_them(
    workers: int, rounds: int, lock: str
) -> None:
    tally, every = Endings(), schedules("counter", lock, workers, rounds)
    _, ways = every_state(world("counter", lock, workers, rounds), tally)
    assert ways
    assert (ways.all, ways.broken) == (every.schedules, every.broken)
    assert tally.met == every.met
    assert tally.schedules <= every.schedules


@pytest.mark.parametrize("name", GALLERY)
def test_a_scenario_that_a_lock_fixes_holds_in_every_state_under_it_and_breaks_without(name: str) -> None:
    for lock in ("fcntl", "ofd", "flock"):
        tally = states(name, lock, rounds=2)
        assert (tally.complete, tally.broken) == (True, 0), lock
        assert tally.schedules > 0
    unlocked = Endings(first_only=True)
    every_state(world(name, rounds=2), unlocked)
    assert unlocked.found


def test_a_deadlock_is_one_of_the_ends() -> None:
    tally = states("opposite_order", "ofd", rounds=1)
    assert frozenset({"deadlock"}) in {each.kinds for each in tally.met}
    assert tally.complete


def test_damage_of_other_kinds_than_those_wanted_is_not_counted() -> None:
    def check(_: object, memory: Any, outcome: Any) -> list[Damage]:
        return [Damage("low", int(memory.value < 2), 1), Damage("always", 1, 1)]

    def add(_: object, w: Any) -> None:
        w.memory.value += 1

    wanted = Endings(kinds=frozenset({"low"}))
    every_schedule(world(scenario_of(add, check=check)), wanted)
    assert (wanted.schedules, wanted.broken) == (6, 4)
