from __future__ import annotations

from itertools import count
from math import inf
from typing import Any

import pytest

from lab import Deadlock
from lab.explore.search import Bounded, every_schedule, preemptions
from lab.explore.world import World
from lab.scenario import Found
from tests.explore.worlds import Endings, cells, follow, scenario_of, world

SETTINGS = [
    ("counter", "none", 2, 2),
    ("counter", "none", 3, 1),
    ("counter", "fcntl", 2, 2),
    ("bank", "none", 2, 1),
    ("append_log", "flock", 2, 2),
    ("check_then_lock", "fcntl", 2, 1),
    ("opposite_order", "ofd", 2, 1),
]

every_setting = pytest.mark.parametrize(("name", "lock", "workers", "rounds"), SETTINGS)


def searched(made: World, most: float = inf, **options: Any) -> tuple[Bounded, Endings]:
    """The search up to this bound, and what it met."""
    tally = Endings(**options)
    bounded = Bounded(made, tally)
    for bound in count():
        if bound > most or bounded.complete or tally.over:
            return bounded, tally
        bounded.run(bound)
    raise AssertionError("counting has no end")


def patient() -> Found:
    """Two locks in opposite orders, each worker trying again until it gets both."""

    def work(scenario: Any, w: Any) -> None:
        both = scenario.Memory.cells
        for _ in range(2):
            try:
                with w.write_lock(both, w.index), w.write_lock(both, 1 - w.index):
                    return
            except Deadlock:
                pass

    return scenario_of(work, cells(2))


@pytest.mark.parametrize(("bound", "expected"), [(0, 2), (1, 8), (2, 26), (3, 44), (4, 62), (5, 68), (6, 70)])
def test_two_workers_and_two_rounds_have_so_many_schedules_with_at_most_so_many_preemptions(
    bound: int, expected: int
) -> None:
    bounded, tally = searched(world("counter", rounds=2), bound)
    assert tally.schedules == expected
    assert bounded.bound == bound
    assert bounded.complete == (bound == 6)


def test_three_workers_and_two_rounds_have_402_schedules_with_at_most_2_preemptions() -> None:
    assert searched(world("counter", workers=3, rounds=2), 2)[1].schedules == 402


@every_setting
def test_with_the_bound_raised_until_nothing_is_left_every_schedule_was_run_once(
    name: str, lock: str, workers: int, rounds: int
) -> None:
    made = world(name, lock, workers, rounds)
    every = Endings()
    every_schedule(made, every)
    bounded, tally = searched(made)
    assert sorted(tally.paths) == sorted(every.paths)
    assert bounded.complete


@every_setting
def test_schedules_come_by_their_number_of_preemptions(name: str, lock: str, workers: int, rounds: int) -> None:
    made = world(name, lock, workers, rounds)
    counts = [preemptions(made, path) for path in searched(made)[1].paths]
    assert counts == sorted(counts)


@every_setting
def test_a_bound_covers_all_the_schedules_within_it(name: str, lock: str, workers: int, rounds: int) -> None:
    made = world(name, lock, workers, rounds)
    every = Endings()
    every_schedule(made, every)
    for bound in range(4):
        within = {path for path in every.paths if preemptions(made, path) <= bound}
        assert set(searched(made, bound)[1].paths) == within


@pytest.mark.parametrize(("name", "lock", "workers", "rounds"), [each for each in SETTINGS if each[1] == "none"])
def test_the_first_schedule_that_breaks_has_the_fewest_preemptions(
    name: str, lock: str, workers: int, rounds: int
) -> None:
    made = world(name, lock, workers, rounds)
    every = Endings()
    every_schedule(made, every)
    fewest = min(preemptions(made, path) for path in every.broken_paths)
    _, tally = searched(made, first_only=True)
    assert tally.found
    assert preemptions(made, tally.found.schedule) == fewest


@pytest.mark.parametrize(
    ("name", "lock", "bound", "within"),
    [("counter", "none", 1, 10), ("opposite_order", "ofd", 1, 10), ("torn_record", "none", 1, 20)],
)
def test_a_first_failure_is_found_within_few_schedules(name: str, lock: str, bound: int, within: int) -> None:
    made = world(name, lock, rounds=2)
    _, tally = searched(made, first_only=True)
    assert tally.found
    assert preemptions(made, tally.found.schedule) == bound
    assert tally.schedules <= within


def test_the_search_stops_where_it_is_told_and_covers_no_bound_in_full_then() -> None:
    bounded, _ = searched(world("counter", rounds=2), first_only=True)
    assert bounded.bound == 0
    assert not bounded.complete


def test_the_search_goes_on_from_the_bound_that_it_covered() -> None:
    made, tally = world("counter", rounds=2), Endings()
    bounded = Bounded(made, tally)
    bounded.run(1)
    bounded.run(3)
    assert tally.schedules == 44
    assert len(set(tally.paths)) == 44


def test_the_world_is_at_its_beginning_again_afterwards() -> None:
    for options in ({}, {"first_only": True}):
        made = world("counter", rounds=2)
        searched(made, **options)
        assert (bytes(made.path), bytes(made.content)) == (b"", made.initial)


def test_a_search_that_gave_up_long_schedules_is_not_complete() -> None:
    def spin(_: object, w: Any) -> None:
        while w.index and not w.memory.value:
            pass
        w.memory.value = 1

    bounded, tally = searched(world(scenario_of(spin), longest=12), 6)
    assert tally.too_long
    assert not bounded.complete


def test_a_world_without_a_step_has_one_schedule() -> None:
    bounded, tally = searched(world(scenario_of(lambda _, w: None)))
    assert tally.paths == [b""]
    assert bounded.complete


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [([0, 0, 1, 1], 0), ([1, 1, 0, 0], 0), ([0, 1, 1, 0], 1), ([0, 1, 0, 1], 2), ([1, 0, 0, 1], 1)],
)
def test_taking_the_turn_from_a_worker_that_could_go_on_is_a_preemption(schedule: list[int], expected: int) -> None:
    assert preemptions(world("counter"), bytes(schedule)) == expected


def test_leaving_a_worker_that_waits_is_no_preemption() -> None:
    made = world("counter", "fcntl")
    assert preemptions(made, bytes([0, 0, 0, 0, 1, 1, 1, 1])) == 0
    one_waits = bytes([0, 0, 1, 0, 0, 1, 1, 1])  # worker 0 is left inside its lock, and has it when 1 comes to it
    assert preemptions(world("check_then_lock", "fcntl"), one_waits) == 1


def test_leaving_a_worker_that_was_refused_is_no_preemption() -> None:
    """Each is left once inside its first lock; worker 0, refused its second, gives up the first and lets 1 by."""
    schedule = bytes([0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0])
    assert follow(world(patient(), "fcntl"), schedule).end().damage == ()
    assert preemptions(world(patient(), "fcntl"), schedule) == 2


def test_a_worker_that_was_refused_steps_aside_until_it_is_granted_a_lock() -> None:
    made = follow(world(patient(), "fcntl"), [0, 1])
    aside = []
    for worker in (0, 0, 1, 1, 1, 0):
        follow(made, [worker])
        aside.append(made.steps_aside(0))
    assert aside == [True] * 5 + [False]


@pytest.mark.parametrize("bound", [0, 1, 2, 3])
def test_a_bound_covers_all_the_schedules_within_it_where_workers_are_refused(bound: int) -> None:
    made = world(patient(), "fcntl")
    every = Endings()
    every_schedule(made, every)
    within = {path for path in every.paths if preemptions(made, path) <= bound}
    assert set(searched(made, bound)[1].paths) == within


def test_refusals_that_repeat_are_bounded_by_the_worker_who_steps_aside() -> None:
    _, tally = searched(world(patient(), "fcntl"), 1)
    assert tally.schedules > 2
    assert not tally.too_long
