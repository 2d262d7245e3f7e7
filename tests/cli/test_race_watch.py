"""A race of a program that is watched: every hold is recorded, and what is wrong with its locking is told."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from tests.cli.commands import unfolded
from tests.helpers import race, run_lab
from tests.racing.programs.building import COUNTER, built, written

pytestmark = [pytest.mark.needs("compiler"), pytest.mark.needs("compiled")]

NONE = ("--faults", "none")

DROPS = """
import fcntl, os, sys, time
while sys.argv[2] == "1" and not os.path.exists(sys.argv[3]): time.sleep(0.01)
def header(path):
    with open(path, "rb", buffering=0) as data:
        return data.read(4)

file = os.open(sys.argv[1], os.O_RDWR)
for _ in range(3):
    fcntl.lockf(file, fcntl.LOCK_EX, 8)
    header(sys.argv[1])
    os.pwrite(file, b"x", 0)
    fcntl.lockf(file, fcntl.LOCK_UN, 8)
os.close(os.open(sys.argv[3], os.O_CREAT | os.O_RDWR))
"""
"""Its lock is dropped when the header is read; what it leaves is right all the same. One copy follows the other."""


@pytest.fixture
def add(tmp_path: Path) -> Path:
    return built(tmp_path)


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return written(tmp_path / "counter_check.py", COUNTER)


def test_every_hold_of_a_program_is_recorded_and_what_they_can_show_is_told(add: Path, counter: Path) -> None:
    command = f"{add} {{file}} {{worker}} {{rounds}} fcntl {{start}}"
    asked = ("--program", command, "--check", counter, "--trials", "2", "--rounds", "2000", "--detects", "0.5")
    code, run = race(*asked, "--watch", *NONE)
    (case,) = run["cases"]
    assert (code, case["verdict"], case["operations"], case["holds"]) == (0, "clean", 16_000, 16_000)
    assert (case["overlapping_holds"], case["unrecorded_holds"], case["sampled"]) == (0, 0, None)
    assert 0 < case["contended_requests"] <= 16_000
    assert 0 < case["detection_limit"] <= 0.5
    watched = case["watched"]
    assert (watched["trials"], watched["processes"], watched["findings"], watched["not_seen"]) == (2, 8, [], [])
    assert [(each["file"], each["lock"], each["granted"]) for each in watched["locked"]] == [("{file}", "fcntl", 16000)]


def test_what_broke_and_why_are_told_together_and_without_watching_the_next_command_is(
    add: Path, counter: Path, tmp_path: Path
) -> None:
    command = f"{add} {{file}} {{worker}} {{rounds}} none {{start}}"
    asked = ("race", "--program", command, "--check", str(counter), "--trials", "1", "--rounds", "20000", *NONE)
    unwatched = run_lab(*asked)
    assert unwatched.returncode == 1
    assert unwatched.stderr.splitlines()[-1].endswith(f"--check {counter} --workers 4 --seed 0 --rounds 20000 --watch")
    done = run_lab(*asked, "--watch", "--junit", "race.xml", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED: broke" in done.stdout
    assert " 1  accesses that no lock orders: {file}," in done.stdout
    assert "because  two processes use the same bytes" in unfolded(done.stdout)
    assert "damaged: its locking is wrong: no lock, {file}" in done.stderr
    assert "accesses that no lock orders: {file}, at add.c:" in done.stderr
    assert "next:" not in done.stderr
    (failure,) = Xml.parse(tmp_path / "race.xml").getroot().iter("failure")  # noqa: S314 - the lab's own
    assert "no lock" in failure.attrib["message"]
    assert "accesses that no lock orders" in (failure.text or "")


def test_a_fault_that_broke_nothing_ends_with_1_at_its_line(tmp_path: Path) -> None:
    written(tmp_path / "drops.py", DROPS)
    written(tmp_path / "fine.py", "def check(path, outcome):\n    return []\n")
    command = f"python3 drops.py {{file}} {{worker}} {tmp_path / 'done'}"
    asked = ("--program", command, "--check", "fine.py", "--trials", "1", "--workers", "2", *NONE)
    done = run_lab("race", *asked, "--watch", "--json", "run.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED: fault" in done.stdout
    assert "damaged: its locking is wrong: dropped by a close, {file}" in done.stderr
    (case,) = json.loads((tmp_path / "run.json").read_text())["cases"]
    assert (case["verdict"], case["damaged"], case["damaged_trials"]) == ("damaged", 0, 0)
    places = {call["place"] for each in case["watched"]["findings"] for call in each["calls"]}
    assert {"drops.py:9 <module>", "drops.py:5 header"} <= places
    ignored = run_lab("race", *asked, "--watch", "--ignore", "dropped by a close,no lock", cwd=tmp_path)
    assert ignored.returncode == 0, ignored.stderr
