from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from lab.locks import Action, Leaky, find_lock
from tests.helpers import OtherProcess
from tests.locks.holder import REFUSED, refusal

CALLED = ["acquire", "release"]


class Diary:
    """A lock that only writes down what it is asked to do."""

    name = "diary"
    summary = "a diary"
    has_ranges = True
    excludes = True

    def __init__(self) -> None:
        self.calls: list[str] = []

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return lambda: self.calls.append("acquire"), lambda: self.calls.append("release")


class Scripted(Random):
    """Draws these numbers, one after the other."""

    def __init__(self, *draws: float) -> None:
        super().__init__(0)
        self._draws = iter(draws)

    def random(self) -> float:
        return next(self._draws)


def calls_of(probability: float, random: Random, requests: int) -> list[str]:
    diary = Diary()
    acquire, release = Leaky(diary, probability, random).actions(3, 0, 8, write=True)
    for _ in range(requests):
        acquire()
        release()
    return diary.calls


def test_probability_1_never_locks_nor_unlocks() -> None:
    assert calls_of(1.0, Random(1), 1000) == []


def test_probability_0_always_locks_and_unlocks() -> None:
    assert calls_of(0.0, Random(1), 1000) == CALLED * 1000


def test_a_draw_below_the_probability_is_a_lie() -> None:
    assert calls_of(0.25, Scripted(0.24), 1) == []


@pytest.mark.parametrize("draw", [0.25, 0.26])
def test_a_draw_of_the_probability_or_above_is_honest(draw: float) -> None:
    assert calls_of(0.25, Scripted(draw), 1) == CALLED


def test_every_request_draws_anew_and_its_release_matches_it() -> None:
    assert calls_of(0.5, Scripted(0.9, 0.1, 0.9, 0.1, 0.1, 0.9), 6) == CALLED * 3


def test_the_same_seed_lies_at_the_same_requests() -> None:
    assert calls_of(0.5, Random(7), 100) == calls_of(0.5, Random(7), 100) != calls_of(0.5, Random(8), 100)


def test_a_lie_inside_an_honest_hold_does_not_release_it() -> None:
    """Two ranges of one worker remember for themselves whether they were granted."""
    diary = Diary()
    leaky = Leaky(diary, 0.5, Scripted(0.9, 0.1))
    outer_acquire, outer_release = leaky.actions(3, 0, 8, write=True)
    inner_acquire, inner_release = leaky.actions(3, 8, 8, write=True)
    outer_acquire()
    inner_acquire()
    inner_release()
    assert diary.calls == ["acquire"]
    outer_release()
    assert diary.calls == CALLED


def acquire_leaking(probability: float, path: str) -> None:
    descriptor = os.open(path, os.O_RDWR)
    Leaky(find_lock("fcntl"), probability, Random(1)).actions(descriptor, 0, 8, write=True)[0]()


def test_what_a_lie_granted_is_free_for_others(other: OtherProcess, path: Path, here: int) -> None:
    other.call(acquire_leaking, 1.0, str(path))
    assert refusal("ofd", here, 0, 8, write=True) == 0


def test_what_was_granted_honestly_is_refused_to_others(other: OtherProcess, path: Path, here: int) -> None:
    other.call(acquire_leaking, 0.0, str(path))
    assert refusal("ofd", here, 0, 8, write=True) in REFUSED


def test_it_goes_by_the_name_of_the_lock_and_says_how_often_it_lies() -> None:
    lock = find_lock("flock")
    leaky = Leaky(lock, 0.001, Random(1))
    assert (leaky.name, leaky.has_ranges, leaky.excludes) == ("flock", False, True)
    assert "0.001" in leaky.summary
