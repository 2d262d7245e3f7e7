"""A shared lock made exclusive inside it, raced: what each kernel lock makes of it, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import race

UPGRADE = '''
from ctypes import Structure, c_uint64
from lab import Damage, Scenario

class Upgrade(Scenario):
    """Reads under the shared lock, and writes what follows from it under the exclusive one that it is made."""
    rounds = 300
    class Memory(Structure):
        _fields_ = [("uses", c_uint64)]
    def work(self, w):
        with w.read_lock(self.Memory.uses):
            uses = w.memory.uses
            w.pause()
            with w.write_lock(self.Memory.uses):
                w.memory.uses = uses + 1
            for _ in range(self.AFTER):
                uses = w.memory.uses
    def check(self, memory, outcome):
        return Damage("lost use", outcome.rounds - memory.uses, outcome.rounds)

    AFTER = 0

class Alone(Upgrade):
    """One at a time converts; the others only read, also behind it, where the lock is as the inner one left it."""
    AFTER = 50
    def work(self, w):
        if w.index:
            with w.read_lock(self.Memory.uses):
                w.memory.uses
        else:
            Upgrade.work(self, w)
    def check(self, memory, outcome):
        return []
'''


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "upgrade.py"
    path.write_text(UPGRADE)
    return path


def row(scenario: Path, *args: str, variant: str = "") -> dict[str, Any]:
    """The row of the file's scenario, or of its variant."""
    _, made = race(f"{scenario}{variant}", "--workers", "3", "--trials", "2", *args)
    return next(dict(each) for each in made["cases"] if (":" in each["scenario"]) == bool(variant))


def test_flock_is_not_blamed_for_what_it_gives_up_and_the_lost_uses_are_found(scenario: Path) -> None:
    found = row(scenario, "--lock", "flock")
    assert (found["verdict"], found["overlapping_holds"]) == ("damaged", 0)
    assert [each["kind"] for each in found["damage"]] == ["lost use"]
    assert "the lock held and the data broke anyway" in found["reason"]


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_no_lock_is_blamed_where_one_worker_converts_among_readers(lock: str, scenario: Path) -> None:
    found = row(scenario, "--lock", lock, variant=":alone")
    assert (found["verdict"], found["overlapping_holds"]) == ("clean", 0)


def test_posix_locks_refuse_the_second_of_two_that_convert(scenario: Path) -> None:
    found = row(scenario, "--lock", "fcntl")
    assert (found["verdict"], found["overlapping_holds"]) == ("died", 0)
    assert all("raised Deadlock" in each["reason"] for each in found["failures"])


def test_locks_of_open_files_let_the_two_wait_for_ever(scenario: Path) -> None:
    found = row(scenario, "--lock", "ofd", "--time-limit", "2")
    assert (found["verdict"], found["overlapping_holds"]) == ("timeout", 0)
    assert all("waiting for the write lock" in each["reason"] for each in found["failures"])
