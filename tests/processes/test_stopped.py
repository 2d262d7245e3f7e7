"""A child that a signal has stopped (SIGSTOP) is named within a limit, and keeps nobody waiting."""

from __future__ import annotations

import os
import signal
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab.cli.main import main
from lab.host.procfs import process_stat
from lab.measuring import baselines
from lab.measuring.repeat import Failed
from lab.processes import WorkerPool, cpus_for, rpc
from lab.processes.rpc import ChildRpc, Unanswered
from tests.cli.commands import scenario_file
from tests.helpers import in_fresh_process, run_lab, wait_until
from tests.processes.limits import others_run

LONG_S = 60.0
SHORT_S = 0.2
"""A limit that a stopped child is to exceed."""

STOPPED = "a signal has stopped it (SIGSTOP)"


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def of_a_partner() -> list[object]:
    """What is raised for a child that is stopped, and whether it is there after its block."""
    with ChildRpc(lambda question: stop() or question) as other:  # type: ignore[func-returns-value]
        try:
            other.ask(b"?", SHORT_S)
        except Unanswered as error:
            said = str(error)
    return [said.replace(str(other.pid), "N"), Unanswered.exit_code, Path(f"/proc/{other.pid}").exists()]


def test_a_child_that_is_stopped_is_named_and_ended() -> None:
    said = f"process N did not answer within {SHORT_S} s: {STOPPED}; try again"
    assert in_fresh_process(of_a_partner) == [said, 4, False]


def of_a_pool() -> list[object]:
    """How two workers end of which one is stopped: code, late, stopped."""
    with WorkerPool(2, lambda index: stop if index else lambda: None, cpus_for("none")) as workers:
        workers.gather(60)
        workers.release()
        return [
            [each.code, each.late, each.stopped] for each in workers.wait(SHORT_S, goes_on=others_run(workers, [1]))
        ]


def test_a_worker_that_is_stopped_is_known_as_that() -> None:
    assert in_fresh_process(of_a_pool) == [[0, False, False], [-signal.SIGKILL, True, True]]


def stand_still(how: str) -> None:
    while how == "busy":
        pass
    signal.pause()


def kept_from_work(how: str, during_s: float) -> bool:
    """Whether the machine keeps a worker from its work, which has been there for a moment only."""
    with WorkerPool(1, lambda _: partial(stand_still, how), cpus_for("none")) as pool:
        pool.gather(LONG_S)
        pool.release()
        (pid,) = pool.pids
        states = {"busy": "R", "asleep": "S"}
        wait_until(lambda: (process_stat(pid) or "?")[0] == states[how], "it stands still")
        return pool.stalled(during_s)


@pytest.mark.parametrize(
    ("how", "during_s", "stalled"), [("asleep", LONG_S, False), ("busy", LONG_S, True), ("busy", 0.0, False)]
)
def test_a_worker_that_could_run_and_had_hardly_any_time_is_told_from_others(
    how: str, during_s: float, stalled: bool
) -> None:
    assert in_fresh_process(kept_from_work, how, during_s) is stalled


def of_the_harness(name: str) -> str:
    """What a loop of the harness raises whose process is stopped."""
    baselines.TIME_LIMIT_S = baselines.TIME_LIMIT_S = rpc.PATIENCE_S = 1.0
    try:
        if name == "wake-up":
            side = baselines._side
            baselines._side = lambda index, *rest: stop if index else side(index, *rest)
            baselines.WakeUp("none").measure(0.01)
        with TemporaryDirectory() as folder:
            baselines.PythonLoop("a loop", lambda *rest: stop(), Path(folder), "none").measure(0.01)
    except Failed as error:
        return str(error)
    return "measured"


@pytest.mark.parametrize(("name", "worker"), [("wake-up", 1), ("loop", 0)])
def test_a_loop_of_the_harness_whose_process_is_stopped_has_failed(name: str, worker: int) -> None:
    assert f"worker {worker} was stopped by a signal (SIGSTOP)" in in_fresh_process(of_the_harness, name)


def of_a_command(*arguments: str) -> list[object]:
    """The exit code and stderr of a command whose child is stopped at the first question."""
    rpc.PATIENCE_S = SHORT_S
    answered = rpc._answered
    rpc._answered = lambda respond, question: stop() or answered(respond, question)  # type: ignore[func-returns-value]
    with redirect_stderr(StringIO()) as told:
        code = main(list(arguments))
    return [code, told.getvalue()]


@pytest.mark.parametrize("command", [["backings"], ["peek", __file__, "0"]])
def test_a_command_whose_child_is_stopped_ends_with_4_and_names_it(command: list[str]) -> None:
    code, told = in_fresh_process(of_a_command, *command)
    assert code == 4
    assert told.startswith("lab: process ")
    assert STOPPED in told


def test_a_race_whose_worker_is_stopped_ends_with_4_and_names_it(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "if w.index: os.kill(os.getpid(), 19)")
    done = run_lab("race", mine, "--workers", "2", "--trials", "1", "--time-limit", "1", "--quiet")
    assert done.returncode == 4
    assert "worker 1 was stopped by a signal (SIGSTOP) and still was after 1 s" in done.stderr
    assert done.stderr.splitlines()[0].endswith("; find out what stopped it")
