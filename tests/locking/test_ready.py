from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError, UsageError
from lab.locking import abilities, find_lock, prepared
from lab.locking.registry import READY
from tests.helpers import PATIENCE_S, in_fresh_process, race, run_lab
from tests.once import once

SEMAPHORES = ["multiprocessing", "sysv-semaphore", "posix-semaphore"]
EACH = [part for name in READY for part in ("--lock", name)]
RACE = (*EACH, "--trials", "1", "--dir")
WIDE = ("--workers", "4", "--window", "1000000", "--rounds", "30")
"""A millisecond inside the lock: who asks for it again and again gets to ask meanwhile."""

HOW = {
    "append_log": ("--workers", "4", "--rounds", "100"),
    "readers_writers": ("--workers", "3", "--rounds", "30"),
    "killed_holder": ("--workers", "3", "--rounds", "2", "--time-limit", "2"),
    "threads": ("--workers", "2"),
}

Rows = dict[str, dict[str, Any]]


def folder_names(folder: str) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - names


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rows]:
    """Gives the rows of a scenario under every ready lock, which one command races."""

    def race_all(scenario: str) -> Rows:
        folder = tmp_path_factory.mktemp(scenario)
        _, document = race(scenario, *RACE, folder, *HOW[scenario], timeout=4 * PATIENCE_S)
        assert list(folder.iterdir()) == []
        return {row["lock"]: row for row in document["cases"]}

    return lambda scenario: once(tmp_path_factory, f"ready-{scenario}", lambda: race_all(scenario))


@pytest.mark.parametrize("name", READY)
def test_every_ready_lock_keeps_workers_apart(name: str, rows: Callable[[str], Rows]) -> None:
    row = rows("append_log")[name]
    assert (row["verdict"], row["holds"], row["overlapping_holds"]) == ("clean", 400, 0)
    assert rows("readers_writers")[name]["verdict"] == "clean"


@pytest.mark.parametrize("name", READY)
def test_every_ready_lock_is_as_it_says(name: str, rows: Callable[[str], Rows]) -> None:
    """A killed holder keeps others out for good, unless that releases it; threads are kept apart, or not."""
    claimed = abilities(find_lock(name))
    assert claimed is not None
    waits, kept_apart = rows("killed_holder")[name]["verdict"] == "timeout", rows("threads")[name]["verdict"] == "clean"
    assert (waits, kept_apart) == (not claimed.survives_kill, claimed.threads)


def test_every_ready_lock_that_leaks_is_caught(tmp_path: Path) -> None:
    code, document = race("counter", *RACE, tmp_path, *WIDE, "--leak", "0.5")
    assert code == 1
    assert [row["lock"] for row in document["cases"] if not row["overlapping_holds"]] == []
    assert list(tmp_path.iterdir()) == []


ENOUGH = 20_000
"""Requests that met a holder; that no lie is among them has a chance of 0.999 ** 20,000, two in a thousand million."""


@pytest.mark.parametrize("name", ["filelock", "portalocker", "fasteners"])
def test_of_each_library_a_lock_that_leaks_one_in_a_thousand_is_caught_at_eight_workers(
    name: str, tmp_path: Path
) -> None:
    leaking = ("append_log", "--lock", name, "--leak", "0.001", "--workers", "8", "--rounds", "250", "--trials", "8")
    met = seed = 0
    while met < ENOUGH:
        code, document = race(*leaking, "--seed", str(seed), "--dir", tmp_path)
        (row,) = document["cases"]
        if row["overlapping_holds"]:
            assert (code, row["verdict"]) == (1, "damaged")
            return
        assert (code, row["verdict"]) == (0, "clean")
        met, seed = met + row["contended_requests"], seed + 1
    pytest.fail(f"{met:,} requests met a holder, and no lie was noticed")


def test_workers_that_wait_by_polling_for_too_long_are_told_what_to_do(tmp_path: Path) -> None:
    slow = ("append_log", "--lock", "filelock", "--workers", "8", "--rounds", "50000", "--trials", "1")
    done = run_lab("race", *slow, "--time-limit", "2", "--quiet", "--no-save", "--dir", tmp_path)
    assert done.returncode == 4
    told = "; give fewer --rounds or a longer --time-limit: who waits by polling takes long beside 7 others"
    assert done.stderr.splitlines()[0].endswith(told)


def takes_it_again(name: str, folder: str) -> list[str]:
    """Take and give back through two ranges held together, twice; the files that are there in between."""
    path = Path(folder, "data")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    with prepared(find_lock(name), str(path)) as lock:
        for _ in range(2):
            outer = lock.actions(descriptor, 0, 8, write=False)
            inner = lock.actions(descriptor, 8, 8, write=True)
            outer[0](), inner[0](), inner[1](), outer[1]()
    os.close(descriptor)
    return folder_names(folder)


@pytest.mark.parametrize("name", READY)
def test_ranges_nest_and_only_the_data_stays(name: str, tmp_path: Path) -> None:
    assert in_fresh_process(takes_it_again, name, str(tmp_path)) == ["data"]


@pytest.mark.parametrize("name", SEMAPHORES)
def test_a_semaphore_that_was_not_prepared_says_so(name: str, here: int) -> None:
    with pytest.raises(UsageError, match=f"lock {name}: is made once a trial"):
        find_lock(name).actions(here, 0, 8, write=True)


def system_v_ids() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/sem").read_text().splitlines()[1:]}


def stopped(inside: bool) -> list[bool]:
    """Stop this process with SIGINT while a System V semaphore is made, or used: did it exist, does it still?"""
    sysv_ipc: Any = import_module("sysv_ipc")
    made = []

    class Noted(sysv_ipc.Semaphore):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(str(self.id))
            existed.append(str(self.id) in system_v_ids())
            if not inside:
                os.kill(os.getpid(), signal.SIGINT)

    existed: list[bool] = []
    vars(sysv_ipc)["Semaphore"] = Noted
    try:
        with prepared(find_lock("sysv-semaphore"), "unused"):
            os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        return [*existed, made[0] in system_v_ids()]
    return []


@pytest.mark.parametrize("inside", [True, False])
def test_a_stop_leaves_no_system_v_semaphore_behind(inside: bool) -> None:
    assert in_fresh_process(stopped, inside) == [True, False]


def named_in_shared_memory() -> list[bool]:
    """Whether a POSIX semaphore has a name when it is made, and while it is used."""
    posix_ipc: Any = import_module("posix_ipc")
    names, was = [], []

    class Noted(posix_ipc.Semaphore):  # type: ignore[misc]
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            names.append(f"sem.{name[1:]}")
            was.append(names[0] in folder_names("/dev/shm"))  # noqa: S108

    vars(posix_ipc)["Semaphore"] = Noted
    with prepared(find_lock("posix-semaphore"), "unused"):
        return [*was, names[0] in folder_names("/dev/shm")]  # noqa: S108


def test_a_posix_semaphore_has_no_name_while_it_is_used() -> None:
    assert in_fresh_process(named_in_shared_memory) == [True, False]


@pytest.mark.parametrize("name", [name for name in READY if name.startswith(("filelock", "portal", "fast"))])
def test_a_package_that_is_missing_is_named_with_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = name.partition("-")[0]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CannotRunError) as raised:
        find_lock(name)
    told = f"lock {name}: needs the Python package {package}; pip install 'lock-race-lab[locks]'"
    assert (str(raised.value), raised.value.exit_code) == (told, 3)


def test_a_version_without_the_lock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    monkeypatch.setattr(filelock, "ReadWriteLock", None)
    with pytest.raises(CannotRunError, match="the filelock that is installed has no ReadWriteLock; pip install -U"):
        find_lock("filelock-rw")


def imported_by_a_race(lock: str, folder: str) -> list[str]:
    """Which of the packages behind locks are there when the race forks."""
    from lab.cli.main import main

    seen: set[str] = set()
    os.register_at_fork(before=lambda: seen.update(PACKAGES & set(sys.modules)))
    main(["race", "counter", "--lock", lock, "--rounds", "1", "--trials", "1", "--no-save", "--quiet", "--dir", folder])
    return sorted(seen)


PACKAGES = {"filelock", "portalocker", "fasteners", "multiprocessing", "sysv_ipc", "posix_ipc"}


@pytest.mark.parametrize(("lock", "expected"), [("fcntl", []), ("lockfile", []), ("fasteners", ["fasteners"])])
def test_a_race_imports_the_package_of_its_own_lock_alone(lock: str, expected: list[str], tmp_path: Path) -> None:
    assert in_fresh_process(imported_by_a_race, lock, str(tmp_path)) == expected
