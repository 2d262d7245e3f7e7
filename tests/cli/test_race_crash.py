"""`race --crash kill`: a row of its own, judged as the scenario announces, and refused where nobody can be killed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lab.records.race import CRASHED
from tests.helpers import run_lab

QUICK = ("--trials", "1", "--rounds", "10", "--no-save", "--no-explore")


def test_the_row_of_a_crash_is_judged_as_the_scenario_announces(elsewhere: Path) -> None:
    done = run_lab("race", "bank", "--locked", "--crash", "kill", *QUICK, "--json", "-")
    ordinary, crash = json.loads(done.stdout)["cases"]
    assert (done.returncode, ordinary["fault"], crash["fault"]) == (0, "", CRASHED)
    assert (ordinary["expected"], crash["expected"], crash["verdict"]) == ("clean", "damaged", "damaged")
    assert crash["data_checked"]
    assert crash["faults_made"] == crash["trials"] >= crash["kills_inside"] > 1
    assert ordinary["kills_inside"] is None
    assert "after a holder was killed and the next one had recovered" in crash["reason"]


MINE = '''
from ctypes import Structure, c_uint64
from lab import Damage, Scenario


class Mine(Scenario):
    """Two halves."""

    class Memory(Structure):
        _fields_ = [("left", c_uint64), ("right", c_uint64)]

    def work(self, w):
        with w.write_lock():
            w.memory.left += 1
            w.memory.right += 1

    def check(self, memory, outcome):
        return Damage("half an update", abs(memory.left - memory.right), 1)
'''


def test_what_is_not_announced_ends_with_1_and_says_what_to_do(elsewhere: Path) -> None:
    (elsewhere / "mine.py").write_text(MINE)
    done = run_lab("race", "mine.py", "--locked", "--crash", "kill", *QUICK)
    assert done.returncode == 1
    assert "fcntl, with faults: NOT CLEAN in 1 of 1 case: killed, recovered." in " ".join(done.stdout.split())
    assert "make it again: lab race mine.py --lock fcntl --workers 4 --seed 0 --rounds 10 --crash kill" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--lock", "none"), "--crash: takes a lock and two workers or more"),
        (("--locked", "--workers", "1"), "--crash: takes a lock and two workers or more"),
        (("--locked", "--hosts", "local:1,local:2", "--dir", "/"), "--crash: works on one host"),
        (
            ("--program", "true {file}", "--program-workers", "2"),
            "--crash: is for a program alone, or a scenario alone",
        ),
        (("--recover", "true"), "--recover: belongs to --program"),
    ],
)
def test_where_nobody_can_be_killed_it_is_refused(words: tuple[str, ...], said: str, elsewhere: Path) -> None:
    done = run_lab("race", "counter", *words, "--crash", "kill", "--no-save")
    assert done.returncode == 2
    assert said in done.stderr


PROGRAM = ("race", "--program", "sh -c 'echo x >>$0; echo x >>$0' {file}", "--no-save")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check", "true", "--recover", "true"), "--recover: nothing crashes that it could recover from"),
        (("--check", "true", "--crash", "kill", "--recover", " "), "--recover: an empty command"),
        (("--check", "true", "--crash", "kill", "--recover", "nowhere/x"), "--recover nowhere/x: no such program"),
        (("--check", "true", "--crash", "kill", "--recover", "true {fil}"), "--recover: unknown placeholder 'fil'"),
        (("--check", "true {rounds}", "--crash", "kill"), "--check: a killed copy does fewer than {rounds}; count"),
    ],
)
def test_a_recovery_or_a_check_that_makes_no_sense_is_refused(
    words: tuple[str, ...], said: str, elsewhere: Path
) -> None:
    done = run_lab(*PROGRAM, *words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_a_recovery_that_fails_is_told_as_that_and_the_line_makes_it_again(elsewhere: Path) -> None:
    words = ("--check", "test -f {file}", "--crash", "kill", "--recover", "sh -c 'echo lost >&2; exit 3'")
    done = run_lab(*PROGRAM, *words, "--workers", "2", "--trials", "1", "--json", "-")
    document = json.loads(done.stdout)
    ordinary, crash = document["cases"]
    assert (done.returncode, ordinary["verdict"], crash["verdict"]) == (4, "clean", "died")
    assert (crash["faults_made"], crash["kills_inside"], crash["fault"]) == (1, 0, CRASHED)
    assert document["options"]["recover"] == words[-1]
    assert (crash["failures"][0]["worker"], crash["failures"][0]["reason"]) == (-3, "recovery exited with 3: lost")
    assert "died: recovery exited with 3: lost, in trial 1; copy " in done.stderr
    assert f"--workers 2 --seed 0 --crash kill --recover {shlex.quote(words[-1])}" in done.stderr


@pytest.mark.parametrize(("words", "who"), [(("--recover", "true"), "--recover"), ((), "one more copy")])
def test_the_report_says_what_was_run_to_recover(words: tuple[str, ...], who: str, elsewhere: Path) -> None:
    done = run_lab(*PROGRAM, "--check", "true", "--crash", "kill", *words, "--workers", "2", "--trials", "1")
    printed = " ".join(done.stdout.split())
    assert f"When the others had ended, {who} was run to recover, and then the check." in printed
    assert "this row has trials of its own" in printed
