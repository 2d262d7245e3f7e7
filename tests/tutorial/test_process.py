"""A process of the tour: what is seen of it while it works, waits, and dies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.memory.calls import PAGE, PROT_READ
from lab.processes.actor import LockWait
from lab.tutorial import process as module
from lab.tutorial.calls import Load, Mmap, Open, Pread
from lab.tutorial.process import Process, observation
from lab.tutorial.steps.processes import TRY, WAIT
from tests.helpers import PATIENCE_S, in_fresh_process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "foo"
    made.write_bytes(b"a")
    return made


def listed(path: str | Path) -> list[object]:
    """Which of a holder, an idler and a waiter is blocked on a lock."""
    with Process(Path(path)) as holder, Process(Path(path)) as idler, Process(Path(path)) as waiter:
        for each in (holder, idler, waiter):
            each.do(Open(os.O_RDWR))
        holder.do(TRY)
        seen = waiter.begins(WAIT)
        return [seen.observed, [LockWait(each.pid).is_blocked(PATIENCE_S) for each in (holder, idler, waiter)]]


def test_only_a_process_that_waits_for_a_lock_is_blocked(path: Path) -> None:
    assert in_fresh_process(listed, path) == ["waits", [False, False, True]]


def granted_at_once(path: str | Path) -> list[str]:
    vars(module)["SETTLED_S"] = PATIENCE_S
    with Process(Path(path)) as process:
        process.do(Open(os.O_RDWR))
        return [process.begins(WAIT).observed, process.goes_on().observed]


def test_a_lock_that_is_granted_at_once_is_not_said_to_wait(path: Path) -> None:
    assert in_fresh_process(granted_at_once, path) == ["works", "works"]


def dies(path: str | Path) -> list[str]:
    """Loads that kill: by proxy the process lives on, by itself it does not."""
    with Process(Path(path), "A") as process:
        process.do(Open(os.O_RDONLY))
        process.do(Mmap(2 * PAGE, PROT_READ))
        calls = [process.risks(Load(PAGE), ""), process.does(Pread(0), ""), process.does(Load(PAGE), "")]
        return [*(seen.observed for seen in calls), process.does(Pread(0), "").observed, calls[0].call]


def test_what_kills_a_child_leaves_the_process_and_what_kills_the_process_is_told(path: Path) -> None:
    assert in_fresh_process(dies, path) == ["SIGBUS", "'a'", "SIGBUS", "SIGBUS", "A: c = data[page]"]


def not_ready(path: str | Path) -> list[str]:
    """Calls on a file that is not open, and through a mapping that there is not."""
    with Process(Path(path)) as process:
        return [process.do(call) for call in (Pread(0), Mmap(PAGE, PROT_READ), Load(0))]


def test_what_is_missing_is_an_errno_or_said_to_be_missing(path: Path) -> None:
    assert in_fresh_process(not_ready, path) == ["EBADF", "EBADF", "not mapped"]


@pytest.mark.parametrize(("observed", "ok"), [("EAGAIN", True), ("EACCES", True), ("E", False), ("works", False)])
def test_either_of_two_is_as_expected_and_no_third(observed: str, ok: bool) -> None:
    assert observation("", "EAGAIN or EACCES", observed).ok is ok
