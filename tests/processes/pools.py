"""Pools of workers that end, hang or die, and what is left of them."""

from __future__ import annotations

import os
import signal
import time
from array import array
from collections.abc import Callable, Container, Iterable
from errno import EAGAIN

import pytest

from lab.processes import Exit, WorkerPool, cpus_for, crowd
from tests.helpers import is_running
from tests.processes.limits import others_run

LONG_S = 60.0


SHORT_S = 0.1
"""A time limit that a worker which hangs is to exceed."""


Run = Callable[[], None]


def nothing() -> None:
    pass


def hang() -> None:
    while True:
        time.sleep(60)


def hang_without_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang()


def stop_and_hang() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    hang()


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raises() -> None:
    raise ValueError("in the worker")


def close_everything() -> None:
    """As daemons do: the pipe is then at its end, though the worker goes on."""
    os.closerange(3, 100)
    hang()


def leave_its_group() -> None:
    os.setsid()


ENDING = ("nothing", "kill_oneself", "raises", "leave_its_group")
"""The functions that end by themselves."""


def pool_of(*runs: Run) -> WorkerPool:
    """Each worker runs its own function after the release."""
    return WorkerPool(len(runs), lambda index: runs[index], cpus_for("none"))


def finish(workers: WorkerPool, time_limit_s: float = LONG_S, late: Container[int] = ()) -> list[Exit]:
    """Release the workers and wait for them; the limit begins anew until all but those to be late have ended."""
    workers.gather(LONG_S)
    workers.release()
    return workers.wait(time_limit_s, goes_on=others_run(workers, late))


def told(exits: Iterable[Exit]) -> list[tuple[int, int | None, bool]]:
    return [(each.index, each.code, each.late) for each in exits]


def children() -> str:
    try:
        return f"pid {os.waitpid(-1, os.WNOHANG)[0]}"
    except ChildProcessError:
        return "none"


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208


def all_gone(pids: Iterable[int]) -> bool:
    """True where none of these runs, and this process has no child left."""
    return not any(map(is_running, pids)) and children() == "none"


def void(value: object) -> None:
    pass


LOOPS = ["python", *["compiled"] * (crowd.compiled is not None)]
"""The loops that fork a pool."""


def watch_forks(
    patch: pytest.MonkeyPatch,
    loop: str,
    pids: list[int],
    *,
    most: int | None = None,
    then: Callable[[], object] = lambda: None,
) -> None:
    """Fork by this loop from now on, and note the pids; after `most` a fork is refused. `then` follows each call."""
    fork, fork_many = os.fork, crowd.compiled

    def fork_one() -> int:
        if len(pids) == most:
            raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
        pid = fork()
        if pid:
            pids.append(pid)
            then()
        return pid

    def fork_several(made: array[int], group: int, stops: tuple[int, ...]) -> tuple[int, int, int]:
        assert fork_many
        count = len(made) if most is None else min(most - len(pids), len(made))
        some = array("i", bytes(4 * count))
        index, group, refused = fork_many(some, group, stops)
        if index < 0:
            made[:count] = some
            pids.extend(some)
            then()
        return index, group, refused if count == len(made) else EAGAIN

    patch.setattr(crowd, "compiled", fork_several if loop == "compiled" else None)
    patch.setattr(os, "fork", fork_one)
