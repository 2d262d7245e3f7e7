from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from lab.locking import Action, Leaky, find_lock
from tests.helpers import OtherProcess
from tests.locking.holder import REFUSED, open_file, refusal

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


@pytest.mark.parametrize(
    ("probability", "draws", "requests", "calls"),
    [
        pytest.param(1.0, Random(1), 1000, [], id="1 never locks nor unlocks"),
        pytest.param(0.0, Random(1), 1000, CALLED * 1000, id="0 always does"),
        pytest.param(0.25, Scripted(0.24), 1, [], id="a draw below it is a lie"),
        pytest.param(0.25, Scripted(0.25), 1, CALLED, id="a draw of it is honest"),
        pytest.param(0.25, Scripted(0.26), 1, CALLED, id="a draw above it is honest"),
        pytest.param(0.5, Scripted(0.9, 0.1, 0.9, 0.1, 0.1, 0.9), 6, CALLED * 3, id="every request draws anew"),
    ],
)
def test_a_request_is_false_with_the_probability_and_its_release_matches_it(
    probability: float, draws: Random, requests: int, calls: list[str]
) -> None:
    assert calls_of(probability, draws, requests) == calls


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
    descriptor = open_file(path)
    Leaky(find_lock("fcntl"), probability, Random(1)).actions(descriptor, 0, 8, write=True)[0]()


@pytest.mark.parametrize(("probability", "free"), [(1.0, True), (0.0, False)])
def test_only_what_was_granted_falsely_is_free_for_others(
    probability: float, free: bool, other: OtherProcess, path: Path, here: int
) -> None:
    other.call(acquire_leaking, probability, str(path))
    answer = refusal("ofd", here, 0, 8, write=True)
    assert answer == 0 if free else answer in REFUSED


def test_it_goes_by_the_name_of_the_lock_and_says_how_often_it_lies() -> None:
    lock = find_lock("flock")
    leaky = Leaky(lock, 0.001, Random(1))
    assert (leaky.name, leaky.has_ranges, leaky.excludes) == ("flock", False, True)
    assert "0.001" in leaky.summary
