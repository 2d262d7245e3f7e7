from __future__ import annotations

import mmap
import os
import signal
import time
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.processes import Exit, Terminated, WorkerPool, cpus_for, fork_child, pool, stop_on_sigterm
from tests.helpers import OtherProcess, in_fresh_process, is_asleep, is_running, wait_until
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


def race(names: Sequence[str], time_limit_s: float) -> list[object]:
    """What is told of the exits of workers that run these functions, and whether all are gone."""
    with pool_of(*(globals()[name] for name in names)) as workers:
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


def void(value: object) -> None:
    pass


def refused_part_way(forks: int) -> dict[str, object]:
    """What is said where fork(2) answers EAGAIN after so many, and what is left."""
    fork, pids, before = os.fork, list[int](), descriptors()
    found: dict[str, object] = {"said": "entered"}

    def limited() -> int:
        if len(pids) == forks:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        pids.append(fork())
        return pids[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fork", limited)
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


def interrupted(when: str) -> dict[str, object]:
    """Ctrl-C at one moment of a race with workers that hang; SIGTERM where the name says so."""
    before = descriptors()
    found: dict[str, object] = {}
    pids: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        found["ends"] = watch_ends(patch, interrupt=when == "ending")
        signal_after_the_second_fork(patch, FORKING.get(when), pids)
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


def signal_after_the_second_fork(patch: pytest.MonkeyPatch, number: signal.Signals | None, pids: list[int]) -> None:
    """A signal, if any, reaches the parent when it has just forked its second worker, before it knows the pid."""
    fork = os.fork

    def fork_into_signal() -> int:
        pid = fork()
        if pid:
            pids.append(pid)
            if number and len(pids) == 2:
                signal.raise_signal(number)
        return pid

    patch.setattr(os, "fork", fork_into_signal)


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


@pytest.mark.parametrize("forks", [0, 1, 3])
def test_a_fork_refused_part_way_leaves_none_of_those_forked(forks: int) -> None:
    assert in_fresh_process(refused_part_way, forks) == {
        "said": f"fork refused for worker {forks} of 4 (Resource temporarily unavailable); "
        "lower --workers or raise the limit (ulimit -u, or the container's limit of pids)",
        "forked": forks,
        "gone": True,
        "descriptors": True,
        "ends": [True] * bool(forks),
    }


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
def test_an_interrupt_leaves_no_worker_and_has_no_further_one_forked(when: str, raised: str, forked: int) -> None:
    expected = {"raised": raised, "forked": forked, "gone": True, "descriptors": True, "ends": [True]}
    assert in_fresh_process(interrupted, when) == expected


@pytest.mark.parametrize("pool_with", [pids_at_work, pids_at_the_barrier])
def test_sigkill_of_the_parent_leaves_no_worker(pool_with: Callable[[], list[int]]) -> None:
    with OtherProcess() as other:
        pids = other.call(pool_with)
        assert all(is_running(pid) for pid in pids)
        other.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids), "all workers are gone")


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
