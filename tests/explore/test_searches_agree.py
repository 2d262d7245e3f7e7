"""The searches that leave schedules out, held against the one that leaves out none, on small random programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from lab.explore.dpor import Dpor
from lab.explore.search import Bounded, every_state
from lab.explore.tally import Tally
from lab.explore.world import World
from tests.explore.programs import LOCKS, by_brute_force, drawn, seeds, texts_of
from tests.explore.worlds import Endings, world

pytestmark = pytest.mark.slow

PROGRAMS = 60
MOST = 1_500
"""Schedules of a program: brute force runs them all."""

every_lock = pytest.mark.parametrize("lock", LOCKS)


def by_states(made: World, tally: Tally) -> None:
    every_state(made, tally)


def by_classes(made: World, tally: Tally) -> None:
    Dpor(made, tally).run()


def by_preemptions(made: World, tally: Tally) -> None:
    Bounded(made, tally).run(1_000)


@cache
def searched(search: Callable[[World, Tally], None], seed: int, lock: str) -> Endings:
    found, tally = drawn(seed), Endings()
    search(world(found, lock, len(texts_of(found))), tally)
    assert tally.complete
    return tally


@every_lock
@pytest.mark.parametrize("search", [by_states, by_classes, by_preemptions])
def test_a_search_meets_the_ends_of_all_schedules_and_no_others(
    search: Callable[[World, Tally], None], lock: str
) -> None:
    for seed in seeds(lock, PROGRAMS, MOST):
        assert searched(search, seed, lock).met == by_brute_force(seed, lock, MOST).met, seed


@every_lock
def test_without_a_bound_every_schedule_is_run_once(lock: str) -> None:
    for seed in seeds(lock, PROGRAMS, MOST):
        every = by_brute_force(seed, lock, MOST).paths
        assert sorted(searched(by_preemptions, seed, lock).paths) == sorted(every), seed


@every_lock
def test_classes_are_run_once_and_are_no_more_than_the_schedules(lock: str) -> None:
    for seed in seeds(lock, PROGRAMS, MOST):
        paths = searched(by_classes, seed, lock).paths
        assert len(set(paths)) == len(paths), seed
        assert set(paths) <= set(by_brute_force(seed, lock, MOST).paths), seed


@every_lock
def test_the_states_count_all_the_schedules_and_those_that_break(lock: str) -> None:
    for seed in seeds(lock, PROGRAMS, MOST):
        found, every = drawn(seed), by_brute_force(seed, lock, MOST)
        _, ways = every_state(world(found, lock, len(texts_of(found))), Endings())
        assert (ways.all, ways.broken) == (every.schedules, every.broken), seed


@every_lock
def test_most_programs_end_in_several_ways_and_some_break_and_raise(lock: str) -> None:
    ends = [by_brute_force(seed, lock, MOST).met for seed in seeds(lock, PROGRAMS, MOST)]
    assert sum(len(each) > 1 for each in ends) > PROGRAMS // 2
    assert {"odd", "raised ValueError"} <= {kind for each in ends for end in each for kind in end.kinds}


def test_some_programs_hang_under_ofd_locks_and_go_on_after_a_refusal_under_posix_locks() -> None:
    hang = [seed for seed in seeds("ofd", PROGRAMS, MOST) if hangs(seed, "ofd")]
    assert len(hang) >= 5
    assert not any(hangs(seed, "fcntl") for seed in hang)


def hangs(seed: int, lock: str) -> bool:
    """True where some schedule ends with workers that wait."""
    return any("deadlock" in end.kinds for end in by_brute_force(seed, lock, MOST).met)
