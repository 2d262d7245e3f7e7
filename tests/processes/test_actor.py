"""A stepped process: its results, a step that blocks, and its end."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

from lab.processes.actor import SteppedProcess
from lab.processes.rpc import Gone
from tests.helpers import PATIENCE_S, in_fresh_process, is_running


def locking(path: str) -> Callable[..., object]:
    """Steps on one file: lock, unlock, count the steps, die."""
    opened: list[int] = []

    def perform(step: str, *values: int) -> object:
        if not opened:
            opened.append(os.open(path, os.O_RDWR | os.O_CREAT))
        if step == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if step in ("lock", "unlock"):
            fcntl.lockf(opened[0], fcntl.LOCK_EX if step == "lock" else fcntl.LOCK_UN)
        return [step, *values]

    return perform


def stepped(path: str) -> list[object]:
    """Two processes take turns with a lock: what each step came to."""
    with SteppedProcess(locking(path)) as one, SteppedProcess(locking(path)) as two:
        results = [one.do("add", 1, 2), one.do("lock"), two.try_step("lock", limit_s=PATIENCE_S)]
        results += [two.result(0), one.do("unlock"), two.result(PATIENCE_S)]
        return [*results, two.try_step("unlock", limit_s=PATIENCE_S), two.try_step("lock", limit_s=PATIENCE_S)]


def test_a_step_has_a_result_or_blocks_and_goes_on_when_the_lock_is_free(tmp_path: Path) -> None:
    assert in_fresh_process(stepped, str(tmp_path / "file")) == [
        ["add", 1, 2], ["lock"], None, None, ["unlock"], ["lock"], ["unlock"], ["lock"],
    ]  # fmt: skip


def ended(path: str) -> list[object]:
    """What is told of one that dies in a step, of one that is stopped, and whether any is left."""
    with SteppedProcess(locking(path)) as one, SteppedProcess(locking(path)) as two:
        try:
            one.do("die")
        except Gone as gone:
            code = gone.code
        two.stop()
        two.begin("add")
        stopped = two.result(0.1)
        two.resume()
        results = [code, stopped, two.result(PATIENCE_S)]
    return [*results, is_running(one.pid), is_running(two.pid)]


def test_the_end_of_a_process_is_told_and_none_outlives_its_block(tmp_path: Path) -> None:
    expected = [-signal.SIGKILL, None, ["add"], False, False]
    assert in_fresh_process(ended, str(tmp_path / "file")) == expected
