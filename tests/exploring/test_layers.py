"""The states searched by several threads, in layers, held against one thread: the same counts and the same ends."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from math import comb, inf
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from lab import Damage
from lab.exploring import search
from lab.exploring.search import Ways, every_state
from lab.exploring.walk import Walk
from lab.exploring.world import World
from lab.scenario import Found
from tests.exploring.programs import LOCKS, drawn, drawn_alike, texts_of
from tests.exploring.test_walk import WALKED, alike, ends_inside, shared_then_exclusive, stores, turns, twice, waits
from tests.exploring.worlds import Endings, cells, each_waits, follow, scenario_of, world

pytestmark = [pytest.mark.slow, pytest.mark.needs("compiled")]

LONG = 100
"""So often a search may look at the clock, until it has too many states."""


def threads() -> int:
    return len([*Path("/proc/self/task").iterdir()])


def tally_of(most: float = inf, **options: Any) -> Endings:
    looks = count()
    return Endings(**options, report=lambda _: next(looks) >= most)


def same(make: Callable[[], World], *, symmetric: bool = True, **options: Any) -> int:
    """The number of states, where they are not too many: what one thread, two and three have found is the same."""
    alone = threads()
    made, tally = make(), tally_of(LONG, **options)
    states, ways = every_state(made, tally, symmetric=symmetric)
    if tally.out_of_time:
        return 0
    counts = tally.schedules, tally.broken, tally.too_long, tally.complete
    for jobs in (2, 3):
        mine, theirs = make(), tally_of(**options)
        found = every_state(mine, theirs, symmetric=symmetric, jobs=jobs)
        assert threads() == alone
        assert found == (states, ways)
        assert (theirs.schedules, theirs.broken, theirs.too_long, theirs.complete) == counts
        assert {(end.content, end.kinds) for end in theirs.met} == {(end.content, end.kinds) for end in tally.met}
        assert (mine.ends, bytes(mine.path)) == (made.ends, b"")
        assert bool(theirs.found) == bool(tally.found)
        for path in [theirs.found.schedule] if theirs.found else []:
            assert follow(mine, path).end().damage
            mine.back_to(0)
    return states


@pytest.mark.parametrize("lock", LOCKS)
def test_random_programs_have_the_same_states_schedules_and_ends(lock: str) -> None:
    searched = 0
    for seed in range(60):
        found, (alike_ones, workers, rounds) = drawn(seed), drawn_alike(seed)
        searched += same(partial(world, found, lock, len(texts_of(found)), 1 + seed % 2)) > 0
        searched += same(partial(world, alike_ones, lock, workers, rounds)) > 0
    assert searched > 80


@pytest.mark.parametrize("found", WALKED, ids=lambda found: found.name)
def test_the_scenarios_have_the_same_states_schedules_and_ends(found: Found) -> None:
    for lock in LOCKS:
        same(lambda lock=lock: world(found, lock, rounds=2))  # type: ignore[misc]


@pytest.mark.parametrize("symmetric", [False, True])
def test_large_layers_are_searched_side_by_side(symmetric: bool) -> None:
    seen: Counter[int] = Counter()
    tally = Endings(report=lambda _: bool(seen.update([threads()])))
    alone = threads()
    states, ways = every_state(world("counter", workers=4, rounds=3), tally, symmetric=symmetric, jobs=2)
    assert (states, ways) == (20_432 if symmetric else 361_775, Ways(2_308_743_493_056, 2_308_743_123_456))
    assert {*seen} == {alone, alone + 1}


@pytest.mark.parametrize(
    ("make", "is_left_to_one"),
    [
        (lambda: world(scenario_of(waits), workers=3), True),
        (lambda: world(scenario_of(each_waits, cells(3))), True),
        (lambda: world(scenario_of(turns), rounds=2), True),
        (lambda: world("counter", workers=6, longest=9), True),
        (lambda: world(stores(66)), True),
        (lambda: world(stores(65)), False),
        (lambda: world(scenario_of(shared_then_exclusive), "flock", workers=3), False),
        (lambda: world(scenario_of(ends_inside), "ofd", workers=3), False),
        (lambda: world(scenario_of(twice, cells(2), invariant=alike), "fcntl"), False),
        (lambda: world(scenario_of(twice, cells(2), invariant=alike)), False),
        (lambda: world(scenario_of(lambda _, w: None)), False),
    ],
    ids=[
        "wait", "each waits", "turns", "too long", "129 bits", "127 bits", "flock", "inside", "invariant", "rounds",
        "no step",
    ],
)  # fmt: skip
def test_what_threads_cannot_search_one_searches(
    make: Callable[[], World], is_left_to_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = []

    class Noted(Walk):
        def run(self, jobs: int = 1) -> Any:
            found = super().run(jobs)
            given_up.extend([True] * (found is None and jobs > 1))
            return found

    monkeypatch.setattr(search, "Walk", Noted)
    assert same(make) > 0
    assert len(given_up) == 2 * is_left_to_one


@pytest.mark.parametrize("steps", [30, 65, 66, 100])
def test_numbers_of_schedules_are_exact_however_large_they_are(steps: int) -> None:
    """They need 57, 127, 129 and 197 bits; threads count up to 128."""
    assert every_state(world(stores(steps)), Endings(), jobs=2)[1] == Ways(comb(2 * steps, steps), 0)


def test_a_search_that_is_stopped_has_counted_what_it_covered() -> None:
    tally, alone = tally_of(20), threads()
    states, ways = every_state(world("counter", workers=4, rounds=3), tally, symmetric=False, jobs=2)
    assert tally.out_of_time
    assert not tally.complete
    assert 0 < states < 361_775
    assert ways
    assert ways.broken <= ways.all < 2_308_743_493_056
    assert threads() == alone


def test_a_search_that_is_stopped_counts_each_schedule_that_it_ran() -> None:
    tally = tally_of(1_200)
    every_state(world("ring_queue", "fcntl", workers=3, rounds=2), tally, jobs=2)
    assert (tally.out_of_time, tally.found) == (True, None)
    assert tally.schedules == len(tally.paths) > 1_000


def test_the_first_failure_ends_a_search_that_wants_no_more() -> None:
    tally = Endings(first_only=True)
    states, _ = every_state(world("counter", workers=4, rounds=3), tally, symmetric=False, jobs=2)
    assert (tally.broken, tally.over) == (1, True)
    assert states < 361_775


def test_a_failure_is_found_where_no_schedule_ends_within_the_limit() -> None:
    tally = Endings(deadline=monotonic() + 0.3)
    made = world("counter", workers=6, rounds=4)
    every_state(made, tally, jobs=2)
    assert tally.out_of_time
    assert tally.found
    assert follow(made, tally.found.schedule).end().damage


@pytest.mark.parametrize("what", ["alarm", "check"])
def test_who_interrupts_it_finds_the_world_at_its_beginning_and_no_thread(what: str) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def check(_: object, memory: Any, outcome: object) -> Damage:
        raise KeyboardInterrupt

    made = world(stores(2_000)) if what == "alarm" else world(scenario_of(lambda _, w: waits_for_none(w), check=check))
    alone = threads()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05 if what == "alarm" else 0)
    try:
        with pytest.raises(KeyboardInterrupt):
            every_state(made, Endings(), jobs=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    roots = [each.root for each in made.behaviours]
    assert (bytes(made.path), bytes(made.content), made.at) == (b"", made.initial, roots)
    assert threads() == alone


def waits_for_none(w: Any) -> None:
    w.memory.value += 1
