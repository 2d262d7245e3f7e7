"""The states walked in C, held against those walked in Python: the same states in the same order, the same counts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import count
from math import comb, inf
from typing import Any

import pytest

from lab import Damage
from lab.exploring import walk
from lab.exploring.search import Ways, every_state
from lab.exploring.walk import can_walk
from lab.exploring.world import World
from lab.scenario import Found, find_scenarios
from tests.exploring.programs import LOCKS, drawn, texts_of
from tests.exploring.worlds import Endings, cells, each_waits, scenario_of, shape, world

pytestmark = [pytest.mark.slow, pytest.mark.needs("compiled")]

SIMULATED = [each for each in find_scenarios([], counterexamples=True, crashes=True) if "explore" in each.kind.worlds]
WALKED = [each for each in SIMULATED if not shape(each).directory]
MOST = 30
"""So often a search looks at the clock until it is stopped; scenarios without a lock have too many states."""


def both(make: Callable[[], World], looks: float = inf, **options: Any) -> tuple[int, Ways | None, Endings]:
    """What was found of this world, the same in C and in Python, until one had looked at the clock so often."""
    found: list[Any] = []
    for native in (True, False):
        looked = count()
        made, tally = make(), Endings(**options, report=lambda _, looked=looked: next(looked) >= looks)  # type: ignore
        assert can_walk(made)
        states, ways = every_state(made, tally, native=native)
        assert (bytes(made.path), bytes(made.content), made.state) == (b"", made.initial, 0)
        assert all(node is behaviour.root for node, behaviour in zip(made.at, made.behaviours, strict=True))
        tally.report = None
        found.append((states, ways, tally, made.ends, [behaviour.nodes for behaviour in made.behaviours]))
    assert found[0] == found[1]
    return found[0][:3]  # type: ignore[no-any-return]


@pytest.mark.parametrize("lock", LOCKS)
def test_random_programs_have_the_same_states_schedules_and_ends(lock: str) -> None:
    kinds: set[str] = set()
    for seed in range(100):
        found = drawn(seed)
        rounds = 1 + seed % 2
        _, _, tally = both(lambda found=found, rounds=rounds: world(found, lock, len(texts_of(found)), rounds), MOST)  # type: ignore
        kinds.update(*(end.kinds for end in tally.met))
    assert {"odd", "raised ValueError"} <= kinds
    assert ("deadlock" in kinds) == (lock == "ofd")


@pytest.mark.parametrize("found", WALKED, ids=lambda found: found.name)
def test_the_scenarios_have_the_same_states_schedules_and_ends(found: Found) -> None:
    for lock in LOCKS:
        both(lambda lock=lock: world(found, lock), keep=3, looks=MOST)  # type: ignore[misc]
    both(lambda: world(found, rounds=2), first_only=True)


def stores(steps: int) -> Found:
    def work(_: object, w: Any) -> None:
        for _ in range(steps):
            w.memory.cells[w.index] = 1

    return scenario_of(work, cells(2))


@pytest.mark.parametrize("steps", [30, 34, 35, 66, 67, 100])
def test_numbers_of_schedules_are_exact_however_large_they_are(steps: int) -> None:
    """They need 57, 65, 67, 129, 131 and 197 bits."""
    _, ways = every_state(world(stores(steps)), Endings())
    assert ways == Ways(comb(2 * steps, steps), 0)


def waits(_: object, w: Any) -> None:
    """Worker 1 tries again until worker 0 has stored; its pauses are steps."""
    while w.index and not w.memory.value:
        w.pause()
    w.memory.value = 1


def turns(_: object, w: Any) -> None:
    """A lock made of a byte that each takes in turn."""
    while w.memory.value != w.index:
        w.pause()
    w.memory.value = (w.index + 1) % w.workers


def alike(_: Any, memory: Any) -> Damage | None:
    return Damage("half", 1, 1) if memory.cells[0] != memory.cells[1] else None


def twice(self: Any, w: Any) -> None:
    for cell in (0, 1):
        with w.write_lock(self.Memory.cells, cell):
            w.memory.cells[cell] += 1


def ends_inside(_: Any, w: Any) -> None:
    w.write_lock().__enter__()
    w.memory.value += 1


def shared_then_exclusive(_: Any, w: Any) -> None:
    with w.read_lock(), w.write_lock():
        w.memory.value += 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: world(scenario_of(waits)),
        lambda: world(scenario_of(waits), workers=3),
        lambda: world(scenario_of(each_waits, cells(3))),
        lambda: world(scenario_of(turns), workers=3),
        lambda: world(scenario_of(turns), rounds=2),
        lambda: world(scenario_of(shared_then_exclusive), "flock", workers=3),
        lambda: world(scenario_of(ends_inside), "ofd", workers=3),
        lambda: world(scenario_of(twice, cells(2), invariant=alike), "fcntl"),
        lambda: world(scenario_of(twice, cells(2), invariant=alike)),
        lambda: world(scenario_of(lambda _, w: None)),
        lambda: world("counter", workers=6, longest=9),
    ],
    ids=[
        "wait",
        "wait, 3",
        "each waits",
        "turns",
        "turns, 2 rounds",
        "flock",
        "ends inside",
        "invariant",
        "rounds",
        "no step",
        "too long",
    ],
)
def test_what_a_world_can_do_it_does_in_c(make: Callable[[], World]) -> None:
    both(make)


def test_a_search_that_is_stopped_has_counted_the_same() -> None:
    states, ways, tally = both(lambda: world("counter", workers=3, rounds=2), 3)
    assert tally.out_of_time
    assert 0 < states < 904
    assert ways
    assert 0 < ways.broken <= ways.all < 34_650
    assert both(lambda: world("counter", workers=3, rounds=3), deadline=0)[2].out_of_time


def test_an_interrupt_ends_it_at_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(stores(10_000))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            every_state(made, Endings(deadline=inf))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    roots = [each.root for each in made.behaviours]
    assert (bytes(made.path), bytes(made.content), made.at) == (b"", made.initial, roots)


def test_what_is_raised_on_the_way_is_raised_by_both() -> None:
    for native in (True, False):
        drawn_from = iter([1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 2])

        def work(_: object, w: Any, drawn_from: Any = drawn_from) -> None:
            if w.memory.cells[0] == 1:
                raise KeyboardInterrupt(next(drawn_from))
            w.memory.cells[0] = 1

        with pytest.raises(KeyboardInterrupt):
            every_state(world(scenario_of(work, cells(1))), Endings(), native=native)


def test_a_scenario_with_files_is_walked_in_python() -> None:
    assert not any(can_walk(world(each, "fcntl")) for each in SIMULATED if each not in WALKED)


def test_it_is_compiled_where_a_compiler_is() -> None:
    assert walk.compiled is not None
