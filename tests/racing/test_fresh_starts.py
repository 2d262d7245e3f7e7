"""Several histories in one trial: where they begin, when there are none, and what the workers find there."""

from __future__ import annotations

import os
import signal
from ctypes import Structure, c_uint64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.locking import find_lock
from lab.memory import workspace
from lab.racing.faults import CRASH
from lab.racing.fresh_starts import LEAST_ROUNDS, SHORT, beginnings, begins_again
from lab.racing.trial import run_trial
from lab.racing.worker import Setting
from lab.records import RacedCalls
from lab.scenario import Damage, Operations, Outcome, Worker
from tests.helpers import in_fresh_process


class Tally(Operations):
    """A counter that is told by its worker's notes too; a worker dies where it is asked to."""

    dies: tuple[int, int] | None = None

    class Memory(Structure):
        _fields_ = (("value", c_uint64),)

    class Model:
        def __init__(self) -> None:
            self.value = 5

        def add(self) -> int:
            self.value += 1
            return self.value

    def prepare(self, memory: Any) -> None:
        memory.value = 5

    def start(self, w: Worker) -> None:
        w.local.least = 5

    def add(self, w: Worker) -> int:
        if self.dies == (w.index, w.round):
            os.kill(os.getpid(), signal.SIGKILL)
        with w.write_lock():
            w.memory.value += 1
            found = w.memory.value
        assert found > w.local.least
        w.local.least = found
        return int(found)


class Checked(Tally):
    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost", 5 + outcome.rounds - memory.value, outcome.rounds)


class Watched(Tally):
    def invariant(self, memory: Any) -> None:
        assert memory.value >= 5


class Sparse(Tally):
    sparse = True


SETTING = Setting(Tally(), find_lock("fcntl"), "mapped", 3, 40, "none", 0, 0.0, 60.0, "seed")


@given(st.integers(1, 2000))
def test_the_first_half_of_the_rounds_is_one_history_and_the_rest_many(rounds: int) -> None:
    begun = beginnings(rounds)
    lengths = [end - first for first, end in zip(begun, [*begun[1:], rounds], strict=True)]
    assert sum(lengths) == rounds
    assert lengths[0] == (rounds if rounds < LEAST_ROUNDS else rounds // 2)
    assert all(0 < each <= max(SHORT) for each in lengths[1:])


@pytest.mark.parametrize(
    ("changed", "folders", "size", "expected"),
    [
        ({}, 1, 8, True),
        ({}, 2, 8, False),
        ({}, 1, 1 << 30, False),
        ({"backing": "remapped"}, 1, 8, False),
        ({"stresses": True}, 1, 8, False),
        ({"recorded": True}, 1, 8, False),
        ({"fault": CRASH}, 1, 8, False),
        ({"isolate": True}, 1, 8, False),
        ({"scenario": Checked()}, 1, 8, False),
        ({"scenario": Watched()}, 1, 8, False),
        ({"scenario": Sparse()}, 1, 8, False),
    ],
)
def test_a_trial_is_one_history_where_another_looks_at_the_bytes(
    changed: dict[str, Any], folders: int, size: int, expected: bool
) -> None:
    assert begins_again(replace(SETTING, **changed), folders, size) is expected


def raced(scenario: Any) -> list[Any]:
    """Race it once: how many calls and histories were judged, which workers failed, and what is broken."""
    with workspace(Path("/dev/shm")) as folder:  # noqa: S108 - where the lab itself looks first
        result = run_trial(replace(SETTING, scenario=scenario), 0, [folder])
    damage = [(each.kind, each.count) for each in result.damage]
    figures = result.calls.figures if result.calls else RacedCalls()
    return [figures.calls, figures.by_lock, [each.worker for each in result.failures], damage]


def raced_tally() -> list[Any]:
    return raced(Tally())


def raced_checked() -> list[Any]:
    return raced(Checked())


def raced_dying(worker: int, round_number: int) -> list[Any]:
    scenario = Tally()
    scenario.dies = worker, round_number
    return raced(scenario)


def test_each_history_begins_with_the_first_content_and_new_notes() -> None:
    assert in_fresh_process(raced_tally) == [120, len(beginnings(40)), [], []]


def test_a_check_of_its_own_sees_what_all_rounds_left() -> None:
    assert in_fresh_process(raced_checked) == [120, 1, [], []]


@pytest.mark.parametrize("dies", [(0, 3), (0, 25), (2, 0), (2, 25)])
def test_who_dies_is_not_waited_for(dies: tuple[int, int]) -> None:
    assert in_fresh_process(raced_dying, *dies) == [0, 0, [dies[0]], []]
