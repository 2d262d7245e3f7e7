from __future__ import annotations

from ctypes import c_uint8, c_uint64
from itertools import repeat
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import Damage, Deadlock, Outcome
from lab.errors import CannotRunError, ScenarioError
from lab.exploring.search import every_schedule
from lab.exploring.world import World
from lab.scenario import Found
from tests.exploring.programs import LOCKS, drawn, texts_of
from tests.exploring.worlds import Endings, cells, follow, scenario_of, to_the_end, world

TWO = ("a", c_uint64), ("b", c_uint64)


def opposite(scenario: Any, w: Any) -> None:
    """Even workers lock a, then b; odd ones b, then a; a refusal is reported."""
    memory = scenario.Memory
    first, second = (memory.a, memory.b) if w.index % 2 == 0 else (memory.b, memory.a)
    try:
        with w.write_lock(first), w.write_lock(second):
            w.memory.a += 1
    except Deadlock as error:
        w.damaged("refused", str(error.errno))


def rings() -> Found:
    return scenario_of(opposite, *TWO)


def raise_at_1(_: object, w: Any) -> None:
    """Worker 0 stores 1 and then 0; worker 1 raises when it meets the 1."""
    if not w.index:
        w.memory.value = 1
        w.memory.value = 0
    elif w.memory.value:
        raise KeyError


def state_of(made: World) -> tuple[object, ...]:
    return bytes(made.content), made.state, bytes(made.path), list(made.at), made.choices()


def add(_: object, w: Any) -> None:
    with w.write_lock():
        w.memory.value += 1


def test_everybody_is_a_choice_at_the_beginning() -> None:
    assert world("counter", workers=3).choices() == [0, 1, 2]


def test_a_step_changes_the_bytes_and_who_is_where() -> None:
    made = follow(world("counter"), [0, 1, 0])
    assert (bytes(made.content), bytes(made.path)) == ((1).to_bytes(8, "little"), b"\0\1\0")
    assert made.at[0].ended
    assert made.choices() == [1]


def test_an_update_is_lost_between_a_load_and_its_store_and_turns_one_after_the_other_end_clean() -> None:
    lost = (Damage("lost update", 1, 2, ["value is 1 after 2 additions"]),)
    assert follow(world("counter"), [0, 1, 0, 1]).end().damage == lost
    assert follow(world("counter"), [0, 0, 1, 1]).end().damage == ()


def test_a_lock_that_is_held_leaves_only_its_holder_a_choice_and_without_one_nobody_waits() -> None:
    made = follow(world("counter", "fcntl"), [1])
    assert made.choices() == [1]
    assert made.waits_for(0) == 1
    assert follow(made, [1, 1, 1]).choices() == [0]
    assert follow(world("counter", "none"), [0]).waits_for(1) is None


def test_readers_are_let_in_together() -> None:
    def read(_: object, w: Any) -> None:
        with w.read_lock():
            pass

    assert follow(world(scenario_of(read), "fcntl"), [0, 1]).choices() == [0, 1]


@pytest.mark.parametrize("lock", LOCKS)
@given(st.integers(0, 200), st.integers())
def test_steps_taken_back_restore_bytes_locks_and_paths(lock: str, seed: int, turns: int) -> None:
    found = drawn(seed)
    made = world(found, lock, len(texts_of(found)))
    turn = Random(turns)
    states = []
    try:
        while choices := made.choices():
            states.append(state_of(made))
            made.do(turn.choice(choices))
    except CannotRunError:
        return
    while states:
        made.undo()
        assert state_of(made) == states.pop()
    assert made.path == b""


def test_steps_can_be_taken_back_to_any_length() -> None:
    made = to_the_end(world("bank", "fcntl", rounds=2))
    path = bytes(made.path)
    made.back_to(5)
    assert made.path == path[:5]
    made.back_to(0)
    assert (bytes(made.content), made.state) == (made.initial, 0)


def test_a_schedule_leads_to_the_same_end_again_after_others_were_run() -> None:
    made = world("bank", "none", rounds=2)
    first = to_the_end(made)
    path, content = bytes(first.path), bytes(first.content)
    made.back_to(0)
    turns = Random(1)
    for _ in range(50):
        to_the_end(made, iter(lambda: turns.randrange(2), None)).back_to(0)
    assert bytes(follow(made, path).content) == content


def test_the_last_wait_of_a_ring_of_posix_locks_is_refused_and_damage_where_somebody_says_so() -> None:
    made = follow(world(rings(), "fcntl"), [0, 1])
    assert made.choices() == [0, 1]
    made.do(1)
    assert made.choices() == [1]
    assert [kind for node in to_the_end(made).at for kind, _ in node.seen] == ["refused"]
    end = to_the_end(follow(world(rings(), "fcntl"), [0, 1, 0])).end()
    assert end.damage == (Damage("refused", 1, 2, ["worker 0, round 0: 35"]),)


def test_a_ring_of_ofd_locks_hangs() -> None:
    made = follow(world(rings(), "ofd"), [0, 1])
    assert made.choices() == []
    assert made.end().kinds == {"deadlock"}
    assert (made.end().damage[0].count, made.end().damage[0].of) == (2, 2)
    assert ["worker 0" in made.end().damage[0].evidence[0], "worker 1" in made.end().damage[0].evidence[1]]


def test_a_ring_needs_somebody_who_waits_at_each_place_and_flock_has_none() -> None:
    made = follow(world(rings(), "fcntl", workers=3), [0, 1])
    assert made.choices() == [0, 1]
    assert made.waits_for(2) == 0
    assert follow(world(rings(), "flock"), [0]).choices() == [0]


def test_a_refused_worker_that_handles_it_not_is_damage() -> None:
    def unhandled(scenario: Any, w: Any) -> None:
        memory = scenario.Memory
        first, second = (memory.b, memory.a) if w.index else (memory.a, memory.b)
        with w.write_lock(first), w.write_lock(second):
            pass

    made = to_the_end(follow(world(scenario_of(unhandled, *TWO), "fcntl"), [0, 1, 0]))
    assert made.end().kinds == {"raised Deadlock"}


def test_an_exception_is_damage_and_the_evidence_says_who_and_what() -> None:
    def fail(_: object, w: Any) -> None:
        if w.memory.value:
            raise KeyError("not nothing")
        w.memory.value = 1

    end = follow(world(scenario_of(fail)), [0, 0, 1]).end()
    assert [(each.kind, each.count, each.of) for each in end.damage] == [("raised KeyError", 1, 2)]
    assert end.damage[0].evidence[0].startswith("worker 1: KeyError: 'not nothing' (")
    assert "test_world.py:" in end.damage[0].evidence[0]


def test_a_worker_that_raised_keeps_nobody_from_going_on() -> None:
    def fail(_: object, w: Any) -> None:
        with w.write_lock():
            if not w.index:
                raise KeyError
            w.memory.value = 1

    made = follow(world(scenario_of(fail), "fcntl"), [0, 0])
    assert made.choices() == [1]
    assert to_the_end(made).end().kinds == {"raised KeyError"}


@pytest.mark.parametrize("first", [True, False])
def test_an_exception_and_an_end_that_left_the_same_bytes_are_told_apart(first: bool) -> None:
    made = world(scenario_of(raise_at_1))
    for raises in (first, not first):
        end = follow(made, [0, 1, 0] if raises else [0, 0, 1]).end()
        assert end.kinds == ({"raised KeyError"} if raises else set())
        made.back_to(0)


def test_reports_are_counted_by_kind_and_come_before_what_the_check_finds() -> None:
    def report(_: object, w: Any) -> None:
        w.damaged("seen", "twice")
        w.damaged("seen", "twice")
        w.memory.value = 1

    def check(*_: object) -> Damage:
        return Damage("checked", 1, 2, ["so it is"])

    damage = to_the_end(world(scenario_of(report, check=check))).end().damage
    assert [(each.kind, each.count, each.of) for each in damage] == [("seen", 4, 2), ("checked", 1, 2)]
    assert list(damage[0].evidence) == [f"worker {n}, round 0: twice" for n in (0, 0, 1, 1)]


def test_damage_of_count_0_is_none() -> None:
    made = world(scenario_of(add, check=lambda *_: [Damage("nothing", 0, 2), Damage("something", 1, 2)]))
    assert to_the_end(made).end().kinds == {"something"}


def test_ends_that_left_the_same_are_checked_once_with_all_rounds_done() -> None:
    checks = []

    def check(_: object, memory: Any, outcome: Outcome) -> list[Damage]:
        checks.append((memory.value, outcome.rounds, list(outcome.by_worker)))
        return []

    every_schedule(world(scenario_of(add, check=check), workers=3), Endings())
    to_the_end(world(scenario_of(add, check=check), "fcntl", rounds=3)).end()
    assert sorted(checks) == [(1, 3, [1, 1, 1]), (2, 3, [1, 1, 1]), (3, 3, [1, 1, 1]), (6, 6, [3, 3])]


def test_the_file_starts_with_what_prepare_and_every_start_wrote() -> None:
    def prepare(_: object, memory: Any) -> None:
        memory.cells[0] = 9

    def start(_: object, w: Any) -> None:
        w.memory.cells[1 + w.index] = w.memory.cells[0] + w.index

    made = world(scenario_of(lambda _, w: w.memory.cells[0], cells(3), prepare=prepare, start=start))
    assert made.initial == bytes([9, 9, 10])
    assert bytes(made.content) == made.initial


@pytest.mark.parametrize("method", ["prepare", "check"])
def test_an_exception_outside_the_rounds_is_told_with_its_method(method: str) -> None:
    def fail(*_: object) -> None:
        raise KeyError("here")

    found = scenario_of(add, **{method: fail})
    with pytest.raises(ScenarioError, match=f"{method} raised KeyError: 'here' .*test_world.py"):
        to_the_end(world(found)).end()


def test_a_worker_whose_steps_have_no_end_goes_on_as_long_as_it_is_let() -> None:
    def spin(_: object, w: Any) -> None:
        while not w.memory.value:
            pass
        w.memory.value = 2

    made = world(scenario_of(spin), longest=10)
    for worker in repeat(0, 50):
        made.do(worker)
    assert made.choices() == [0, 1]
    assert len(made.path) == 50


def test_a_line_of_the_file_is_what_a_store_reaches_together() -> None:
    def fill(self: Any, w: Any) -> None:
        w.bytes(self.Memory.record)[:] = bytes([w.index + 1] * 16)

    made = follow(world(scenario_of(fill, ("record", c_uint8 * 16)), line=8), [0, 1, 1, 0])
    assert bytes(made.content) == b"\2" * 8 + b"\1" * 8


def test_a_world_can_begin_only_with_a_lock_that_has_a_model() -> None:
    with pytest.raises(CannotRunError, match="lock leaky"):
        world("counter", "leaky")
