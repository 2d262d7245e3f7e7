"""The searches that leave schedules out, held against the one that leaves out none, on small random programs."""

from __future__ import annotations

import pytest

from lab.exploring.dpor import Dpor
from lab.exploring.search import Bounded, every_state
from lab.exploring.world import World
from tests.exploring.programs import LOCKS, by_brute_force, drawn, seeds, texts_of
from tests.exploring.worlds import Endings, world

pytestmark = pytest.mark.slow

PROGRAMS = 60
MOST = 1_500
"""Schedules of a program: brute force runs them all."""


def made(seed: int, lock: str) -> World:
    found = drawn(seed)
    return world(found, lock, len(texts_of(found)))


@pytest.mark.parametrize("lock", LOCKS)
def test_each_search_meets_the_ends_of_all_schedules_and_no_others(lock: str) -> None:
    """Without a bound every schedule is run once, of each class some but none twice, and the states count them."""
    met = []
    for seed in seeds(lock, PROGRAMS, MOST):
        every = by_brute_force(seed, lock, MOST)
        states, classes, bounds = Endings(), Endings(), Endings()
        _, ways = every_state(made(seed, lock), states)
        Dpor(made(seed, lock), classes).run()
        Bounded(made(seed, lock), bounds).run(1_000)
        for name, tally in (("states", states), ("classes", classes), ("bounds", bounds)):
            assert tally.complete, (seed, name)
            assert tally.met == every.met, (seed, name)
        assert sorted(bounds.paths) == sorted(every.paths), seed
        assert len(set(classes.paths)) == len(classes.paths), seed
        assert set(classes.paths) <= set(every.paths), seed
        assert ways
        assert (ways.all, ways.broken) == (every.schedules, every.broken), seed
        met.append(every.met)
    assert sum(len(ends) > 1 for ends in met) > PROGRAMS // 2, "most programs end in several ways"
    assert {"odd", "raised ValueError"} <= {kind for ends in met for end in ends for kind in end.kinds}


def test_some_programs_hang_under_ofd_locks_and_go_on_after_a_refusal_under_posix_locks() -> None:
    hang = [seed for seed in seeds("ofd", PROGRAMS, MOST) if hangs(seed, "ofd")]
    assert len(hang) >= 5
    assert not any(hangs(seed, "fcntl") for seed in hang)


def hangs(seed: int, lock: str) -> bool:
    """True where some schedule ends with workers that wait."""
    return any("deadlock" in end.kinds for end in by_brute_force(seed, lock, MOST).met)
