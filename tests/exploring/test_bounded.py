from __future__ import annotations

from itertools import count
from math import inf
from random import Random
from typing import Any

import pytest

from lab import Deadlock
from lab.exploring.node import REFUSED
from lab.exploring.operation import LOCK
from lab.exploring.search import Bounded, every_schedule, preemptions
from lab.exploring.world import World
from lab.scenario import Found
from tests.exploring.worlds import Endings, cells, follow, scenario_of, world

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


@pytest.mark.parametrize(
    ("workers", "bound", "expected"),
    [(2, 0, 2), (2, 1, 8), (2, 2, 26), (2, 3, 44), (2, 4, 62), (2, 5, 68), (2, 6, 70), (3, 2, 402)],
)
def test_two_rounds_have_so_many_schedules_with_at_most_so_many_preemptions(
    workers: int, bound: int, expected: int
) -> None:
    bounded, tally = searched(world("counter", workers=workers, rounds=2), bound)
    assert (tally.schedules, bounded.bound, bounded.complete) == (expected, bound, bound == 6)


def every_path(made: World) -> Endings:
    every = Endings()
    every_schedule(made, every)
    return every


@every_setting
def test_every_schedule_is_run_once_by_rising_preemptions_and_a_bound_covers_all_within_it(
    name: str, lock: str, workers: int, rounds: int
) -> None:
    made = world(name, lock, workers, rounds)
    every = every_path(made)
    bounded, tally = searched(made)
    assert bounded.complete
    assert sorted(tally.paths) == sorted(every.paths)
    counts = [preemptions(made, path) for path in tally.paths]
    assert counts == sorted(counts)
    for bound in range(4):
        within = {path for path in every.paths if preemptions(made, path) <= bound}
        assert set(searched(made, bound)[1].paths) == within


@pytest.mark.parametrize(("name", "lock", "workers", "rounds"), [each for each in SETTINGS if each[1] == "none"])
def test_the_first_schedule_that_breaks_has_the_fewest_preemptions(
    name: str, lock: str, workers: int, rounds: int
) -> None:
    made = world(name, lock, workers, rounds)
    fewest = min(preemptions(made, path) for path in every_path(made).broken_paths)
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


def test_the_search_goes_on_from_the_bound_that_it_covered() -> None:
    made, tally = world("counter", rounds=2), Endings()
    bounded = Bounded(made, tally)
    bounded.run(1)
    bounded.run(3)
    assert tally.schedules == 44
    assert len(set(tally.paths)) == 44


def test_a_search_that_was_stopped_or_gave_up_long_schedules_covers_no_further_bound() -> None:
    def spin(_: object, w: Any) -> None:
        while w.index and not w.memory.value:
            pass
        w.memory.value = 1

    stopped, _ = searched(world("counter", rounds=2), first_only=True)
    gave_up, tally = searched(world(scenario_of(spin), longest=12), 6)
    assert tally.too_long
    assert (stopped.bound, stopped.complete, gave_up.complete) == (0, False, False)


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


def test_a_worker_steps_aside_by_its_last_request_though_its_rounds_begin_alike() -> None:
    made, draw, met = world(patient(), "fcntl", rounds=2), Random(1), set()
    for _ in range(50):
        aside = [False, False]
        while choices := made.choices():
            worker = draw.choice(choices)
            operation = made.at[worker].operation
            result = made.do(worker)
            if operation and operation.kind == LOCK:
                aside[worker] = result is REFUSED
            assert [made.steps_aside(each) for each in (0, 1)] == aside
            met.add((made.at[worker].round, made.at[worker].between_rounds, aside[worker]))
        made.back_to(0)
    assert {(1, True, True), (1, True, False)} <= met


def test_a_bound_covers_all_the_schedules_within_it_where_workers_are_refused() -> None:
    made = world(patient(), "fcntl")
    every = every_path(made)
    for bound in range(4):
        _, tally = searched(made, bound)
        assert set(tally.paths) == {path for path in every.paths if preemptions(made, path) <= bound}
        assert tally.schedules > bound + 1
        assert not tally.too_long
