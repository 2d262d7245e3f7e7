"""What an exploration that is stopped tells of what it covered, and that none of its processes is left."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.commands import document, lines, scenario_file, working_lab
from tests.helpers import PATIENCE_S, is_running, run_lab, wait_until

SIZE = ("--workers", "3", "--rounds", "3", "--time-limit", "600")
STOPPED_IN_THE_MIDDLE = """
if memory.value == 3:
    (HERE / f"searched-by-{os.getpid()}").touch()
    os.kill(WHOM, NUMBER)
return DAMAGE
"""
"""A check that stops its own search when it first meets a certain end."""


def stopping(folder: Path, whom: str, stop: signal.Signals = signal.SIGINT, damage: str = "[]") -> Path:
    """A counter whose check stops this or the parent process when it meets the value 3."""
    check = STOPPED_IN_THE_MIDDLE.replace("WHOM", whom).replace("NUMBER", f"{stop:d}").replace("DAMAGE", damage)
    return scenario_file(folder / "mine.py", "w.memory.value += 1", check=check)


def searchers(folder: Path) -> list[int]:
    """The processes that have met the value 3."""
    return [int(note.name.rpartition("-")[2]) for note in folder.glob("searched-by-*")]


@pytest.mark.parametrize(
    ("search", "jobs", "whom", "more"),
    [
        ("all", "1", "os.getpid()", "--preemptions 9"),
        ("dpor", "1", "os.getpid()", "--preemptions 9"),
        ("random", "1", "os.getpid()", ""),
        ("all", "2", "os.getppid()", ""),
        ("random", "2", "os.getppid()", ""),
    ],
)
def test_a_search_that_is_interrupted_tells_what_it_covered(
    search: str, jobs: str, whom: str, more: str, tmp_path: Path
) -> None:
    mine = stopping(tmp_path, whom)
    done = run_lab("explore", mine, *SIZE, "--search", search, "--jobs", jobs, *more.split(), "--json", "it.json")
    made = document(Path("it.json").read_text())
    (only,) = made["cases"]
    assert (done.returncode, made["interrupted"]) == (130, True)
    assert (only["verdict"], only["exhausted"]) == ("unknown", False)
    assert [pid for pid in searchers(tmp_path) if is_running(pid)] == []
    told = done.stderr.splitlines()[-1]
    assert told.startswith("lab: interrupted; ")
    assert "every interleaving" not in done.stdout + done.stderr
    if jobs == "1":
        assert re.search(r"[1-9][\d,]* runs", told)
        assert f"{only['schedules']:,} runs" in only["covered"]


def test_what_broke_before_the_interrupt_is_not_said_to_have_held(tmp_path: Path) -> None:
    mine = stopping(tmp_path, "os.getppid()", damage="Damage('odd', 1, 9)")
    done = run_lab("explore", mine, *SIZE, "--search", "all", "--jobs", "2", "--json", "it.json")
    (only,) = document(Path("it.json").read_text())["cases"]
    assert done.returncode == 130
    assert (only["broken_schedules"] > 0) <= (only["verdict"] == "broken")
    assert only["broken_schedules"] == 0 or "nothing broke" not in done.stdout + done.stderr


def test_finished_cases_are_kept_when_a_later_one_is_interrupted(tmp_path: Path) -> None:
    mine = stopping(tmp_path, "os.getpid()")
    done = run_lab("explore", "counter", mine, "--lock", "fcntl", *SIZE, "--search", "all", "--json", "it.json")
    cases = document(Path("it.json").read_text())["cases"]
    assert done.returncode == 130
    assert [(each["scenario"], each["verdict"]) for each in cases] == [("counter", "holds"), ("mine", "unknown")]
    assert [line.split()[0] for line in lines(done.stdout) if " fcntl " in line][:2] == ["counter", "mine"]


@pytest.fixture
def searching(tmp_path: Path) -> Iterator[Popen[str]]:
    """A search in two jobs, both of which are at it."""
    mine = stopping(tmp_path, "os.getpid()", signal.SIGCONT)
    search = ("--search", "random", "--jobs", "2")
    found = partial(searchers, tmp_path)
    with working_lab("explore", mine, *SIZE, *search, until=lambda: len(found()) == 2, pids=found) as lab:
        yield lab


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_job_outlives_its_parent_which_prints_what_it_covered(
    stop: signal.Signals, searching: Popen[str], tmp_path: Path
) -> None:
    jobs = searchers(tmp_path)
    assert [is_running(pid) for pid in jobs] == [True, True]
    os.kill(searching.pid, stop)
    printed, told = searching.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not any(map(is_running, jobs)), "the jobs are gone with their parent")
    if stop != signal.SIGKILL:
        assert searching.returncode == 130
        assert "interrupted" in told
        assert [line.split()[0] for line in lines(printed) if " fcntl " in line][:1] == ["mine"]
