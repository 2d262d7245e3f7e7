"""Whether a process is blocked on a lock: by each sign alone, and not for any other sleep."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab.host.procfs import ListedLock, ProcessStat
from lab.locking import find_lock
from lab.processes import actor
from lab.processes.actor import LockWait, SteppedProcess, listed_requests
from tests.helpers import PATIENCE_S, in_fresh_process, wait_until

FOREVER_S = 1e6


class Steps:
    """What the processes of these tests do: lock a file of theirs, sleep, or look at the clock."""

    def __init__(self, path: str, lock: str) -> None:
        self._path = path
        self._lock = lock

    def perform(self, step: str) -> str:
        if step == "sleep":
            time.sleep(PATIENCE_S)
        if step == "spin":
            while True:
                pass
        if step == "poll":
            while True:
                time.sleep(0.001)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT)
        find_lock(self._lock).actions(descriptor, 0, 8, write=True)[0]()
        return "granted"


def signs(path: str, lock: str, without: list[str]) -> list[object]:
    """Whether a process that waits for this lock is blocked, and one that sleeps, with some signs taken away."""
    if "wchan" in without:
        vars(actor)["sleeps_in"] = lambda *_: ""
    if "list" in without:
        vars(actor)["listed_locks"] = lambda _: []
    steps = Steps(path, lock).perform
    with SteppedProcess(steps) as holder, SteppedProcess(steps) as waiter, SteppedProcess(steps) as sleeper:
        holder.do("lock")
        inode = Path(path).stat().st_ino
        wait, other = LockWait(waiter.pid, lambda: [inode]), LockWait(sleeper.pid)
        waiter.begin("lock")
        sleeper.begin("sleep")
        wait_until(lambda: wait.is_blocked(FOREVER_S if len(without) < 2 else 0.05), "the waiter is blocked")
        # While others lock, the list may name it twice or not at all.
        wait_until(lambda: listed_requests(waiter.pid, [inode]) == (len(without) < 2), "the list names it once")
        return [listed_requests(sleeper.pid), other.is_blocked(FOREVER_S)]


@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
@pytest.mark.parametrize("without", [[], ["wchan"]])
def test_a_process_that_waits_for_a_lock_is_blocked_and_one_that_sleeps_is_not(
    lock: str, without: list[str], tmp_path: Path
) -> None:
    assert in_fresh_process(signs, str(tmp_path / "file"), lock, without) == [0, False]


def test_where_the_kernel_is_silent_a_process_is_blocked_that_has_slept_for_some_time(tmp_path: Path) -> None:
    assert in_fresh_process(signs, str(tmp_path / "file"), "fcntl", ["wchan", "list"]) == [0, False]


def busy(step: str) -> list[bool]:
    """Whether a process that spins or polls is blocked, and whether it polls."""
    with SteppedProcess(Steps("", "").perform) as process:
        wait = LockWait(process.pid, set)
        process.begin(step)
        looks = []
        for _ in range(10):
            time.sleep(0.02)
            looks.append(wait.is_blocked(0.05))
        return [any(looks), wait.polls(5)]


def test_a_process_that_spins_is_not_blocked_and_one_that_polls_is_seen_to() -> None:
    assert in_fresh_process(busy, "spin") == [False, False]
    assert in_fresh_process(busy, "poll")[1]


def slept_before() -> list[bool]:
    """Whether sleep counts that was seen before something happened that may have woken the process."""
    with SteppedProcess(Steps("", "").perform) as process:
        wait = LockWait(process.pid)
        process.begin("sleep")
        wait_until(lambda: wait.is_blocked(0.05), "it has slept for long enough")
        wait.restart()
        return [wait.is_blocked(0.05)]


def test_what_may_wake_it_starts_the_clock_again() -> None:
    assert in_fresh_process(slept_before) == [False]


def asked_before(path: str) -> list[bool]:
    """Whether another request for a file, which names no process, counts where it waited before the call."""
    inode = Path(path).stat().st_ino
    steps = Steps(path, "ofd").perform
    with SteppedProcess(steps) as holder, SteppedProcess(steps) as waiter, SteppedProcess(steps) as sleeper:
        holder.do("lock")
        waiter.begin("lock")
        wait_until(lambda: listed_requests(0, [inode]) == 1, "the other one waits")
        wait = LockWait(sleeper.pid, lambda: [inode])
        sleeper.begin("sleep")
        time.sleep(0.05)
        return [wait.is_blocked(FOREVER_S)]


def test_a_request_that_waited_before_the_call_is_not_the_calls(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert in_fresh_process(asked_before, str(path)) == [False]


@pytest.mark.parametrize(("looks", "is_blocked"), [([1, 2, 1], False), ([2, 1, 2], False), ([2, 2, 2], True)])
def test_a_line_that_the_list_has_twice_or_not_at_all_is_no_request(
    looks: list[int], is_blocked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process waits for the file throughout; the first look misses it."""
    line = ListedLock("OFDLCK", "WRITE", -1, "08:01", 7, 0, 7, waits=True)
    counts = iter([0, 1, 1, *looks])
    monkeypatch.setattr(actor, "listed_locks", lambda _: [line] * next(counts))
    monkeypatch.setattr(actor, "process_stat", lambda *_: ProcessStat("S", 1))
    monkeypatch.setattr(actor, "sleeps_in", lambda *_: "")
    monkeypatch.setattr(actor, "switches_of", lambda *_, **__: 0)
    assert LockWait(1, lambda: [7]).is_blocked(FOREVER_S) == is_blocked
