from __future__ import annotations

from math import factorial, prod
from typing import Any

import pytest

from lab import Damage
from lab.explore.search import every_schedule, every_state
from lab.scenario import find_scenarios
from tests.explore.worlds import Endings, cells, follow, scenario_of, world

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
    ("workers", "rounds", "expected"), [(2, 1, 6), (2, 2, 70), (2, 3, 924), (3, 1, 90), (3, 2, 34_650), (4, 1, 2_520)]
)
def test_the_counter_without_a_lock_has_all_the_schedules_that_there_are(
    workers: int, rounds: int, expected: int
) -> None:
    tally = schedules("counter", workers=workers, rounds=rounds)
    assert tally.schedules == expected == interleavings(*[2 * rounds] * workers)
    assert tally.complete


@pytest.mark.parametrize(("workers", "rounds"), [(2, 3), (3, 1), (4, 1)])
def test_no_schedule_is_run_twice(workers: int, rounds: int) -> None:
    paths = schedules("counter", workers=workers, rounds=rounds).paths
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_under_a_lock_only_whole_rounds_interleave(lock: str) -> None:
    tally = schedules("counter", lock, rounds=2)
    assert (tally.schedules, tally.broken) == (interleavings(2, 2), 0) == (6, 0)


@pytest.mark.parametrize(("workers", "rounds", "clean"), [(2, 1, 2), (2, 2, 6), (2, 3, 20), (3, 1, 6)])
def test_the_counter_is_clean_only_where_whole_rounds_follow_one_another(workers: int, rounds: int, clean: int) -> None:
    tally = schedules("counter", workers=workers, rounds=rounds)
    assert tally.schedules - tally.broken == clean == interleavings(*[rounds] * workers)


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


def test_a_world_without_a_step_has_one_schedule() -> None:
    made = scenario_of(lambda _, w: None)
    assert schedules(made).paths == [b""]
    assert states(made).paths == [b""]


@pytest.mark.parametrize("search", [every_schedule, every_state])
def test_the_world_is_at_its_beginning_again_afterwards(search: Any) -> None:
    made = world("bank", "fcntl")
    search(made, Endings())
    assert (bytes(made.path), bytes(made.content), made.state) == (b"", made.initial, 0)


@pytest.mark.parametrize("search", [every_schedule, every_state])
def test_a_search_stops_at_the_first_schedule_that_breaks_when_told(search: Any) -> None:
    tally = Endings(first_only=True)
    search(world("counter", rounds=2), tally)
    assert tally.broken == 1
    assert tally.found
    assert tally.found.schedule == tally.paths[-1]
    assert not tally.complete


@pytest.mark.parametrize("search", [every_schedule, every_state])
def test_a_search_that_gave_up_long_schedules_is_not_complete(search: Any) -> None:
    def spin(_: object, w: Any) -> None:
        while w.index and not w.memory.value:
            pass
        w.memory.value = 1

    tally = Endings()
    search(world(scenario_of(spin), longest=12), tally)
    assert tally.too_long
    assert tally.schedules
    assert not tally.complete


@pytest.mark.parametrize("search", [every_schedule, every_state])
def test_a_search_past_its_deadline_stops_and_is_not_complete(search: Any) -> None:
    tally = Endings(deadline=0)
    search(world("counter", workers=3, rounds=3), tally)
    assert tally.out_of_time
    assert tally.schedules < 1024
    assert not tally.complete


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
    count, _ = every_state(made, Endings())
    assert count == len(met)


@pytest.mark.parametrize(("workers", "rounds"), [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2)])
def test_the_states_lead_to_the_ends_of_all_schedules(workers: int, rounds: int) -> None:
    one, all_of_them = (search("counter", workers=workers, rounds=rounds) for search in (states, schedules))
    assert one.met == all_of_them.met
    assert one.schedules <= all_of_them.schedules


@pytest.mark.parametrize(
    ("workers", "rounds", "lock"), [(2, 1, "none"), (2, 3, "none"), (3, 2, "none"), (2, 2, "fcntl"), (3, 2, "flock")]
)
def test_the_schedules_through_the_states_are_counted_without_being_run(workers: int, rounds: int, lock: str) -> None:
    _, ways = every_state(world("counter", lock, workers, rounds), Endings())
    tally = schedules("counter", lock, workers, rounds)
    assert (ways.all, ways.broken) == (tally.schedules, tally.broken)


@pytest.mark.parametrize("name", GALLERY)
def test_a_scenario_that_a_lock_fixes_holds_in_every_state_under_it(name: str) -> None:
    for lock in ("fcntl", "ofd", "flock"):
        tally = states(name, lock, rounds=2)
        assert tally.complete, lock
        assert tally.broken == 0, lock
        assert tally.schedules > 0


@pytest.mark.parametrize("name", GALLERY)
def test_a_scenario_that_a_lock_fixes_breaks_without_it(name: str) -> None:
    tally = Endings(first_only=True)
    every_state(world(name, rounds=2), tally)
    assert tally.found


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


def test_the_schedules_to_be_shown_are_the_first_that_ran() -> None:
    tally = Endings(keep=3)
    every_schedule(world("counter"), tally)
    assert tally.kept == tally.paths[:3]
