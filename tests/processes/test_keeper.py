from __future__ import annotations

import os
import time
from pathlib import Path

from lab.processes import Crew, Keeper, cpus_for, fork_child
from tests.helpers import OtherProcess, in_fresh_process, is_running, wait_until


def end_of_a_group() -> list[bool]:
    """Whether a process of the group lived within the block, and lives after it; nobody is left to be reaped."""
    with Keeper() as keeper:
        pid = fork_child(lambda: time.sleep(600), group=keeper.group)
        before = is_running(pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return [before, code == -9, True]
    return [before, code == -9, False]


def test_the_group_is_killed_with_the_block() -> None:
    assert in_fresh_process(end_of_a_group) == [True, True, True]


def with_a_grandchild(note: str) -> None:
    """A child in the group forks another and both sleep; only the child hears of this process's end by itself."""

    def body() -> None:
        keeper.let_go()
        pid = os.fork()
        if not pid:
            time.sleep(600)
        Path(f"{note}.part").write_text(str(pid))
        Path(f"{note}.part").rename(note)
        time.sleep(600)

    with Keeper() as keeper:
        fork_child(body, group=keeper.group)
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


def exits_of_a_kept_crew() -> list[list[int | bool | None]]:
    """How three workers end: one by itself, one late, and one late that has left the group."""

    def prepare(index: int) -> None:
        if index == 2:
            os.setsid()

    def run(index: int) -> None:
        if index:
            time.sleep(600)

    def prepared(index: int):  # type: ignore[no-untyped-def]
        keeper.let_go()
        prepare(index)
        return lambda: run(index)

    with Keeper() as keeper, Crew(3, prepared, cpus_for("none"), group=keeper.group) as crew:
        crew.gather(30)
        crew.release()
        exits = crew.wait(0.2, meanwhile=lambda: time.sleep(0.001))
    return [[ended.code, ended.late] for ended in exits]


def test_a_crew_in_the_group_ends_late_workers_also_those_that_have_left_it() -> None:
    assert in_fresh_process(exits_of_a_kept_crew) == [[0, False], [-15, True], [-15, True]]


def gathered_without_those_apart() -> bool:
    """Whether a crew stands ready although worker 1 never comes to the barrier."""

    def prepared(index: int):  # type: ignore[no-untyped-def]
        if index == 1:
            time.sleep(600)
        return lambda: None

    begun = time.monotonic()
    with Crew(2, prepared, cpus_for("none")) as crew:
        crew.gather(60, apart=[1])
        return time.monotonic() - begun < 60


def test_those_apart_are_not_waited_for_at_the_barrier() -> None:
    assert in_fresh_process(gathered_without_those_apart)
