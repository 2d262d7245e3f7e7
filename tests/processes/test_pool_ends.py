"""A pool that is interrupted, refused a fork or killed leaves no worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from lab.errors import CannotRunError
from lab.processes import Terminated, WorkerPool, fork_child, pool, stop_on_sigterm
from tests.helpers import OtherProcess, in_fresh_process, is_asleep, is_running, wait_until
from tests.processes.pools import (
    LONG_S,
    LOOPS,
    Run,
    all_gone,
    descriptors,
    hang,
    hang_without_sigterm,
    nothing,
    pool_of,
    watch_forks,
)


def refused_part_way(loop: str, forks: int) -> dict[str, object]:
    """What is said where fork(2) answers EAGAIN after so many, and what is left."""
    pids, before = list[int](), descriptors()
    found: dict[str, object] = {"said": "entered"}
    with pytest.MonkeyPatch.context() as patch:
        watch_forks(patch, loop, pids, most=forks)
        found["ends"] = watch_ends(patch)
        try:
            with pool_of(hang, hang, hang_without_sigterm, hang):
                pass
        except CannotRunError as error:
            found["said"] = str(error)
    return {**found, "forked": len(pids), "gone": all_gone(pids), "descriptors": descriptors() == before}


def watch_ends(patch: pytest.MonkeyPatch, *, interrupt: bool = False) -> list[bool]:
    """What every wait for the end of all workers finds from now on: True where they ended, False on giving up."""
    found: list[bool] = []
    ended = WorkerPool._ended

    def watched(self: WorkerPool, timeout_s: float, *, late: bool = False) -> bool:
        if interrupt:
            signal.raise_signal(signal.SIGINT)
        found.append(ended(self, timeout_s, late=late))
        return found[-1]

    patch.setattr(WorkerPool, "_ended", watched)
    return found


FORKING = {"forking": signal.SIGINT, "forking, sigterm": signal.SIGTERM}


def interrupted(loop: str, when: str) -> dict[str, object]:
    """Ctrl-C at one moment of a race with workers that hang; SIGTERM where the name says so.

    They are forked two at a time. One that comes meanwhile comes just after the second fork, before the parent knows
    the pid.
    """
    before = descriptors()
    found: dict[str, object] = {}
    pids: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        found["ends"] = watch_ends(patch, interrupt=when == "ending")
        patch.setattr(pool, "AT_ONCE", 2)
        watch_forks(patch, loop, pids, then=lambda: signal_after_the_second(FORKING.get(when), pids))
        try:
            with stop_on_sigterm(), pool_of(ask_to_stop(when), hang, hang_without_sigterm) as workers:
                workers.gather(LONG_S)
                if when in ("block", "ending"):
                    raise KeyboardInterrupt
                if when == "releasing":
                    interrupt_the_next_close()
                workers.release()
                workers.wait(LONG_S)
        except (KeyboardInterrupt, Terminated) as error:
            found["raised"] = type(error).__name__
    return {**found, "forked": len(pids), "gone": all_gone(pids), "descriptors": descriptors() == before}


def signal_after_the_second(number: signal.Signals | None, pids: list[int]) -> None:
    if number and len(pids) == 2:
        signal.raise_signal(number)


def interrupt_the_next_close() -> None:
    """Ctrl-C reaches the parent when it has just closed a descriptor, before it does anything else."""
    close = os.close

    def close_into_sigint(fd: int) -> None:
        os.close = close
        close(fd)
        signal.raise_signal(signal.SIGINT)

    os.close = close_into_sigint


def ask_to_stop(when: str) -> Run:
    """A worker that signals its parent once that waits, and hangs."""

    def run() -> None:
        if when in ("waiting", "sigterm"):
            wait_until(lambda: is_asleep(os.getppid()), "the parent waits")
            os.kill(os.getppid(), signal.SIGTERM if when == "sigterm" else signal.SIGINT)
        hang()

    return run


_kept: list[WorkerPool] = []


def pids_at_work() -> list[int]:
    """A pool whose workers hang, left running: two are at work, and one of them has a child."""
    reader, writer = os.pipe()

    def with_child() -> None:
        os.write(writer, str(fork_child(hang_without_sigterm)).encode())
        hang()

    workers = pool_of(hang_without_sigterm, with_child).__enter__()
    _kept.append(workers)
    workers.gather(LONG_S)
    workers.release()
    return [*workers._running, int(os.read(reader, 100))]


def pids_at_the_barrier() -> list[int]:
    workers = pool_of(nothing, nothing).__enter__()
    _kept.append(workers)
    workers.gather(LONG_S)
    return list(workers._running)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("forks", [0, 1, 3])
def test_a_fork_refused_part_way_leaves_none_of_those_forked(loop: str, forks: int) -> None:
    assert in_fresh_process(refused_part_way, loop, forks) == {
        "said": f"fork refused for worker {forks} of 4 (Resource temporarily unavailable); "
        "lower --workers or raise the limit (ulimit -u, kernel.pid_max, or the container's limit of pids)",
        "forked": forks,
        "gone": True,
        "descriptors": True,
        "ends": [True] * bool(forks),
    }


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("when", "raised", "forked"),
    [
        ("forking", "KeyboardInterrupt", 2),
        ("forking, sigterm", "Terminated", 2),
        ("block", "KeyboardInterrupt", 3),
        ("ending", "KeyboardInterrupt", 3),
        ("releasing", "KeyboardInterrupt", 3),
        ("waiting", "KeyboardInterrupt", 3),
        ("sigterm", "Terminated", 3),
    ],
)
def test_an_interrupt_leaves_no_worker_and_has_no_further_one_forked(
    loop: str, when: str, raised: str, forked: int
) -> None:
    expected = {"raised": raised, "forked": forked, "gone": True, "descriptors": True, "ends": [True]}
    assert in_fresh_process(interrupted, loop, when) == expected


@pytest.mark.parametrize("pool_with", [pids_at_work, pids_at_the_barrier])
def test_sigkill_of_the_parent_leaves_no_worker(pool_with: Callable[[], list[int]]) -> None:
    with OtherProcess() as other:
        pids = other.call(pool_with)
        assert all(is_running(pid) for pid in pids)
        other.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids), "all workers are gone")
