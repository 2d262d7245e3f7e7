"""The workers of a pool, forked in one go or by Python: the same children, the same parent afterwards."""

from __future__ import annotations

import ctypes
import json
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.processes import crowd
from lab.processes.child import STOPS, prctl, stops_held
from tests.helpers import in_fresh_process
from tests.processes.pools import LOOPS, watch_forks

PR_GET_PDEATHSIG = 2


def state() -> list[object]:
    """What a child inherits or is given: its group, its parent's death signal, its signal mask and its handlers."""
    number = ctypes.c_int()
    prctl(PR_GET_PDEATHSIG, ctypes.byref(number))
    blocked = sorted(int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    handlers = [signal.getsignal(stop) == signal.SIG_DFL for stop in STOPS]
    return [os.getpgid(0), number.value, blocked, handlers, caught()]


def caught() -> bool:
    """Whether the kernel knows of a handler for one of the stops (proc(5), SigCgt)."""
    with Path("/proc/self/status").open() as lines:
        mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return any(mask >> (stop - 1) & 1 for stop in STOPS)


def forked(loop: str, count: int) -> dict[str, Any]:
    """What the children of this loop say, how they ended, and whether the parent is as it was before."""
    reader, writer = os.pipe()
    handlers = {stop: (lambda number, frame: None) for stop in STOPS[1:]}
    for stop, handler in handlers.items():
        signal.signal(stop, handler)

    def body(index: int) -> None:
        os.write(writer, json.dumps([index, *state()]).encode() + b"\n")
        if index == 1:
            raise SystemExit(7)
        if index == 2:
            raise ValueError("in the worker")

    noted: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        watch_forks(patch, loop, noted)
        with stops_held():
            pids, group, refused = crowd.fork_some(body, 10, 1, 0)
            more, same, _ = crowd.fork_some(lambda index: body(index - 11), 11, count - 1, group)
    os.close(writer)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in [*pids, *more]]
    with os.fdopen(reader) as lines:
        said = sorted(json.loads(line) for line in lines)
    kept = all(signal.getsignal(stop) is handler for stop, handler in handlers.items())
    return {
        "said": [[index, theirs == group, *rest] for index, theirs, *rest in said],
        "codes": codes,
        "group": [group == pids[0], same == group],
        "noted": noted == [*pids, *more],
        "parent": [kept, os.getpgid(0) != group, refused, signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()],
    }


@pytest.mark.parametrize("loop", LOOPS)
def test_each_loop_forks_the_same_children_and_leaves_the_parent_as_it_was(loop: str) -> None:
    child = [True, int(signal.SIGKILL), [], [True] * 3, False]
    assert in_fresh_process(forked, loop, 5) == {
        "said": [[index, *child] for index in (0, 1, 2, 3, 10)],
        "codes": [0, 0, 7, 1, 0],
        "group": [True, True],
        "noted": True,
        "parent": [True, True, 0, True],
    }


PID_MAX, MEMORY = "/proc/sys/kernel/pid_max", "/proc/meminfo"


@pytest.mark.parametrize(
    ("count", "most", "free_kib", "told"),
    [
        (999, 100, 1, ""),
        (1_000, 32_768, 1 << 24, ""),
        (1_000, 0, 0, ""),
        (9_000, 9_000, 1 << 24, "9,000 workers: the system numbers at most 9,000 processes; lower --workers or raise"),
        (9_000, 32_768, 1 << 20, "9,000 workers need about 11.0 GiB, and 1.0 GiB are free; lower --workers to 819, or"),
    ],
)
def test_workers_for_which_there_is_no_room_are_refused_beforehand(
    count: int, most: int, free_kib: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "_number", lambda path, name="": {PID_MAX: most, MEMORY: free_kib}[path])
    with pytest.raises(CannotRunError, match=f"^{told}") if told else nullcontext():
        crowd.check_room(count)


def test_the_room_is_read_from_the_system() -> None:
    assert crowd._number(PID_MAX) > 300
    assert crowd._number(MEMORY, "MemAvailable:") > 1000
    assert (crowd._number("/proc/missing"), crowd._number(MEMORY, "NoSuchLine:")) == (0, 0)
