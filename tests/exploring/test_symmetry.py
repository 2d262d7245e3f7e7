"""States in which interchangeable workers have swapped their places count once: the verdict is that of all states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import count, permutations
from math import inf
from typing import Any

import pytest

from lab import Damage, Outcome
from lab.exploring.sandbox import NotDeterministic
from lab.exploring.search import Ways, every_state
from lab.exploring.tally import Tally
from lab.exploring.walk import can_walk
from lab.exploring.world import World
from lab.scenario import Found
from tests.exploring.programs import LOCKS, drawn_alike
from tests.exploring.worlds import Endings, cells, scenario_of, world

pytestmark = [pytest.mark.slow, pytest.mark.needs("compiled")]

PROGRAMS = 150
"""The random programs for each lock, of which those with too many states are left out."""

SMALL = 1_000
"""Fewer states than this are also counted by permutations."""

MOST = 8
"""So often a search may look at the clock, until it has too many states."""

KINDS = frozenset({"odd", "deadlock", "raised ValueError", *(f"number {number}" for number in range(3, 256))})
"""The damage that counts: not every schedule has it."""


def same(make: Callable[[], World]) -> tuple[int, int, Ways | None, Endings, str]:
    """The number of states with symmetry and without, what both found alike, and whether it was used.

    What is found, also in C and in Python, is the same.
    """
    found: list[Any] = []
    for symmetric in (True, False):
        for native in (True, False):
            made, tally = make(), Endings(kinds=KINDS)
            assert can_walk(made)
            before = made.interchangeable()
            states, ways = every_state(made, tally, native=native, symmetric=symmetric)
            assert (bytes(made.path), made.alike, made.at) == (b"", b"", [each.root for each in made.behaviours])
            kinds = frozenset(end.kinds for end in tally.met)
            verdict = ways, kinds, {end.content for end in tally.met}, tally.complete, tally.found, made.ends
            used = "" if not before else "used" if made.interchangeable() else "begun anew"
            found.append((verdict, states, tally, used))
    assert found[0][1:3] == found[1][1:3]
    assert found[2][1:3] == found[3][1:3]
    assert [each[0] for each in found] == 4 * [found[0][0]]
    return found[0][1], found[2][1], found[0][0][0], found[0][2], found[0][3]


def orbits(made: World) -> int:
    """The number of states by brute force: each is the smallest that permutations of interchangeable workers make."""
    alike = made.interchangeable()
    swaps = [to for to in permutations(range(len(alike))) if bytes(alike[i] for i in to) == alike]
    met, smallest = set(), set()

    def visit() -> None:
        at, lock = [node.number for node in made.at], made.locks._keys[made.state]
        state = bytes(made.content), tuple(at), lock
        if state not in met:
            met.add(state)
            smallest.add(repr(min(([at[i] for i in to], renamed(lock, to), state[0]) for to in swaps)))
            for worker in made.choices():
                made.do(worker)
                visit()
                made.undo()

    with made.sharing(alike):
        visit()
    return len(smallest)


def renamed(lock: Any, to: tuple[int, ...]) -> list[Any]:
    """The key of a lock's state in which worker `to[i]` has the name i; of ranges each owner has several records."""
    if lock and isinstance(lock, tuple) and isinstance(lock[0][0], int):
        return sorted((to.index(owner), repr(held)) for owner, held in lock)
    owners = [[record._replace(owner=to.index(record.owner)) for record in records] for records in lock]
    return owners if isinstance(lock, tuple) else sorted(owners)


def too_many(made: World) -> bool:
    """Whether a world has too many states to search them in Python."""
    looks = count()
    tally = Tally(inf, report=lambda _: next(looks) >= MOST)
    every_state(made, tally, symmetric=False)
    return tally.out_of_time


@pytest.mark.parametrize("lock", LOCKS)
def test_random_programs_have_the_same_schedules_and_damage_with_and_without(lock: str) -> None:
    met: Counter[str] = Counter()
    for seed in range(PROGRAMS):
        found, workers, rounds = drawn_alike(seed)

        def make(found: Any = found, workers: int = workers, rounds: int = rounds) -> World:
            return world(found, lock, workers, rounds)

        if too_many(make()):
            continue
        few, many, ways, tally, used = same(make)
        met.update(kind for end in tally.met for kind in end.kinds)
        met.update([used, "circles" if ways is None else "some break" if 0 < ways.broken < ways.all else ""])
        assert few <= many
        assert few == many or used == "used"
        if used == "used" and many < SMALL and found.kind.waits is None:  # type: ignore[attr-defined]
            assert few == orbits(make())
            met["by permutations"] += 1
    assert met["used"] > met["by permutations"] > 9
    assert met["begun anew"] > 9
    assert min(met["some break"], met["circles"]) > 5
    assert met["deadlock"] > 9 or lock != "ofd"


def chosen(self: Any, w: Any) -> None:
    """What a worker does depends on how many were there before it: the third waits for the first or the second."""
    memory = w.memory
    turn = memory.cells[0]
    memory.cells[0] = turn + 1
    if turn == 2:
        with w.write_lock(self.Memory.cells, 1), w.write_lock(self.Memory.cells, 2):
            return
    with w.read_lock(self.Memory.cells, 2):
        if not turn:
            w.write_lock(self.Memory.cells, 1).__enter__()


def in_turns(_: object, w: Any) -> None:
    """Each tries again until it meets an even number, and makes it odd for a while."""
    memory = w.memory
    while memory.cells[0] % 2:
        w.pause()
    memory.cells[0] += 1
    memory.cells[1] += 1
    memory.cells[0] += 1


def marks(_: object, w: Any) -> None:
    """A start that only the first worker meets unmarked."""
    w.local.first = not w.memory.cells[0]
    w.memory.cells[0] = 1


def first_or_not(_: object, w: Any) -> None:
    w.memory.cells[1] = w.memory.cells[1] + 1 + w.local.first


def draws(_: object, w: Any) -> None:
    w.memory.cells[0] += w.random.randrange(3)


def says(_: object, w: Any) -> None:
    w.memory.cells[0] += 1
    if w.memory.cells[0] == 1:
        w.damaged("number 3")


@pytest.mark.parametrize("native", [True, False])
def test_workers_that_differ_and_did_not_read_who_they_are_are_an_error(native: bool) -> None:
    numbers = count()

    @cache
    def slot(_: object) -> int:
        return next(numbers)

    def counts(_: object, w: Any) -> None:
        w.memory.cells[slot(w) % 4] += 1

    def lost(_: object, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost update", outcome.rounds - sum(memory.cells), outcome.rounds)

    with pytest.raises(NotDeterministic, match=r"read neither w\.index nor w\.random differ; let only"):
        every_state(world(scenario_of(counts, cells(4), check=lost), workers=3), Tally(inf), native=native)


@pytest.mark.parametrize(
    ("found", "lock", "workers", "alike", "few", "many"),
    [
        (scenario_of(chosen, cells(3)), "fcntl", 3, b"\0\0\0", 317, 1_701),
        (scenario_of(in_turns, cells(2)), "none", 3, b"\0\0\0", 12_433, 69_808),
        (scenario_of(first_or_not, cells(2), start=marks), "none", 4, b"\0\1\1\1", 134, 445),
        (scenario_of(draws, cells(2)), "none", 2, b"", 13, 13),
        (scenario_of(says, cells(2)), "none", 3, b"\0\0\0", 90, 390),
    ],
)
def test_what_distinguishes_workers_is_part_of_the_state(
    found: Found, lock: str, workers: int, alike: bytes, few: int, many: int
) -> None:
    assert world(found, lock, workers).interchangeable() == alike
    assert same(lambda: world(found, lock, workers))[:2] == (few, many)
