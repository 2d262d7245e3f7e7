"""The invariant is checked while workers race, by a process that takes their lock; scripted by files as signals."""

from __future__ import annotations

import time
from ctypes import Structure, c_uint64
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lab import Damage, Outcome, Scenario, Worker
from tests.helpers import PATIENCE_S, OtherProcess
from tests.racing.racing import case_of, raced

ROUNDS = 3


class Halves(Scenario):
    """Add 1 to two numbers under one lock, and wait in each round until somebody has looked."""

    folder: ClassVar[Path]
    rounds = ROUNDS
    holds_per_round = 2

    class Memory(Structure):
        _fields_ = [("a", c_uint64), ("b", c_uint64)]

    def invariant(self, memory: Any) -> Damage | None:
        broken = memory.a != memory.b
        (self.folder / ("broken" if broken else "whole")).touch()
        return Damage("half", 1, 1, [f"a {memory.a}, b {memory.b}"]) if broken else None

    def wait_for(self, name: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline
            time.sleep(0.0005)

    def work(self, w: Worker) -> None:
        with w.write_lock():
            w.memory.a += 1
            time.sleep(0.005 * (not w.round))  # long enough for a look, if one were let in
            w.memory.b += 1
        self.wait_for("whole")

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        lost = 2 * outcome.rounds - memory.a - memory.b
        return Damage("lost", max(0, lost), outcome.rounds)


class Apart(Halves):
    """Under two locks: who looks in between meets the half of it, and at the end all is whole again."""

    def between(self) -> None:
        self.wait_for("broken")

    def work(self, w: Worker) -> None:
        with w.write_lock(self.Memory.a):
            w.memory.a += 1
        self.between()
        with w.write_lock(self.Memory.b):
            w.memory.b += 1


class Unwatched(Apart):
    """The same, where nobody can look in between."""

    def between(self) -> None:
        assert not (self.folder / "broken").exists()


class Left(Halves):
    """What is broken at the end."""

    def work(self, w: Worker) -> None:
        with w.write_lock():
            w.memory.a += 1

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost", 0, outcome.rounds)


class SameKind(Left):
    """What the check counts too."""

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("half", int(memory.a), outcome.rounds, ["the check's own"])


class Raises(Apart):
    """On broken bytes the invariant raises."""

    def invariant(self, memory: Any) -> None:
        if super().invariant(memory):
            raise ValueError("half")


class RaisesAlways(Left):
    """Its author's mistake."""

    def invariant(self, memory: Any) -> None:
        raise ValueError("odd")


class Dies(Left):
    """A worker ends with the lock held."""

    def work(self, w: Worker) -> None:
        with w.write_lock():
            w.die()


def race(name: str, folder: str, lock: str, workers: int = 2, **changed: Any) -> dict[str, Any]:
    scenario = globals()[name]
    scenario.folder = Path(folder)
    place = Path(folder) / "raced"
    place.mkdir()
    return raced(case_of(scenario, lock, workers=workers, **changed), [str(place)])


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_what_is_broken_only_in_the_middle_is_found_and_said_when(
    lock: str, other: OtherProcess, tmp_path: Path
) -> None:
    row = other.call(race, "Apart", str(tmp_path), lock)
    (found,) = row["damage"]
    assert (row["verdict"], found["kind"], found["of"]) == ("damaged", "half", row["invariant_checks"] + 1)
    assert 1 <= found["count"] <= row["invariant_checks"]
    assert found["evidence"][0].startswith("after ")
    assert f"of {2 * ROUNDS} rounds: a " in found["evidence"][0]
    assert (row["holds"], row["overlapping_holds"], row["left"]) == (4 * ROUNDS, 0, [])  # the workers' own


@pytest.mark.parametrize("backing", ["mapped", "stream", "remapped", "sysv"])
def test_what_is_whole_whenever_nobody_is_inside_stays_clean(backing: str, other: OtherProcess, tmp_path: Path) -> None:
    row = other.call(race, "Halves", str(tmp_path), "fcntl", backing=backing)
    assert (row["verdict"], row["damage"], row["holds"]) == ("clean", [], 2 * ROUNDS)
    assert row["invariant_checks"] >= 1
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize(
    ("lock", "changed"),
    [("none", {"workers": 1}), ("fcntl", {"stresses": True}), ("fcntl", {"recorded": True}), ("none", {"workers": 2})],
)
def test_without_a_lock_and_where_it_would_disturb_it_is_checked_at_the_end_only(
    lock: str, changed: dict[str, Any], other: OtherProcess, tmp_path: Path
) -> None:
    row = other.call(race, "Unwatched", str(tmp_path), lock, rounds=1, **changed)
    assert row["invariant_checks"] == 0
    assert row["verdict"] == "clean" or changed == {"workers": 2}


@pytest.mark.parametrize(
    ("scenario", "damage"),
    [
        ("Left", [("half", 1, 1, ["at the end: a 6, b 0"])]),
        ("SameKind", [("half", 6, 6, ["the check's own"])]),
    ],
)
def test_what_is_broken_at_the_end_is_counted_once(
    scenario: str, damage: list[tuple[Any, ...]], other: OtherProcess, tmp_path: Path
) -> None:
    row = other.call(race, scenario, str(tmp_path), "fcntl", stresses=True)
    assert [(each["kind"], each["count"], each["of"], each["evidence"]) for each in row["damage"]] == damage


def test_one_that_raises_on_broken_bytes_is_damage_and_one_that_raises_always_a_mistake(
    other: OtherProcess, tmp_path: Path
) -> None:
    for name in ("Raises", "RaisesAlways"):
        (tmp_path / name).mkdir()
    row = other.call(race, "Raises", str(tmp_path / "Raises"), "fcntl")
    assert (row["verdict"], row["damage"][0]["kind"]) == ("damaged", "invariant raised")
    assert "ValueError: half" in row["damage"][0]["evidence"][0]
    row = other.call(race, "RaisesAlways", str(tmp_path / "RaisesAlways"), "fcntl")
    assert (row["verdict"], row["reason"].partition(" (")[0]) == ("died", "invariant raised ValueError: odd")


def test_a_lock_that_a_dead_worker_leaves_locked_does_not_keep_the_trial(other: OtherProcess, tmp_path: Path) -> None:
    row = other.call(race, "Dies", str(tmp_path), "posix-semaphore", workers=1)
    assert (row["verdict"], row["damage"]) == ("died", [])
