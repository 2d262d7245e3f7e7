from __future__ import annotations

from ctypes import c_uint64
from typing import Any

import pytest

from lab.exploring.trace import trace
from lab.exploring.world import World
from tests.exploring.worlds import cells, scenario_of, world


def told(made: World, schedule: list[int]) -> list[tuple[int, str, str, object]]:
    """Worker, operation, field and value of each step."""
    return [(each.worker, each.operation, each.field, each.value) for each in trace(made, bytes(schedule))[0]]


def turns(made: World, schedule: list[int]) -> list[str]:
    """How each worker came to its turn."""
    return [each.turn for each in trace(made, bytes(schedule))[0]]


def test_each_step_says_who_did_what_where_and_what_it_met_or_stored() -> None:
    assert told(world("counter"), [0, 1, 1, 0]) == [
        (0, "load", "value", 0),
        (1, "load", "value", 0),
        (1, "store", "value", 1),
        (0, "store", "value", 1),
    ]


def test_a_load_tells_what_was_there_when_it_was_taken() -> None:
    assert told(world("counter"), [0, 0, 1, 1])[2:] == [(1, "load", "value", 1), (1, "store", "value", 2)]


def test_locks_and_unlocks_are_steps() -> None:
    assert told(world("counter", "fcntl"), [0] * 4 + [1] * 4)[::3] == [
        (0, "lock", "value", "exclusive"),
        (0, "unlock", "value", None),
        (1, "store", "value", 2),
    ]


def test_a_read_lock_is_shared() -> None:
    schedule = [1] * 66 + [0] * 66
    assert told(world("readers_writers", "fcntl"), schedule)[0] == (1, "lock", "record", "shared")


def test_under_flock_the_lock_is_on_the_file() -> None:
    step = trace(world("bank", "flock"), bytes([0] * 8 + [1] * 8))[0][0]
    assert (step.field, step.start, step.length) == ("the file", 0, 0)


def test_a_step_tells_its_round_and_its_bytes() -> None:
    steps, _ = trace(world("append_log", rounds=2), bytes([0] * 6 + [1] * 6))
    assert [each.round for each in steps] == [0] * 3 + [1] * 3 + [0] * 3 + [1] * 3
    assert [(each.field, each.start, each.length) for each in steps[3:6]] == [
        ("tail", 0, 8),
        ("records[1]", 16, 8),
        ("tail", 0, 8),
    ]


def test_the_turn_is_taken_over_freely_where_the_other_has_finished() -> None:
    assert turns(world("counter"), [0, 0, 1, 1]) == ["free", "same", "free", "same"]


def test_who_could_have_gone_on_was_preempted() -> None:
    assert turns(world("counter"), [0, 1, 1, 0]) == ["free", "preempted", "same", "free"]


def test_who_waits_for_a_lock_is_not_preempted() -> None:
    made = world("check_then_lock", "fcntl")
    assert turns(made, [0, 0, 1, 0, 0, 1, 1, 1])[:4] == ["free", "same", "preempted", "free"]


def test_who_was_refused_steps_aside_for_free() -> None:
    made = world("opposite_order", "fcntl")
    schedule = [0, 1, 1, 1]  # each has its first, and worker 1 is refused its second and gives back its first
    while True:
        for worker in schedule[len(made.path) :]:
            made.do(worker)
        if not (choices := made.choices()):
            break
        schedule.append(choices[0])
    made.back_to(0)
    steps, _ = trace(made, bytes(schedule))
    refused = steps[2]
    assert (refused.operation, refused.value, refused.field) == ("lock", "EDEADLK", "a")
    assert steps[4].worker == 0
    assert steps[4].turn == "free"


def test_locks_that_are_never_granted_follow_the_last_step() -> None:
    steps, end = trace(world("opposite_order", "ofd"), bytes([0, 1]))
    assert [(each.worker, each.operation, each.field, each.value, each.turn) for each in steps[2:]] == [
        (0, "lock", "b", "waits", "free"),
        (1, "lock", "a", "waits", "free"),
    ]
    assert end.kinds == {"deadlock"}


def test_the_end_is_that_of_the_schedule() -> None:
    assert trace(world("counter"), b"\0\1\1\0")[1].kinds == {"lost update"}
    assert trace(world("counter"), b"\0\0\1\1")[1].kinds == frozenset()


@pytest.mark.parametrize("schedule", [b"\0\0\1\1", b"\0\1\1\0"])
def test_the_world_is_at_its_beginning_again_afterwards(schedule: bytes) -> None:
    made = world("counter")
    trace(made, schedule)
    assert (bytes(made.path), bytes(made.content)) == (b"", made.initial)


def test_a_long_store_is_told_line_by_line() -> None:
    def work(scenario: Any, w: Any) -> None:
        w.bytes(scenario.Memory.cells)[:] = bytes([w.index + 1]) * 200

    made = world(scenario_of(work, cells(200)))
    assert told(made, [0, 0, 1, 1])[:2] == [
        (0, "store", "cells[0:64]", "01" * 64),
        (0, "store", "cells[64:128]", "01" * 64),
    ]


def test_a_lock_to_the_end_of_the_file_has_the_length_zero() -> None:
    def work(_: object, w: Any) -> None:
        with w.write_lock():
            w.memory.a = 1

    steps, _ = trace(world(scenario_of(work, ("a", c_uint64), ("b", c_uint64)), "fcntl", 1), b"\0\0\0")
    assert [(each.operation, each.field, each.start, each.length) for each in steps] == [
        ("lock", "the file", 0, 0),
        ("store", "a", 0, 8),
        ("unlock", "the file", 0, 0),
    ]
