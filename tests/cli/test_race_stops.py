"""Whoever stops a race keeps what was finished, and no worker is left."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from textwrap import indent

import pytest

from tests.cli.commands import QUICK, lines, scenario_file, start_lab
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


@pytest.fixture
def racing(tmp_path: Path) -> Iterator[Popen[str]]:
    """A race that has finished its first case and hangs in its second, with both workers at work."""
    first = scenario_file(tmp_path / "first.py")
    second = scenario_file(tmp_path / "second.py", SECOND)
    kept = tmp_path / "kept"
    kept.mkdir()
    how = ("--workers", "2", "--trials", "1", "--time-limit", "600")
    lab = start_lab("race", first, second, *how, "--save", kept, "--dir", tmp_path)
    try:
        wait_until(lambda: len(list(tmp_path.glob("at-work-*"))) == 2 or lab.poll() is not None, "both are at work")
        assert lab.poll() is None
        yield lab
    finally:
        for pid in workers(tmp_path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        lab.kill()
        lab.communicate()


def workers(folder: Path) -> list[int]:
    """The processes that were at work."""
    return [int(note.read_text()) for note in folder.glob("at-work-*")]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_race_that_is_stopped_prints_and_saves_what_was_finished(
    stop: signal.Signals, racing: Popen[str], tmp_path: Path
) -> None:
    racing.send_signal(stop)
    printed, told = racing.communicate(timeout=PATIENCE_S)
    assert racing.returncode == 130
    assert told == "lab: interrupted; 1 finished case kept\n"
    assert [line.split()[0] for line in lines(printed.split("\n\n")[1])[2:]] == ["first"]
    (kept,) = (tmp_path / "kept").iterdir()
    made = json.loads(kept.read_text())
    assert (made["interrupted"], [case["scenario"] for case in made["cases"]]) == (True, ["first"])
    assert f"written to {kept}" in printed


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_race_that_is_stopped_leaves_no_worker(stop: signal.Signals, racing: Popen[str], tmp_path: Path) -> None:
    racing.send_signal(stop)
    racing.communicate(timeout=PATIENCE_S)
    assert [pid for pid in workers(tmp_path) if is_running(pid)] == []


def test_a_race_that_is_killed_leaves_no_worker(racing: Popen[str], tmp_path: Path) -> None:
    assert [is_running(pid) for pid in workers(tmp_path)] == [True, True]
    racing.kill()
    wait_until(lambda: not any(is_running(pid) for pid in workers(tmp_path)), "the workers are gone with their parent")


def test_a_race_that_is_stopped_in_its_first_case_prints_no_tables(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "os.kill(os.getppid(), 2)\ntime.sleep(600)")
    done = run_lab("race", mine, "--workers", "1", "--trials", "1")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "lab: interrupted; 0 finished cases kept\n"


def test_a_program_that_is_stopped_before_it_races_says_so_without_a_traceback(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", syntax="\n\nraise KeyboardInterrupt\n")
    done = run_lab("race", mine)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "lab: interrupted\n")


def test_a_race_that_is_stopped_leaves_its_directory_empty(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    mine = scenario_file(tmp_path / "mine.py", "os.kill(os.getppid(), 2)\ntime.sleep(600)")
    run_lab("race", mine, "--workers", "1", "--trials", "1", "--dir", there)
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_race_that_is_stopped_leaves_nothing_that_a_worker_has_started(stop: signal.Signals, tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", f"{STARTS}\ntime.sleep(600)")
    lab = start_lab("race", mine, "--workers", "1", "--trials", "1", "--time-limit", "600", "--no-save")
    try:
        wait_until(lambda: (tmp_path / "at-work-0").exists() or lab.poll() is not None, "the worker is at work")
        same, apart = map(int, (tmp_path / "at-work-0").read_text().split())
        assert (is_running(same), is_running(apart)) == (True, True)
        lab.send_signal(stop)
        lab.communicate(timeout=PATIENCE_S)
    finally:
        lab.kill()
        lab.communicate()
    wait_until(lambda: not is_running(same), "the one in the worker's group is gone")
    if stop == signal.SIGKILL:  # nobody is left who knows of it, as the documentation says
        os.kill(apart, signal.SIGKILL)
    else:
        assert not is_running(apart)


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
