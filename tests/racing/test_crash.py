"""Races with a crash: who dies is killed in the middle, the next one recovers, and what is left is checked."""

from __future__ import annotations

import os
import re
from ctypes import Structure, c_uint64
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from lab import Damage, Outcome, Scenario
from lab.locking import adapt, find_lock
from lab.processes import GroupReaper
from lab.racing.cases import Case, run_case, run_faulty
from lab.racing.crash import Doom, Recovering
from lab.racing.faults import CRASH
from lab.racing.trial import run_trial
from lab.racing.worker import Setting
from lab.scenario import find_scenarios
from tests.helpers import PATIENCE_S, in_fresh_process

TRIALS = 30


class Noted(Scenario):
    """Adds 1 twice, and counts what recovered."""

    class Memory(Structure):
        _fields_ = [("left", c_uint64), ("right", c_uint64), ("recovered", c_uint64), ("worked", c_uint64)]

    def work(self, w: Any) -> None:
        with w.write_lock():
            self.mend(w)
            w.memory.left += 1
            w.memory.right += 1
            if w.index == w.workers - 1:
                w.memory.worked += 1

    def mend(self, w: Any) -> None:
        w.memory.left = w.memory.right

    def recover(self, w: Any) -> None:
        with w.write_lock():
            w.memory.recovered += 1
            self.mend(w)

    def check(self, memory: Any, outcome: Outcome) -> list[Damage]:
        return [
            Damage("no recovery", int(memory.recovered != 1), 1),
            Damage("no work after it", int(memory.worked != 1), 1),
            Damage("half an update", int(memory.left != memory.right), 1),
            Damage("lost update", abs(outcome.rounds - memory.right), 1),
        ]


class Careless(Noted):
    """Nobody mends: the half of the dead stays."""

    def mend(self, w: Any) -> None:
        pass


class Raises(Noted):
    """Recovery fails."""

    def recover(self, w: Any) -> None:
        raise ValueError("what is this?")


MADE = {kind.__name__: kind for kind in (Noted, Careless, Raises)}


class ByExistence:
    """A lock that is a file; nobody removes that of a dead holder."""

    def __init__(self, path: str) -> None:
        self._path = f"{path}.lock"

    def acquire(self) -> None:
        while True:
            try:
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                sleep(0.001)
            else:
                return

    def release(self) -> None:
        Path(self._path).unlink()


def under_a_lock_that_stays(directory: str) -> list[Any]:
    """The row of `--crash kill` under a lock that outlives its holder."""
    (found,) = find_scenarios(["counter"])
    setting = Setting(
        scenario=found.kind(), lock=adapt(ByExistence, name="stays"), backing="mapped", workers=3, rounds=4, pin="none",
        window_ns=0, leak=0.0, time_limit_s=PATIENCE_S, seed="0",
    )  # fmt: skip
    with GroupReaper():
        ordinary = run_case(Case(found, setting), 1, [Path(directory)])
        row = run_faulty(Case(found, replace(setting, fault=CRASH)), ordinary, [Path(directory)], 0.3)
    return [ordinary.verdict, row.verdict, row.reason, row.faults_made, row.kills_inside]


def test_a_lock_that_outlives_its_holder_lets_nobody_in(tmp_path: Path) -> None:
    first, verdict, reason, *kills = in_fresh_process(under_a_lock_that_stays, str(tmp_path))
    assert (first, verdict, kills) == ("clean", "timeout", [1, 1])
    assert re.fullmatch(r"nobody was let in for [\d.]+ s after a holder was killed", reason)


def raced(name: str, directory: str, trials: int = TRIALS, backing: str = "mapped") -> list[Any]:
    """How many trials were damaged, by kind; how many killed somebody; the reasons of those that failed."""
    scenario = MADE[name]() if name in MADE else find_scenarios([name])[0].kind()
    setting = Setting(
        scenario=scenario, lock=find_lock("fcntl"), backing=backing, workers=3, rounds=4, pin="none", window_ns=0,
        leak=0.0, time_limit_s=PATIENCE_S, seed="0", fault=CRASH,
    )  # fmt: skip
    results = [run_trial(setting, number, [Path(directory)]) for number in range(trials)]
    kinds: dict[str, int] = {}
    for result in results:
        for kind in {each.kind for each in result.damage}:
            kinds[kind] = kinds.get(kind, 0) + 1
    failed = sorted({failure.reason for result in results for failure in result.failures})
    overlaps = sum(result.exclusion.overlapping for result in results)
    return [kinds, sum(result.faults_made for result in results), failed, overlaps]


@pytest.mark.parametrize("backing", ["mapped", "stream"])
def test_what_recovers_is_whole_after_each_kill(backing: str, tmp_path: Path) -> None:
    assert in_fresh_process(raced, "Noted", str(tmp_path), TRIALS, backing) == [{}, TRIALS, [], 0]


def test_what_does_not_recover_is_seen_to_be_half_done(tmp_path: Path) -> None:
    kinds, killed, failed, overlaps = in_fresh_process(raced, "Careless", str(tmp_path))
    assert (killed, failed, overlaps) == (TRIALS, [], 0)
    assert kinds["half an update"] > TRIALS / 6
    assert set(kinds) <= {"half an update", "lost update"}


def test_a_recovery_that_raises_is_a_failure_of_the_last_worker(tmp_path: Path) -> None:
    _, killed, (reason,), _ = in_fresh_process(raced, "Raises", str(tmp_path), 2)
    assert (killed, "raised ValueError: what is this?" in reason) == (2, True)


def without_recovery(directory: str) -> list[Any]:
    """As where the one that comes afterwards only works."""

    def work(self: Any, w: Any) -> None:
        self._scenario.work(w)
        self._stop[0] = 1

    Recovering.work = work  # type: ignore[method-assign]
    return raced("Noted", directory, 3)


def test_recovery_that_is_left_out_is_noticed(tmp_path: Path) -> None:
    assert in_fresh_process(without_recovery, str(tmp_path))[0]["no recovery"] == 3


def test_who_dies_and_when_follows_from_the_seed_and_every_worker_and_round_has_its_turn() -> None:
    drawn = [Doom.drawn(f"0/{number}", 3, 4) for number in range(200)]
    assert drawn == [Doom.drawn(f"0/{number}", 3, 4) for number in range(200)]
    assert {doom.worker for doom in drawn} == {0, 1, 2}
    assert {doom.round for doom in drawn} == {1, 2, 3}
    assert {round(4 * doom.share) for doom in drawn} == {0, 1, 2, 3, 4}
    assert {Doom.drawn(str(number), 2, 1).round for number in range(9)} == {0}
