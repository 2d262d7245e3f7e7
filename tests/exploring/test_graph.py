from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest

from lab.exploring.search import Graph, TooManyStatesError, every_state, graph_of
from lab.exploring.tally import Tally
from lab.exploring.trace import trace
from lab.exploring.world import World
from tests.exploring.worlds import cells, each_waits, scenario_of, world

CASES = [
    (name, lock)
    for name in ("counter", "bank", "append_log", "linked_list", "sparse_pages", "short_range", "check_then_lock")
    for lock in ("none", "fcntl", "ofd", "flock")
]
DRAWS = 30


def made(name: str, lock: str, rounds: int = 1) -> tuple[World, Graph]:
    """The world and its graph."""
    here = world(name, lock, rounds=rounds)
    return here, graph_of(here, 700)


@pytest.mark.parametrize(("name", "lock"), CASES)
def test_the_paths_are_the_schedules_that_the_explorer_counts_and_so_are_the_states(name: str, lock: str) -> None:
    here, graph = made(name, lock)
    assert (len(graph.states), graph.ways[0]) == every_state(here, Tally(inf), symmetric=False)


def test_an_unlocked_counter_has_seventy_schedules_and_a_locked_one_six() -> None:
    assert [made("counter", lock, 2)[1].ways[0] for lock in ("none", "fcntl")] == [(70, 64), (6, 0)]


@pytest.mark.parametrize(("name", "lock"), [*CASES, ("opposite_order", "ofd")])
def test_a_walk_through_the_graph_is_a_walk_through_the_world(name: str, lock: str) -> None:
    here, graph = made(name, lock)
    random = Random(f"{name} {lock}")
    for _ in range(DRAWS):
        _walk(here, graph, random)


def _walk(here: World, graph: Graph, random: Random) -> None:
    """One random schedule: the same choices in every state, the same steps, the same end."""
    at, met = 0, []
    while choices := here.choices():
        moves = graph.states[at].moves
        assert [i for i, move in enumerate(moves) if move and move.to is not None] == choices
        worker = random.choice(choices)
        move = moves[worker]
        assert move is not None
        assert move.to is not None
        met.append((move.step.operation, move.step.field, move.step.value, move.step.round))
        here.do(worker)
        at = move.to
    schedule, end = bytes(here.path), here.end()
    waiting = {i: here.waits_for(i) for i, node in enumerate(here.at) if not node.ended}
    here.back_to(0)
    assert at == graph.after(schedule)
    assert graph.states[at].end == end
    assert {i: move.blocker for i, move in enumerate(graph.states[at].moves) if move} == waiting
    steps = trace(here, schedule)[0][: len(schedule)]
    assert [(each.operation, each.field, each.value, each.round) for each in steps] == met


def test_a_worker_that_takes_turns_waits_by_what_its_last_try_met() -> None:
    def turns(_: object, w: Any) -> None:
        while w.memory.value != w.index:
            w.pause()
        w.memory.value = (w.index + 1) % w.workers

    here = world(scenario_of(turns), workers=3)
    graph = graph_of(here, 700)
    assert graph.ways[0].all > 1
    assert (len(graph.states), graph.ways[0]) == every_state(here, Tally(inf), symmetric=False)


def test_ways_of_different_lengths_lead_to_one_state() -> None:
    def detour(_: object, w: Any) -> None:
        if w.index or not w.memory.cells[0]:
            w.memory.cells[1] = w.memory.cells[1]
        w.memory.cells[0] = w.index

    for rounds in (1, 2):
        here = world(scenario_of(detour, cells(2)), rounds=rounds)
        graph = graph_of(here, 700)
        assert (len(graph.states), graph.ways[0]) == every_state(here, Tally(inf), symmetric=False)
    order = [
        move.to < at for at, state in enumerate(graph.states) for move in state.moves if move and move.to is not None
    ]
    assert any(order)


def test_who_waits_is_told_with_who_is_in_the_way() -> None:
    _, graph = made("counter", "fcntl")
    move = graph.states[graph.after(b"\0")].moves[1]
    assert move is not None
    assert (move.to, move.blocker, move.step.operation, move.step.value) == (None, 0, "lock", "waits")


def test_schedules_without_an_end_are_too_many() -> None:
    with pytest.raises(TooManyStatesError, match="more than 700 states"):
        made("opposite_order", "fcntl")


def test_a_state_that_leads_back_to_itself_has_no_number_of_ways() -> None:
    with pytest.raises(TooManyStatesError, match="leads back to itself"):
        graph_of(world(scenario_of(each_waits, cells(3))), 700)


def test_whoever_cannot_go_on_leads_nowhere() -> None:
    _, graph = made("counter", "fcntl")
    with pytest.raises(ValueError, match="worker 1 cannot go on there"):
        graph.after(b"\0\1")


def test_too_many_states_are_an_error_and_the_world_is_where_it_was() -> None:
    here = world("counter")
    with pytest.raises(TooManyStatesError, match="more than 5 states"):
        graph_of(here, 5)
    assert not here.path
