"""A shared lock made exclusive inside it, raced: what each kernel lock makes of it, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import race
from tests.once import once

Rows = dict[tuple[str, str], dict[str, Any]]

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


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of the file's scenario and of its variant, by lock."""

    def make() -> list[dict[str, Any]]:
        path = tmp_path_factory.mktemp("scenario") / "upgrade.py"
        path.write_text(UPGRADE)
        shared = ("--workers", "3", "--trials", "2")
        _, others = race(path, *shared, "--lock", "fcntl", "--lock", "flock")
        _, waits = race(path, *shared, "--lock", "ofd", "--time-limit", "2")  # for ever
        _, alone = race(f"{path}:alone", *shared, "--lock", "ofd")
        return [*waits["cases"], *others["cases"], *alone["cases"]]

    cases = once(tmp_path_factory, "conversion", make)
    return {(each["scenario"].partition(":")[2], each["lock"]): each for each in cases}


def test_flock_is_not_blamed_for_what_it_gives_up_and_the_lost_uses_are_found(rows: Rows) -> None:
    found = rows["", "flock"]
    assert (found["verdict"], found["overlapping_holds"]) == ("damaged", 0)
    assert [each["kind"] for each in found["damage"]] == ["lost use"]
    assert "the lock held and the data broke anyway" in found["reason"]


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_no_lock_is_blamed_where_one_worker_converts_among_readers(lock: str, rows: Rows) -> None:
    found = rows["alone", lock]
    assert (found["verdict"], found["overlapping_holds"]) == ("clean", 0)


@pytest.mark.parametrize(
    ("lock", "verdict", "reason"),
    [
        pytest.param("fcntl", "died", "raised Deadlock", id="POSIX locks refuse the second of two that convert"),
        pytest.param("ofd", "timeout", "waiting for the write lock", id="those of open files let both wait for ever"),
    ],
)
def test_of_two_that_convert_none_is_let_in(lock: str, verdict: str, reason: str, rows: Rows) -> None:
    found = rows["", lock]
    assert (found["verdict"], found["overlapping_holds"]) == (verdict, 0)
    assert all(reason in each["reason"] for each in found["failures"])
