"""`lab watch`: its exit codes, its report in 80 columns, its document, and what it does with wrong input."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers import run_lab

pytestmark = pytest.mark.needs("compiled")

CLOSES = """
import fcntl, os, sys
file = os.open("data.bin", os.O_RDWR | os.O_CREAT)
for _ in range(3):
    fcntl.lockf(file, fcntl.LOCK_EX)
    os.close(os.open("data.bin", os.O_RDONLY))
    os.pwrite(file, b"x", 0)
    fcntl.lockf(file, fcntl.LOCK_UN)
sys.exit(int(sys.argv[1]))
"""
RIGHT = CLOSES.replace('os.close(os.open("data.bin", os.O_RDONLY))', "pass")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "closes.py").write_text(CLOSES)
    (tmp_path / "right.py").write_text(RIGHT)
    return tmp_path


@pytest.mark.parametrize(
    ("program", "status", "code"),
    [("right.py", "0", 0), ("right.py", "3", 4), ("closes.py", "0", 1), ("closes.py", "3", 1)],
)
def test_exit_codes(here: Path, program: str, status: str, code: int) -> None:
    done = run_lab("watch", "-n", "2", "--", sys.executable, program, status, cwd=here)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("no fault was found" in done.stdout) == (program == "right.py")
    assert ("exit code 3" in done.stderr) == (status == "3")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_a_fault_is_told_with_its_lines_and_is_the_same_when_judged_again(here: Path) -> None:
    written = ("--keep", "logs", "--json", "first.json", "--junit", "junit.xml")
    command = ("watch", *written, "--", sys.executable, "closes.py", "0")
    done = run_lab(*command, cwd=here)
    assert "the lock is dropped by a close: data.bin, 6 times" in done.stdout
    for line in ("> closes.py:5 <module>: fcntl, exclusive", "> closes.py:6 <module>: closes descriptor"):
        assert line in done.stdout
    assert "so       3 ends the lock of 1" in done.stdout
    (case,) = ElementTree.parse(here / "junit.xml").iter("testcase")  # noqa: S314 - ours
    assert (case.get("name"), [each.tag for each in case]) == ("dropped by a close", ["failure"])
    again = run_lab("watch", "--read", "logs", "--json", "second.json", cwd=here)
    assert again.returncode == done.returncode == 1
    first, second = (json.loads((here / name).read_text()) for name in ("first.json", "second.json"))
    assert first["findings"] == second["findings"]
    assert {each["cause"] for each in first["findings"]} == {"dropped by a close"}
    ignored = run_lab("watch", "--read", "logs", "--ignore", "dropped by a close", cwd=here)
    assert (ignored.returncode, "no fault was found" in ignored.stdout) == (0, True)


def test_all_lines_and_stacks_with_verbose(here: Path) -> None:
    done = run_lab("watch", "-v", "--", sys.executable, "closes.py", "0", cwd=here)
    assert done.stdout.count("closes.py:5 <module>") > 1


def test_a_table_for_programs(here: Path) -> None:
    done = run_lab("watch", "--format", "csv", "--", sys.executable, "right.py", "0", cwd=here)
    head, row = done.stdout.splitlines()
    assert head.startswith("file,lock,granted,contended,refused,wait_p50_ns")
    assert row.split(",")[1:5] == ["fcntl", "3", row.split(",")[3], "0"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give a command behind --"),
        (("--read", "nowhere"), 2, "no logs of lab watch"),
        (("--read", "x", "--", "true"), 2, "give a command behind --"),
        (("--ignore", "no lok", "--", "true"), 2, "did you mean no lock?"),
        (("--", "/nowhere/prog"), 3, "cannot be run (No such file or directory)"),
        (("--keep", ".", "--", "true"), 2, "is not empty"),
        (("-n", "0", "--", "true"), 2, "at least 1"),
    ],
)
def test_wrong_input_is_answered_with_a_line(here: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = run_lab("watch", *words, cwd=here)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("recorder", [(), ("--from-outside",)])
def test_of_a_command_that_cannot_be_run_only_that_is_said(here: Path, recorder: tuple[str, ...]) -> None:
    done = run_lab("watch", "-n", "2", *recorder, "--", "./nothere", cwd=here)
    assert (done.returncode, done.stderr) == (
        3,
        "lab: ./nothere: cannot be run (No such file or directory); give the path of a program\n",
    )


def test_a_tab_in_a_name_does_not_come_out_raw(here: Path) -> None:
    (here / "a\tb").touch()
    assert run_lab("watch", "a\tb", cwd=here).stdout.startswith("a\\tb: nobody holds")


def test_the_logs_of_a_lab_that_was_killed_are_removed_by_the_next(here: Path) -> None:
    names = ("lab-watch-abandoned", "lab-watch-held", "lab-watch-young", "another")
    for name in names:
        (here / name / "folder").mkdir(parents=True)
        os.utime(here / name, (0, 0) if name != "lab-watch-young" else None)
    held = os.open(here / "lab-watch-held", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    run_lab("watch", "--", "true", cwd=here, env={**os.environ, "TMPDIR": str(here)})
    os.close(held)
    assert {name for name in names if (here / name).exists()} == {*names} - {"lab-watch-abandoned"}
    assert {path.name for path in here.glob("lab-watch-*")} <= {*names}


def test_a_program_that_does_not_end_is_ended_and_told(here: Path) -> None:
    done = run_lab("watch", "--time-limit", "0.5", "--", "sleep", "100", cwd=here)
    assert (done.returncode, "did not end within 0.5 s" in done.stderr) == (4, True)
