"""Fork the workers of a pool, many in one go where that is compiled (`_crowd.c`).

Each fork makes the parent copy every page that it writes to afterwards, and each child keeps the old copy; so the fewer
pages are written to between two forks, the less time and memory a worker takes. Python's loop does the same.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from errno import EAGAIN, ENOMEM
from pathlib import Path
from typing import TYPE_CHECKING

from lab.compiled import load_compiled
from lab.errors import CannotRunError

from .child import SIG_DFL, STOPS, end_after, fork_held, quick

if TYPE_CHECKING:
    ForkMany = Callable[[array[int], int, tuple[int, ...]], tuple[int, int, int]]


_built = load_compiled("lab.processes._crowd", "fork_many")
compiled: ForkMany | None = _built.fork_many if _built else None
"""The compiled loop, where there is one."""

AT_ONCE = 256
"""So many are forked in one go: a stop is held back meanwhile."""

WORKER_BYTES = 5 << 18
"""The memory that a worker takes for itself, measured: copied pages, its page tables, and the kernel's part."""

MANY = 1_000
"""From so many workers on it is looked first whether the memory is enough: the kernel would kill any process later."""


def fork_some(body: Callable[[int], None], first: int, count: int, group: int) -> tuple[list[int], int, int]:
    """Fork so many children, which run `body(index)`, from the index `first` on; the caller holds the stops.

    Return their pids, their process group, and the error for which the next one was refused, else 0. They have the
    guarantees of `fork_child`; in group 0 the first becomes the leader of a new one.
    """
    if compiled:
        return _fork_compiled(compiled, body, first, count, group)
    pids: list[int] = []
    try:
        for index in range(first, first + count):
            pids.append(fork_held(lambda index=index: body(index), group=group))  # type: ignore[misc]
            group = group or pids[0]
    except OSError as error:
        return pids, group, error.errno or EAGAIN
    return pids, group, 0


def _fork_compiled(
    fork_many: ForkMany, body: Callable[[int], None], first: int, count: int, group: int
) -> tuple[list[int], int, int]:
    """Do it in one call. The children find the stops at their default: they are set before, while they are held."""
    pids, parent = array("i", bytes(4 * count)), os.getpid()
    before = [(stop, quick.signal(stop, SIG_DFL)) for stop in STOPS]
    try:
        index, group, refused = fork_many(pids, group, STOPS)
        if index >= 0:
            end_after(lambda: body(first + index))
    finally:
        if os.getpid() != parent:  # for want of memory: nothing may rise into the caller's frames
            os._exit(1)
        for stop, handler in before:
            if handler is not None:
                quick.signal(stop, handler)
    return [pid for pid in pids if pid], group, refused


def refusal(number: int, index: int, count: int) -> CannotRunError:
    """Return the error for a refused fork, by the number of the system's error: what is short, and what to do."""
    remedy = {
        EAGAIN: "lower --workers or raise the limit (ulimit -u, kernel.pid_max, or the container's limit of pids)",
        ENOMEM: "lower --workers or free memory (ulimit -v, or the container's limit of memory)",
    }
    what = remedy.get(number, "lower --workers")
    return CannotRunError(f"fork refused for worker {index} of {count} ({os.strerror(number)}); {what}")


def check_room(count: int) -> None:
    """Raise CannotRunError where so many workers cannot have room: there are too few numbers of processes, or too
    little memory.
    """
    if count < MANY:
        return
    most = _number("/proc/sys/kernel/pid_max")
    if most and count >= most:
        raise CannotRunError(
            f"{count:,} workers: the system numbers at most {most:,} processes; lower --workers or raise kernel.pid_max"
        )
    free = _number("/proc/meminfo", "MemAvailable:") * 1024
    needed = count * WORKER_BYTES
    if free and needed > free:
        raise CannotRunError(
            f"{count:,} workers need about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; "
            f"lower --workers to {free // WORKER_BYTES:,}, or free memory"
        )


def _number(path: str, name: str = "") -> int:
    """Return the number in the line of this file that begins with the name; 0 where it is not there."""
    try:
        lines = Path(path).read_text().splitlines()
        return next((int(line.removeprefix(name).split()[0]) for line in lines if line.startswith(name)), 0)
    except (OSError, ValueError, IndexError):
        return 0
