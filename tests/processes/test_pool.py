"""A pool of workers: they begin together, and how each ended is known."""

from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.processes import WorkerPool, cpus_for, fork_child, pool
from tests.helpers import in_fresh_process, is_asleep, is_running, wait_until
from tests.processes import pools
from tests.processes.limits import others_run
from tests.processes.pools import (
    ENDING,
    LONG_S,
    SHORT_S,
    Run,
    all_gone,
    children,
    finish,
    hang,
    hang_without_sigterm,
    nothing,
    pool_of,
    told,
    void,
)


def race(names: Sequence[str], time_limit_s: float) -> list[object]:
    """What is told of the exits of workers that run these functions, and whether all are gone."""
    with pool_of(*(vars(pools)[name] for name in names)) as workers:
        pids = list(workers._running)
        late = [index for index, name in enumerate(names) if name not in ENDING]
        exits = told(finish(workers, time_limit_s, late))
    return [exits, all_gone(pids)]


def counts_of_runs(count: int) -> list[int]:
    memory = mmap.mmap(-1, count)

    def prepare(index: int) -> Run:
        def run() -> None:
            memory[index] += 1

        return run

    with WorkerPool(count, prepare, cpus_for("none")) as workers:
        finish(workers)
    return list(memory[:])


def barrier_states() -> list[object]:
    """Who had prepared and when they ran: when gathered and asleep, and at the end. Each prepares after the last."""
    count = 3
    pipes = [os.pipe() for _ in range(count + 1)]
    prepared, ran = mmap.mmap(-1, count), memoryview(mmap.mmap(-1, 8 * count)).cast("Q")
    os.write(pipes[0][1], b".")

    def prepare(index: int) -> Run:
        os.read(pipes[index][0], 1)
        prepared[index] = 1
        os.write(pipes[index + 1][1], b".")

        def run() -> None:
            ran[index] = time.monotonic_ns()

        return run

    with WorkerPool(count, prepare, cpus_for("none")) as workers:
        workers.gather(LONG_S)
        gathered = list(prepared[:])
        for pid in workers._running:
            wait_until(lambda pid=pid: is_asleep(pid), "the worker waits at the barrier")  # type: ignore[misc]
        before, begun = list(ran), time.monotonic_ns()
        released = workers.release()
        workers.wait(LONG_S)
    return [gathered, before, [begun <= released <= stamp for stamp in ran]]


def race_with_one_dead_before_the_barrier(code: int) -> dict[str, object]:
    """The last worker ends while it prepares, so that it is reaped before the others."""
    memory = mmap.mmap(-1, 3)

    def prepare(index: int) -> Run:
        if index == 2:
            os._exit(code)

        def run() -> None:
            memory[index] = 1

        return run

    with WorkerPool(3, prepare, cpus_for("none")) as workers:
        return {"exits": told(finish(workers)), "ran": list(memory[:])}


def race_with_one_that_never_gets_ready() -> list[tuple[int, int | None, bool]]:
    def prepare(index: int) -> Run:
        if index == 1:
            hang()
        return nothing

    with WorkerPool(2, prepare, cpus_for("none")) as workers:
        workers.gather(SHORT_S)
        workers.release()
        return told(workers.wait(SHORT_S, goes_on=others_run(workers, [1])))


def race_with_one_that_is_slow(looks: int) -> dict[str, object]:
    """It is let go on at the third look after a time limit; so many looks find it going on."""
    reader, writer = os.pipe()
    looked: list[int] = []

    def goes_on() -> bool:
        looked.append(len(looked) + 1)
        if len(looked) == 3:
            os.write(writer, b"x")
        return len(looked) <= looks

    with pool_of(lambda: void(os.read(reader, 1))) as workers:
        workers.gather(LONG_S)
        workers.release()
        exits = workers.wait(SHORT_S, goes_on=goes_on)
    return {"late": [each.late for each in exits], "looks": min(3, len(looked))}


def race_with_one_that_sigkill_does_not_end() -> dict[str, object]:
    with pytest.MonkeyPatch.context() as patch:
        kill = os.kill
        patch.setattr(os, "kill", lambda pid, number: None)  # as a worker in an uninterruptible wait takes it
        patch.setattr(pool, "TERM_GRACE_S", SHORT_S)
        patch.setattr(pool, "KILL_GRACE_S", SHORT_S)
        with pool_of(nothing, hang_without_sigterm) as workers:
            normal, stuck = finish(workers, SHORT_S, [1])
            os.kill = kill
    wchan = Path(f"/proc/{stuck.pid}/wchan").read_text().removeprefix("0")
    asleep = is_asleep(stuck.pid)
    os.kill(stuck.pid, signal.SIGKILL)
    os.waitpid(stuck.pid, 0)
    return {"exits": told([normal, stuck]), "normal": normal.pid, "asleep": asleep, "where": stuck.where == wchan}


def race_with_a_child_that_outlives_its_worker() -> list[object]:
    reader, writer = os.pipe()
    with pool_of(lambda: void(os.write(writer, str(fork_child(hang)).encode()))) as workers:
        pids = list(workers._running)
        found = [told(finish(workers)), all_gone(pids)]
    grandchild = int(os.read(reader, 100))
    wait_until(lambda: not is_running(grandchild), "the worker's child is gone")
    return found


def race_with_one_that_holds_the_pipe() -> dict[str, object]:
    """A worker ends and leaves a process that it forked, out of reach of its group."""

    def leave() -> None:
        if not os.fork():
            os.setsid()
            hang()

    with pool_of(leave, nothing) as workers:
        workers.gather(LONG_S)
        workers.release()
        begun = time.monotonic()
        exits = told(workers.wait(LONG_S))
    orphans = [(each.command, is_running(each.pid)) for each in workers.orphans]
    return {"exits": exits, "in time": time.monotonic() - begun < LONG_S, "orphans": orphans, "children": children()}


def processors(pin: str) -> dict[str, list[list[int]]]:
    """Where each of three workers may run, and where `cpus_for` says."""
    reader, writer = os.pipe()

    def prepare(index: int) -> Run:
        return lambda: void(os.write(writer, f"{index} {sorted(os.sched_getaffinity(0))}\n".encode()))

    with WorkerPool(3, prepare, cpus_for(pin)) as workers:
        finish(workers)
    lines = sorted(os.read(reader, 10_000).decode().splitlines())
    choose = cpus_for(pin)
    allowed = os.sched_getaffinity(0)
    return {
        "found": [[int(cpu) for cpu in line.partition(" ")[2].strip("[]").split(",")] for line in lines],
        "meant": [sorted(choose(index) or allowed) for index in range(3)],
    }


def figures() -> dict[str, Any]:
    """Of a worker that waited at the barrier, wrote to 1,000 new pages, and computed for a while."""

    def work() -> None:
        memory = mmap.mmap(-1, 1000 * mmap.PAGESIZE)
        for start in range(0, len(memory), mmap.PAGESIZE):
            memory[start] = 1
        while time.process_time() < 0.02:
            pass

    with pool_of(work) as workers:
        workers.gather(LONG_S)
        (pid,) = workers._running
        wait_until(lambda: is_asleep(pid), "the worker waits at the barrier")
        workers.release()
        (exit_,) = workers.wait(LONG_S)
    return {
        "cpu": exit_.user_s + exit_.system_s >= 0.02,
        "waited": exit_.voluntary_switches >= 1,
        "faults": exit_.minor_faults >= 1000,
        "peak": exit_.peak_rss_bytes >= 1000 * mmap.PAGESIZE,
    }


@pytest.mark.parametrize("count", [1, 2, 40])
def test_every_worker_runs_once(count: int) -> None:
    assert in_fresh_process(counts_of_runs, count) == [1] * count


def test_none_runs_before_the_release_which_is_stamped_and_all_have_prepared() -> None:
    assert in_fresh_process(barrier_states) == [[1, 1, 1], [0, 0, 0], [True, True, True]]


WELL, RAISED, KILLED, TERMINATED, KILLED_LATE = (0, False), (1, False), (-9, False), (-15, True), (-9, True)


ENDS = {
    ("nothing", "nothing"): (LONG_S, [WELL, WELL]),
    ("kill_oneself", "nothing"): (LONG_S, [KILLED, WELL]),
    ("nothing", "raises"): (LONG_S, [WELL, RAISED]),
    ("nothing", "leave_its_group"): (LONG_S, [WELL, WELL]),
    ("hang", "nothing"): (SHORT_S, [TERMINATED, WELL]),
    ("hang", "hang_without_sigterm"): (SHORT_S, [TERMINATED, KILLED_LATE]),
    ("hang", "stop_and_hang"): (SHORT_S, [TERMINATED, KILLED_LATE]),
    ("close_everything",): (SHORT_S, [TERMINATED]),
}


@pytest.mark.parametrize("names", ENDS, ids=" and ".join)
def test_how_each_worker_ended_is_told_and_none_is_left(names: tuple[str, ...]) -> None:
    time_limit_s, ends = ENDS[names]
    exits = [[index, *end] for index, end in enumerate(ends)]
    assert in_fresh_process(race, names, time_limit_s) == [exits, True]


@pytest.mark.parametrize(("looks", "late"), [(1, True), (999, False)])
def test_a_worker_that_goes_on_is_given_its_time_once_more(looks: int, late: bool) -> None:
    assert in_fresh_process(race_with_one_that_is_slow, looks) == {"late": [late], "looks": min(3, looks + 1)}


def test_a_worker_that_sigkill_does_not_end_is_told_without_a_code_and_with_the_place_where_it_hangs() -> None:
    found = in_fresh_process(race_with_one_that_sigkill_does_not_end)
    assert found == {"exits": [[0, 0, False], [1, None, True]], "normal": 0, "asleep": True, "where": True}


def test_exits_are_in_order_and_the_others_run_although_the_last_ended_before_the_barrier() -> None:
    found = in_fresh_process(race_with_one_dead_before_the_barrier, 7)
    assert found == {"exits": [[0, 0, False], [1, 0, False], [2, 7, False]], "ran": [1, 1, 0]}


def test_a_worker_that_never_gets_ready_is_late() -> None:
    assert in_fresh_process(race_with_one_that_never_gets_ready) == [[0, 0, False], [1, -signal.SIGTERM, True]]


def test_a_workers_child_ends_with_it_and_keeps_nobody_waiting() -> None:
    assert in_fresh_process(race_with_a_child_that_outlives_its_worker) == [[[0, 0, False]], True]


@pytest.mark.parametrize(
    ("pin", "cpus"),
    [("none", [None, None, None, None]), ("spread", [{1}, {4}, {7}, {1}]), ("one", [{1}, {1}, {1}, {1}])],
)
def test_pinning_chooses_among_the_processors_that_are_allowed(
    pin: str, cpus: list[set[int] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: [7, 1, 4])
    choose = cpus_for(pin)
    assert [choose(index) for index in range(4)] == cpus


@pytest.mark.parametrize("pin", ["none", "spread", "one"])
def test_workers_are_bound_to_the_processors_chosen(pin: str) -> None:
    found = in_fresh_process(processors, pin)
    assert found["found"] == found["meant"]


def test_the_figures_of_an_exit_are_those_of_its_worker() -> None:
    assert in_fresh_process(figures) == {"cpu": True, "waited": True, "faults": True, "peak": True}


def test_a_process_that_a_worker_leaves_behind_keeps_nobody_waiting() -> None:
    assert in_fresh_process(race_with_one_that_holds_the_pipe) == {
        "exits": [[0, 0, False], [1, 0, False]],
        "in time": True,
        "orphans": [["a fork of a worker", False]],
        "children": "none",
    }
