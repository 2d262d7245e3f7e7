"""`race --crash kill`: a row of its own, judged as the scenario announces, and refused where nobody can be killed."""

from __future__ import annotations

import json
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
    assert crash["faults_made"] == crash["trials"] > 1
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
        (("--program", "true", "--check", "true"), "--crash: kills the workers of a scenario"),
    ],
)
def test_where_nobody_can_be_killed_it_is_refused(words: tuple[str, ...], said: str, elsewhere: Path) -> None:
    scenario = () if "--program" in words else ("counter",)
    done = run_lab("race", *scenario, *words, "--crash", "kill", "--no-save")
    assert done.returncode == 2
    assert said in done.stderr
