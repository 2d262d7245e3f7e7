"""A worker that knows the same at the beginning of a round goes on the same, whatever it met before: one state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ctypes import c_uint8
from math import inf
from typing import Any

import pytest

from lab.exploring import behaviour
from lab.exploring.search import every_schedule, every_state
from lab.exploring.tally import Tally
from lab.scenario import Found
from tests.exploring.worlds import Endings, cells, scenario_of, world


def same_list(met: int) -> Any:
    one = [0]
    return (one, one) if met else ([0], [0])


def other_of(pair: Any) -> int:
    pair[0][0] = 5
    return int(pair[1][0])


def in_a_circle(met: int) -> Any:
    one: list[Any] = [met]
    one.append(one)
    return one


def adds(number: int) -> Callable[[], int]:
    return lambda: number


KEEPS: dict[str, tuple[Callable[[int], Any], Callable[[Any], int]]] = {
    "a number": (lambda met: met, lambda kept: int(kept)),
    "another type": (lambda met: met or False, lambda kept: isinstance(kept, bool)),
    "the sign of zero": (lambda met: -0.0 if met else 0.0, lambda kept: str(kept)[0] == "-"),
    "one list or two": (same_list, other_of),
    "a circle": (in_a_circle, lambda kept: int(kept[1][1][0])),
    "the order of keys": (lambda met: dict.fromkeys("ab" if met else "ba"), lambda kept: ord(next(iter(kept))) % 8),
    "a default": (lambda met: lambda x=met: x, lambda kept: int(kept())),
    "a closure": (adds, lambda kept: int(kept())),
    "what is not told": (lambda met: deque([met]), lambda kept: int(kept[0])),
}
"""What a worker keeps of what it met in its first round, and what it stores of that in its second one."""


def keeping(make: Callable[[int], Any], read: Callable[[Any], int]) -> Found:
    def work(_: object, w: Any) -> None:
        if w.round:
            w.memory.cells[1] = read(w.local.kept)
        else:
            w.local.kept = make(w.memory.cells[0])
            w.memory.cells[0] = 1

    return scenario_of(work, cells(2))


def draws(_: object, w: Any) -> None:
    if w.round:
        w.memory.cells[1] = w.random.randrange(200)
    elif w.memory.cells[0]:
        w.random.random()
    else:
        w.memory.cells[0] = 1


def on_itself(_: object, w: Any) -> None:
    if w.round:
        w.memory.cells[1] = w.mine
    else:
        w.mine = w.memory.cells[0]
        w.memory.cells[0] = 1


def on_the_memory(_: object, w: Any) -> None:
    if w.round:
        w.memory.cells[1] = w.memory.mine
    else:
        w.memory.mine = w.memory.cells[0]
        w.memory.cells[0] = 1


def a_part(_: object, w: Any) -> None:
    if w.round:
        w.local.kept[1] = 5
    else:
        w.local.kept = w.memory.rows[w.memory.rows[0][0]]
        w.memory.rows[0][0] = 1


def reports(_: object, w: Any) -> None:
    if not w.round and w.memory.cells[0]:
        w.damaged("met it")
    w.memory.cells[w.round] = 1


FOUND = {name: keeping(*how) for name, how in KEEPS.items()}
FOUND |= {work.__name__: scenario_of(work, cells(2)) for work in (draws, on_itself, on_the_memory, reports)}
FOUND["a part"] = scenario_of(a_part, ("rows", c_uint8 * 2 * 2))


@pytest.mark.parametrize("found", FOUND.values(), ids=FOUND)
def test_what_a_worker_keeps_of_a_round_is_part_of_the_state(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    together, apart = Endings(), Endings()
    _, ways = every_state(world(found, rounds=2), together)
    monkeypatch.setattr(behaviour, "known_between", lambda _: None)
    _, all_ways = every_state(world(found, rounds=2), apart)
    assert together.met == apart.met
    assert len(together.met) > 1
    assert ways == all_ways


@pytest.mark.parametrize(
    ("name", "lock", "workers", "rounds", "states", "apart"),
    [
        ("counter", "none", 3, 3, 7_646, 99_548),
        ("counter", "fcntl", 3, 3, 496, 11_102),
        ("torn_record", "fcntl", 3, 2, 2_479, 2_914),
        ("ring_queue", "fcntl", 2, 3, 3_405, 5_749),
    ],
)
def test_what_a_worker_has_forgotten_is_none(
    name: str, lock: str, workers: int, rounds: int, states: int, apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, ways = every_state(world(name, lock, workers, rounds), Endings(), symmetric=False)
    monkeypatch.setattr(behaviour, "known_between", lambda _: None)
    separate, all_ways = every_state(world(name, lock, workers, rounds), Endings(), symmetric=False)
    assert (count, separate, ways) == (states, apart, all_ways)


def tries(_: object, w: Any) -> None:
    """Nobody tries twice in one round, whichever history of a worker was run before."""
    with w.write_lock():
        turn = w.memory.cells[0]
        w.memory.cells[0] = turn + 1
        if turn:
            w.memory.rows.note = getattr(w.memory.rows, "note", 0) + 1
            w.note = getattr(w, "note", 0) + 1
            if w.memory.rows.note + w.note > 2:
                w.damaged("a second try")


@pytest.mark.parametrize("search", [every_schedule, every_state])
def test_attributes_of_a_worker_and_of_its_memory_are_gone_in_its_next_run(search: Callable[..., Any]) -> None:
    tally = Tally(inf)
    search(world(scenario_of(tries, cells(1), ("rows", c_uint8 * 2)), "fcntl", 3, 1), tally)
    assert (tally.broken, tally.schedules > 0) == (0, True)


def waits(_: object, w: Any) -> None:
    while w.memory.cells[0] % 2:
        w.pause()
    w.memory.cells[0] += 1
    w.memory.cells[0] += 1


def waits_on_a_part(_: object, w: Any) -> None:
    cells = w.memory.cells
    while cells[0] % 2:
        w.pause()
    cells[0] += 1
    cells[0] += 1


def test_a_part_of_the_memory_in_a_variable_makes_no_more_states() -> None:
    found = [every_state(world(scenario_of(work, cells(1))), Endings()) for work in (waits, waits_on_a_part)]
    assert found[0] == found[1]
