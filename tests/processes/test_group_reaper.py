from __future__ import annotations

import os
import time
from pathlib import Path

from lab.processes import GroupReaper, WorkerPool, cpus_for, fork_child
from tests.helpers import OtherProcess, in_fresh_process, is_running, wait_until
from tests.processes.limits import others_run


def end_of_a_group() -> list[bool]:
    """Whether a process of the group lived within the block, and lives after it; nobody is left to be reaped."""
    with GroupReaper() as reaper:
        pid = fork_child(lambda: time.sleep(600), group=reaper.group)
        before = is_running(pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return [before, code == -9, True]
    return [before, code == -9, False]


def test_the_group_is_killed_with_the_block() -> None:
    assert in_fresh_process(end_of_a_group) == [True, True, True]


def waits_do_not_see_it() -> bool:
    """Whether a process with a reaper and no other child is told that it has none."""
    with GroupReaper():
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return True
    return False


def test_a_reaper_is_no_child_that_others_wait_for() -> None:
    assert in_fresh_process(waits_do_not_see_it)


def with_a_grandchild(note: str) -> None:
    """A worker starts a process and both sleep; only the worker hears of this process's end by itself."""

    def run() -> None:
        pid = os.fork()
        if not pid:
            time.sleep(600)
        Path(f"{note}.part").write_text(str(pid))
        Path(f"{note}.part").rename(note)
        time.sleep(600)

    with GroupReaper(), WorkerPool(1, lambda index: run, cpus_for("none")) as pool:
        pool.gather(60)
        pool.release()
        time.sleep(600)


def test_the_group_is_killed_where_the_lab_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "note"
    with OtherProcess() as lab:
        lab.start(with_a_grandchild, str(note))
        wait_until(note.exists, "the grandchild is there")
        grandchild = int(note.read_text())
        assert is_running(grandchild)
        lab.kill()
    wait_until(lambda: not is_running(grandchild), "the grandchild is gone")


def exits_of_a_kept_pool() -> list[list[int | bool | None]]:
    """How three workers end: one by itself, one late, and one late that has left the group."""

    def prepared(index: int):  # type: ignore[no-untyped-def]
        if index == 2:
            os.setsid()
        return lambda: time.sleep(600 if index else 0)

    with GroupReaper(), WorkerPool(3, prepared, cpus_for("none")) as pool:
        pool.gather(30)
        pool.release()
        exits = pool.wait(0.2, meanwhile=lambda: time.sleep(0.001), goes_on=others_run(pool, [1, 2]))
    return [[ended.code, ended.late] for ended in exits]


def test_a_pool_in_the_group_ends_late_workers_also_those_that_have_left_it() -> None:
    assert in_fresh_process(exits_of_a_kept_pool) == [[0, False], [-15, True], [-15, True]]


def gathered_without_those_apart() -> bool:
    """Whether a pool stands ready although worker 1 never comes to the barrier."""

    def prepared(index: int):  # type: ignore[no-untyped-def]
        if index == 1:
            time.sleep(600)
        return lambda: None

    begun = time.monotonic()
    with WorkerPool(2, prepared, cpus_for("none")) as pool:
        pool.gather(60, apart=[1])
        return time.monotonic() - begun < 60


def test_those_apart_are_not_waited_for_at_the_barrier() -> None:
    assert in_fresh_process(gathered_without_those_apart)
