from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from lab.exploring.search import every_schedule, preemptions
from lab.exploring.simplify import Shortest, shortest, smaller, world_of
from lab.exploring.tally import Found, Tally
from lab.exploring.trace import trace
from lab.scenario import Damage
from lab.scenario import Found as Scenario
from tests.exploring.worlds import follow, scenario_of, shape, to_the_end


def shrunk(found: Scenario | str, lock: str, workers: int, rounds: int, schedule: list[int] | None = None) -> Shortest:
    """From the last schedule that breaks depth first, or from one that is given, to the shortest."""
    world = world_of(shape(found, lock, workers, rounds))
    if schedule is None:
        tally = Tally(inf, first_only=True)
        every_schedule(world, tally)
        assert tally.found
        return shortest(world, tally.found)
    follow(world, schedule)
    ended = Found(bytes(schedule), world.end())
    world.back_to(0)
    return shortest(world, ended)


def needs(workers: int, rounds: int) -> Callable[..., Any]:
    """A check that finds damage only where there are so many workers with so many rounds."""

    def check(_: object, memory: Any, outcome: Any) -> Damage:
        large = len(outcome.by_worker) >= workers and outcome.by_worker[0] >= rounds
        return Damage("lost update", int(large and memory.value < outcome.rounds), 1)

    return check


def add(_: object, w: Any) -> None:
    w.memory.value += 1


def test_the_same_damage_is_told_in_the_smallest_shape_that_has_it() -> None:
    best = shrunk("counter", "none", 3, 3)
    assert (best.world.shape.workers, best.world.shape.rounds) == (2, 1)
    assert best.found.schedule == b"\0\1\1\0"
    assert best.preemptions == 1


@pytest.mark.parametrize(("workers", "rounds"), [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2)])
def test_no_shape_is_left_out_on_the_way_down(workers: int, rounds: int) -> None:
    found = scenario_of(add, check=needs(workers, rounds))
    best = shrunk(found, "none", 3, 3, [0, 1, 2] * 6)
    assert (best.world.shape.workers, best.world.shape.rounds) == (workers, rounds)


def test_a_failure_in_the_smallest_shape_stays_as_it_is() -> None:
    best = shrunk("counter", "none", 2, 1, [0, 1, 1, 0])
    assert best.found.schedule == b"\0\1\1\0"
    assert best.schedules == 0


def test_a_schedule_with_many_preemptions_becomes_one_with_the_fewest() -> None:
    best = shrunk(scenario_of(add, check=needs(2, 3)), "none", 2, 3, [0, 1] * 6)
    assert (best.world.shape.workers, best.world.shape.rounds) == (2, 3)
    assert best.preemptions == 1
    assert best.schedules > 0


def test_the_preemptions_are_those_of_the_schedule() -> None:
    for found in ("counter", "torn_record", "bank", "opposite_order"):
        best = shrunk(found, "none", 2, 2)
        assert best.preemptions == preemptions(best.world, best.found.schedule)


def test_the_steps_tell_as_many_preemptions() -> None:
    for found, lock in (("counter", "none"), ("opposite_order", "fcntl"), ("opposite_order", "ofd")):
        best = shrunk(found, lock, 2, 2)
        steps, _ = trace(best.world, best.found.schedule)
        assert [step.turn for step in steps].count("preempted") == best.preemptions


def test_the_kind_of_damage_stays_the_same() -> None:
    def check(_: object, memory: Any, outcome: Any) -> Damage:
        return Damage("lost two" if outcome.rounds - memory.value > 1 else "lost", outcome.rounds - memory.value, 1)

    best = shrunk(scenario_of(add, check=check), "none", 2, 2, [0, 1] * 4)
    assert best.found.end.damage[0].kind == "lost two"
    assert best.found.end == follow(best.world, best.found.schedule).end()


def test_only_wanted_kinds_are_looked_for_where_they_are_given() -> None:
    world = world_of(shape("torn_record", "none", 2, 3))
    tally = Tally(inf, first_only=True, kinds=frozenset({"torn record of 256 bytes"}))
    for schedule in ([0] * 9 + [1] * 10,):
        follow(world, schedule)
        to_the_end(world)
        tally.add(world)
        world.back_to(0)
    assert tally.found
    best = shortest(world, tally.found, frozenset({"torn record of 256 bytes"}))
    assert "torn record of 256 bytes" in best.found.end.kinds


def test_a_race_is_never_shrunk_to_one_worker() -> None:
    assert all(workers >= 2 for workers, _ in smaller(shape("counter", "none", 4, 4)))


def test_smaller_shapes_come_by_their_rounds_in_all_and_only_once() -> None:
    assert smaller(shape("counter", "none", 3, 3)) == [(2, 1), (3, 1), (2, 2), (2, 3), (3, 2)]


def test_the_smallest_shape_has_no_smaller_one() -> None:
    assert smaller(shape("counter", "none", 2, 1)) == []


def test_the_world_of_a_shape_gives_up_what_takes_far_longer_than_the_workers_alone() -> None:
    assert world_of(shape("counter", "none", 2, 2)).longest == 4 * 8 + 200


def test_the_lock_and_the_line_stay_as_they_are() -> None:
    world = world_of(shape("short_range", "ofd", 2, 2, 16))
    tally = Tally(inf, first_only=True)
    every_schedule(world, tally)
    assert tally.found
    best = shortest(world, tally.found)
    assert (best.world.shape.lock, best.world.shape.line) == ("ofd", 16)
