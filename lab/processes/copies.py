"""Run several programs beside each other as the user's own: started together, with this process's streams.

They are ended together too, each stopped before any of them ends.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from errno import ENOENT
from functools import partial
from typing import Protocol

from lab.errors import CannotRunError
from lab.records.watch import Outcome

from .child import fork_child, stops_held
from .external import restore_signals

STOPS_S, GRACE_S = 0.5, 2.0
"""The times, in seconds, that the copies have to stop, and that a program has to end after SIGTERM."""

LOOK_AGAIN_S = 0.005

COPY = "LAB_COPY"
"""The variable that tells a copy its process and its number, with a colon between; its children inherit it."""


class Watcher(Protocol):
    """Watches the copies from outside."""

    def allow(self) -> None:
        """Allow it to be watched, in a copy."""

    def enter(self) -> None:
        """Do, in a copy, what is needed directly before it is executed. Raises OSError."""

    def begin(self, pids: Sequence[int]) -> None:
        """Begin to watch the copies, before any is executed. Raises CannotRunError where that is refused."""

    def look(self) -> None:
        """Look at what has come; this is called again and again."""


def run_copies(
    commands: Sequence[Sequence[str]], variables: dict[str, str], limit_s: float, watcher: Watcher | None = None
) -> tuple[list[Outcome], bool]:
    """Start the commands together, with these variables added to the environment, and wait for their ends.

    Return how each ended, and whether the user interrupted them. Those that run on after `limit_s` seconds hang, and
    are ended; one that does not end on SIGKILL is left behind. Their streams are those of this process. A watcher
    watches them from before their execution. Raises OSError where fork(2) is refused, CannotRunError where they cannot
    be traced, or one cannot be executed.
    """
    gate, ready, refused = os.pipe(), os.pipe(), os.pipe()
    pids: list[int] = []
    ended: dict[int, Outcome] = {}
    interrupted = False
    try:
        for number, command in enumerate(commands):
            pids.append(fork_child(partial(_become, number, command, variables, gate, ready, refused[1], watcher)))
        os.close(ready[1])
        os.close(refused[1])
        if watcher:
            os.read(ready[0], 1)  # its end: all have allowed it
            watcher.begin(pids)
        os.close(ready[0])
        os.close(gate[0])
        os.close(gate[1])  # they all begin now
        try:
            _until(lambda: _look(watcher) or _reap(pids, ended), limit_s)
        except KeyboardInterrupt:
            interrupted = True
    finally:
        _end(pids, ended)
        os.set_blocking(refused[0], False)  # one that is left behind may have the other end
        reason = b""
        with suppress(BlockingIOError):
            reason = os.read(refused[0], 4096)
        os.close(refused[0])
    if reason:
        raise CannotRunError(os.fsdecode(reason.splitlines()[0]))
    outcomes = [
        ended.get(pid) or Outcome(number, exit_code=0, signal=0, hung=True, left_behind=pid)
        for number, pid in enumerate(pids)
    ]
    return [replace(each, hung=each.hung and not interrupted) for each in outcomes], interrupted


def _become(
    number: int,
    command: Sequence[str],
    variables: dict[str, str],
    gate: tuple[int, int],
    ready: tuple[int, int],
    refused: int,
    watcher: Watcher | None,
) -> None:
    """Wait until all are there, then be the program; where it cannot be executed, write why."""
    if watcher:
        watcher.allow()
    for descriptor in (*ready, gate[1]):
        os.close(descriptor)
    os.read(gate[0], 1)
    os.close(gate[0])
    restore_signals()
    try:
        if watcher:
            watcher.enter()
        everything = {**os.environ, **variables, COPY: f"{os.getpid()}:{number}"}
        os.execvpe(command[0], list(command), everything)  # noqa: S606 - no shell between is the point
    except OSError as error:
        cure = "give the path of a program" if error.errno == ENOENT else "is it executable, and for this machine?"
        os.write(refused, os.fsencode(f"{command[0]}: cannot be run ({error.strerror}); {cure}\n"))
        raise SystemExit(1) from error


def _look(watcher: Watcher | None) -> bool:
    if watcher:
        watcher.look()
    return False


def _reap(pids: Sequence[int], ended: dict[int, Outcome], *, hung: bool = False) -> bool:
    """Reap the copies that have ended; return whether all have."""
    for number, pid in enumerate(pids):
        if pid not in ended:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                ended[pid] = Outcome(number, exit_code=max(code, 0), signal=max(-code, 0), hung=hung)
    return len(ended) == len(pids)


def _end(pids: Sequence[int], ended: dict[int, Outcome]) -> None:
    """End the copies that still run: SIGTERM, then SIGKILL.

    They are stopped first, and continued with the signal: else the first that ended would hand its lock to the next.
    """
    with stops_held():
        _signal(pids, ended, signal.SIGSTOP)
        _until(lambda: all(pid in ended or _has_stopped(pid) for pid in pids), STOPS_S)
        _signal(pids, ended, signal.SIGTERM, signal.SIGCONT)
        _until(lambda: _reap(pids, ended, hung=True), GRACE_S)
        _signal(pids, ended, signal.SIGKILL)
        _until(lambda: _reap(pids, ended, hung=True), GRACE_S)


def _signal(pids: Sequence[int], ended: dict[int, Outcome], *numbers: int) -> None:
    for number in numbers:
        for pid in pids:
            if pid not in ended:
                os.kill(pid, number)


def _has_stopped(pid: int) -> bool:
    """Tell whether a child has stopped or ended; it stays to be reaped."""
    return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _until(is_over: Callable[[], bool], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not is_over() and time.monotonic() < until:
        time.sleep(LOOK_AGAIN_S)
