"""How every search begins and ends, whatever order it takes the schedules in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest

from lab.exploring.dpor import Dpor
from lab.exploring.search import Bounded, every_schedule, every_state
from lab.exploring.strategy import pct, random_walk
from lab.exploring.tally import Tally
from lab.exploring.world import World
from tests.exploring.worlds import Endings, scenario_of, world

Search = Callable[[World, Tally], object]


def by_classes(made: World, tally: Tally) -> None:
    Dpor(made, tally).run()


def by_preemptions(made: World, tally: Tally) -> None:
    bounded = Bounded(made, tally)
    for bound in count():
        if bounded.complete or tally.over or bound > 6:
            return
        bounded.run(bound)


WHOLE: dict[str, Search] = {
    "schedules": every_schedule,
    "states": every_state,
    "classes": by_classes,
    "bounds": by_preemptions,
}
SAMPLES: dict[str, Search] = {
    "walk": partial(random_walk, random=Random(1)),
    "priorities": partial(pct, random=Random(1)),
}
whole = pytest.mark.parametrize("search", WHOLE.values(), ids=WHOLE)
every = pytest.mark.parametrize("search", [*WHOLE.values(), *SAMPLES.values()], ids=[*WHOLE, *SAMPLES])


def wait(_: object, w: Any) -> None:
    """Worker 1 waits until it meets what worker 0 stores: schedules that leave worker 0 behind have no end."""
    while w.index and not w.memory.value:
        pass
    w.memory.value = 1


@every
@pytest.mark.parametrize("first_only", [False, True])
def test_the_world_is_at_its_beginning_again_afterwards(search: Search, first_only: bool) -> None:
    for made in (world("bank", "fcntl"), world("counter", rounds=2)):
        search(made, Endings(most=200, first_only=first_only))
        assert (bytes(made.path), bytes(made.content), made.state) == (b"", made.initial, 0)


@every
def test_a_search_for_the_first_that_breaks_ends_with_it(search: Search) -> None:
    tally = Endings(first_only=True)
    search(world("counter", rounds=2), tally)
    assert tally.found
    assert (tally.broken, tally.complete, tally.found.schedule) == (1, False, tally.paths[-1])


@every
def test_a_search_that_gave_up_schedules_without_an_end_is_not_complete(search: Search) -> None:
    tally = Endings(report=lambda mine: search in SAMPLES.values() and mine.too_long > 0)
    search(world(scenario_of(wait), longest=12), tally)
    assert tally.too_long
    assert not tally.complete


@whole
def test_a_search_past_its_deadline_stops_and_is_not_complete(search: Search) -> None:
    tally = Endings(deadline=0)
    search(world("counter", workers=3, rounds=3), tally)
    assert tally.out_of_time
    assert tally.schedules < 1024
    assert not tally.complete


@whole
def test_a_world_without_a_step_has_one_schedule(search: Search) -> None:
    tally = Endings()
    search(world(scenario_of(lambda _, w: None)), tally)
    assert tally.paths == [b""]
    assert tally.complete


@every
def test_the_schedules_to_be_shown_are_the_first_that_ran(search: Search) -> None:
    tally = Endings(keep=3, most=20)
    search(world("counter", rounds=2), tally)
    assert tally.kept == tally.paths[:3]
