from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ctypes import c_uint64
from itertools import pairwise
from math import inf
from random import Random
from typing import Any

import pytest

from lab.exploring.search import Bounded, every_schedule
from lab.exploring.strategy import DEPTH, pct, random_walk
from lab.exploring.tally import Tally
from lab.scenario import Found
from tests.exploring.worlds import Endings, scenario_of, world

Search = Callable[..., None]

both = pytest.mark.parametrize("search", [random_walk, pct])


def sampled(search: Search, *args: Any, schedules: int = 200, seed: int = 1, **options: Any) -> Endings:
    """What so many schedules came to, or fewer where the first that breaks ends it."""
    tally = Endings(most=schedules - 1, **options)
    search(world(*args), tally, Random(seed))
    return tally


def rare() -> Found:
    """Breaks only where worker 1 looks while the flag is up, and again once it is down: three orders in a row."""

    def work(_: object, w: Any) -> None:
        if w.index:
            was = w.memory.flag
            if was and not w.memory.flag:
                w.damaged("seen", "the flag go down")
        else:
            w.memory.other += 1
            w.memory.flag = 1
            w.memory.other += 1
            w.memory.flag = 0

    return scenario_of(work, ("flag", c_uint64), ("other", c_uint64))


@both
def test_a_search_goes_on_until_it_is_told_to_stop(search: Search) -> None:
    assert sampled(search, "counter", "none", 3, 3, schedules=17).schedules == 17


@both
@pytest.mark.parametrize("lock", ["none", "fcntl"])
def test_what_is_run_is_a_schedule(search: Search, lock: str) -> None:
    every = Endings()
    every_schedule(world("counter", lock, 2, 2), every)
    tally = sampled(search, "counter", lock, 2, 2)
    assert set(tally.paths) <= set(every.paths)
    assert tally.met <= every.met


@both
def test_the_same_seed_draws_the_same_schedules(search: Search) -> None:
    one, same, other = (sampled(search, "counter", "none", 3, 3, seed=seed).paths for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_walk_comes_to_every_schedule_in_the_end() -> None:
    assert len(set(sampled(random_walk, "counter", "none", 2, 2, schedules=3_000).paths)) == 70


def test_a_walk_takes_each_choice_as_often() -> None:
    first = Counter(path[0] for path in sampled(random_walk, "counter", "none", 3, 1, schedules=3_000).paths)
    assert all(900 < first[worker] < 1_100 for worker in range(3))


def test_the_rare_failure_needs_two_preemptions() -> None:
    fewer, enough = (Tally(inf, first_only=True) for _ in range(2))
    Bounded(world(rare()), fewer).run(DEPTH - 2)
    Bounded(world(rare()), enough).run(DEPTH - 1)
    assert not fewer.found
    assert enough.found


def test_by_priority_a_failure_of_depth_3_comes_up_as_often_as_was_guaranteed() -> None:
    schedules, workers, steps = 2_000, 2, 8
    assert sampled(pct, rare(), schedules=schedules).broken >= schedules / (workers * steps**2)


@pytest.mark.parametrize("seed", range(10))
def test_by_priority_a_failure_of_depth_3_is_found_from_any_seed(seed: int) -> None:
    assert sampled(pct, rare(), schedules=1_000, seed=seed, first_only=True).found


@both
def test_a_lock_that_holds_is_never_seen_broken(search: Search) -> None:
    assert sampled(search, "bank", "fcntl", 3, 3).broken == 0


def test_by_priority_the_turn_is_taken_from_who_could_go_on_no_more_than_twice() -> None:
    for path in sampled(pct, "counter", "none", 2, 3).paths:
        assert sum(one != other for one, other in pairwise(path)) <= DEPTH


def test_by_priority_each_worker_is_the_first_now_and_then() -> None:
    assert {path[0] for path in sampled(pct, "counter", "none", 4, 1).paths} == {0, 1, 2, 3}
