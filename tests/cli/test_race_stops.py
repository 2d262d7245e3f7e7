"""Whoever stops a race keeps what was finished, and no worker is left."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from textwrap import indent

import pytest

from tests.cli.commands import QUICK, lines, scenario_file, working_lab
from tests.helpers import PATIENCE_S, is_running, run_lab, wait_until

STARTS = """
import subprocess
nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
same = subprocess.Popen(["sleep", "600"], **nowhere)
apart = subprocess.Popen(["sleep", "600"], **nowhere, start_new_session=True)
(HERE / "started").write_text(f"{same.pid} {apart.pid}")
(HERE / "started").rename(HERE / "at-work-0")
"""
"""A worker starts a process in its own group and another in a session of its own."""

SECOND = """
(HERE / f"pid-{w.index}").write_text(str(os.getpid()))
(HERE / f"pid-{w.index}").rename(HERE / f"at-work-{w.index}")
time.sleep(600)
"""


def workers(folder: Path) -> list[int]:
    """The processes that were at work."""
    return [int(note.read_text()) for note in folder.glob("at-work-*")]


def test_a_program_that_is_stopped_before_it_races_says_so_without_a_traceback(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", syntax="\n\nraise KeyboardInterrupt\n")
    done = run_lab("race", mine)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "lab: interrupted\n")


def test_what_workers_leave_behind_is_told_and_ended(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", f"if w.index == 0:\n{indent(STARTS, '    ')}")
    done = run_lab("race", mine, *QUICK, "--rounds", "1", "--json", tmp_path / "race.json", "--no-save")
    assert [pid for pid in map(int, (tmp_path / "at-work-0").read_text().split()) if is_running(pid)] == []
    (case,) = json.loads((tmp_path / "race.json").read_text())["cases"]
    assert (case["orphans"], case["orphan_commands"]) == (2, ["sleep 600"])
    assert (done.returncode, done.stderr) == (
        0,
        "lab: mine under fcntl: warning: workers left 2 processes behind, with any lock that they inherited; "
        "ended now: sleep 600\n",
    )


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_race_that_is_stopped_prints_and_saves_what_was_finished_and_leaves_no_worker(
    stop: signal.Signals, tmp_path: Path
) -> None:
    """It has finished its first case and hangs in its second, with both workers at work."""
    first, second = scenario_file(tmp_path / "first.py"), scenario_file(tmp_path / "second.py", SECOND)
    kept = tmp_path / "kept"
    kept.mkdir()
    how = ("--workers", "2", "--trials", "1", "--time-limit", "600", "--save", kept, "--dir", tmp_path)
    found = partial(workers, tmp_path)
    with working_lab("race", first, second, *how, until=lambda: len(found()) == 2, pids=found) as lab:
        assert [is_running(pid) for pid in found()] == [True, True]
        lab.send_signal(stop)
        printed, told = lab.communicate(timeout=PATIENCE_S)
        wait_until(lambda: not any(is_running(pid) for pid in found()), "the workers are gone with their parent")
    if stop != signal.SIGKILL:
        assert (lab.returncode, told) == (130, "lab: interrupted; 1 finished case kept\n")
        assert [line.split()[0] for line in lines(printed.split("\n\n")[1])[2:]] == ["first"]
        (saved,) = kept.iterdir()
        made = json.loads(saved.read_text())
        assert (made["interrupted"], [case["scenario"] for case in made["cases"]]) == (True, ["first"])
        assert f"written to {saved}" in printed


def test_a_race_that_is_stopped_in_its_first_case_prints_no_tables_and_leaves_its_directory_empty(
    tmp_path: Path,
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    mine = scenario_file(tmp_path / "mine.py", "os.kill(os.getppid(), 2)\ntime.sleep(600)")
    done = run_lab("race", mine, "--workers", "1", "--trials", "1", "--dir", there)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "lab: interrupted; 0 finished cases kept\n")
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_race_that_is_stopped_leaves_nothing_that_a_worker_has_started(stop: signal.Signals, tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", f"{STARTS}\ntime.sleep(600)")
    how = ("--workers", "1", "--trials", "1", "--time-limit", "600", "--no-save")
    with working_lab("race", mine, *how, until=(tmp_path / "at-work-0").exists) as lab:
        same, apart = map(int, (tmp_path / "at-work-0").read_text().split())
        assert (is_running(same), is_running(apart)) == (True, True)
        lab.send_signal(stop)
        lab.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not is_running(same), "the one in the worker's group is gone")
    if stop == signal.SIGKILL:  # nobody is left who knows of it, as the documentation says
        os.kill(apart, signal.SIGKILL)
    else:
        assert not is_running(apart)
