"""What goes wrong in a race is told in one line, and ends with the exit code of its kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import QUICK, document, hand_over, lines, other_package, scenario_file
from tests.helpers import PATIENCE_S, is_running, race, run_lab

ONE = ("--workers", "1", "--trials", "1")
TWO = ("--workers", "2", "--trials", "1")
BROKEN = "return Damage('lost update', 3, 40, ['value is 37 after 40 additions'])"


def failed(code: int, *args: str | Path, env: dict[str, str] | None = None) -> str:
    """What stderr says of a race that ends with this code; nothing comes as a traceback of the lab's own."""
    done = run_lab("race", *args, env=env)
    assert done.returncode == code, done.stderr
    assert all(line.startswith(("lab: ", "  ")) for line in lines(done.stderr)[:1])
    return done.stderr


def refused(code: int, *args: str | Path) -> str:
    """The one line of a race that did not start: it names the thing, the cause and the next step."""
    done = run_lab("race", *args)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: ")
    return line


def test_a_race_that_went_as_expected_ends_with_0() -> None:
    assert run_lab("race", "counter", "--locked", *QUICK).returncode == 0


def test_damage_where_none_was_expected_ends_with_1(tmp_path: Path) -> None:
    said = failed(1, scenario_file(tmp_path / "mine.py", check=BROKEN), *QUICK)
    assert said.splitlines() == [
        "lab: mine under fcntl, 2 workers: damaged: the lock held and the data broke anyway",
        "lab:   lost update: value is 37 after 40 additions",
    ]


def test_damage_that_was_expected_ends_with_0(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", check=BROKEN, attributes="expects = {EVERY_LOCK: 'damaged'}")
    done = run_lab("race", mine, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "damaged: lost update" in done.stdout


def test_damage_that_was_expected_and_stayed_away_is_said(tmp_path: Path) -> None:
    done = run_lab("race", scenario_file(tmp_path / "mine.py", attributes="expects = {'fcntl': 'damaged'}"), *QUICK)
    assert done.returncode == 0
    assert "mine under fcntl was expected to break and did not this time (1 trial)" in done.stdout


def test_damage_that_a_worker_saw_on_the_way_counts(tmp_path: Path) -> None:
    said = failed(1, scenario_file(tmp_path / "mine.py", "w.damaged('torn read', 'half of each')"), *ONE)
    assert "torn read: worker 0, round 0: half of each" in said


def test_a_lock_that_lets_two_in_ends_with_1_although_no_data_broke(tmp_path: Path) -> None:
    there = other_package(tmp_path / "site")
    said = failed(1, hand_over(tmp_path / "mine.py"), *TWO, "--lock", "liar", env=there)
    assert "mine under liar, 2 workers: damaged: conflicting holds overlapped, 1 time" in said
    assert "worker 1 was granted write 0-7 while worker 0 held write 0-7" in said


def test_a_worker_that_raises_ends_with_4_and_its_traceback(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "w.memory.value = 1 / w.memory.value")
    said = failed(4, mine, *ONE)
    assert "worker 0 raised ZeroDivisionError: division by zero, in round 0 of trial 0" in said
    assert "Traceback (most recent call last):" in said
    assert f'File "{mine}", line ' in said


def test_a_worker_that_raises_before_the_start_ends_with_4(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", attributes="def start(self, w):\n    raise KeyError('start')")
    assert "worker 0 raised KeyError: 'start'" in failed(4, mine, *ONE)


def test_workers_that_all_raise_the_same_are_told_in_one_line_with_one_traceback(tmp_path: Path) -> None:
    said = failed(4, scenario_file(tmp_path / "mine.py", "raise ValueError('me\\ntoo')"), *TWO)
    told = "raised ValueError: me too, in round 0 of trial 0; likewise 1 more worker; fix it at the place shown below"
    assert said.splitlines()[0] == f"lab: mine under fcntl, 2 workers: died: worker 0 {told}"
    assert said.count("raised ValueError: me too") == 1
    assert said.count("Traceback") == 1


def test_a_worker_that_is_killed_ends_with_4_and_the_name_of_its_signal(tmp_path: Path) -> None:
    assert "worker 0 was killed by SIGKILL" in failed(4, scenario_file(tmp_path / "mine.py", "w.die()"), *ONE)


def test_a_worker_that_exits_by_itself_ends_with_4(tmp_path: Path) -> None:
    assert "worker 0 exited with 7" in failed(4, scenario_file(tmp_path / "mine.py", "os._exit(7)"), *ONE)


def test_a_file_truncated_under_the_mapping_is_told_as_that(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "os.truncate(w.path, 0)\nw.memory.value += 1")
    said = failed(4, mine, *ONE)
    assert "SIGBUS: the file was truncated under the mapping, to 0 of the 40 bytes mapped" in said


def test_a_file_removed_under_the_mapping_and_cut_is_told_as_that(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "os.truncate(w.path, 0)\nos.unlink(w.path)\nw.memory.value += 1")
    assert "SIGBUS: it touched a page that the file does not have, and the file is gone" in failed(4, mine, *ONE)


def test_a_file_that_somebody_removed_ends_with_3_and_is_named(tmp_path: Path) -> None:
    told = failed(3, scenario_file(tmp_path / "mine.py", "os.unlink(w.path)"), *ONE)
    assert "trial-0: cannot be read back after the race (No such file or directory)" in told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("self.Memory.cells, 4", "cells[4] is beyond the file: cells has 4 elements"),
        ("self.Memory.cells, 2, 3", "cells[2:5] is beyond the file: cells has 4 elements"),
        ("self.Memory.value, 0", "value is no array"),
    ],
)
def test_a_range_beyond_the_file_ends_with_4_and_names_the_field(asked: str, told: str, tmp_path: Path) -> None:
    assert told in failed(4, scenario_file(tmp_path / "mine.py", f"w.write_lock({asked})"), *ONE)


def test_a_case_that_failed_leaves_the_others_to_be_run_and_printed(tmp_path: Path) -> None:
    done = run_lab("race", scenario_file(tmp_path / "mine.py", "w.die()"), "counter", "--locked", *QUICK)
    assert done.returncode == 4
    first, second = (line for line in done.stdout.split("\n\n")[1].splitlines()[2:])
    assert first.split()[0] == "mine"
    assert first.endswith("DIED")
    assert second.split()[0] == "counter"
    assert second.endswith("clean")


def test_damage_weighs_more_than_a_death(tmp_path: Path) -> None:
    dies = scenario_file(tmp_path / "dies.py", "w.die()")
    assert "damaged" in failed(1, dies, scenario_file(tmp_path / "breaks.py", check=BROKEN), *ONE)


def test_a_worker_that_hangs_ends_with_4_and_what_it_held_and_waited_for_is_told(tmp_path: Path) -> None:
    """Under a lock that locks, the hand-over cannot end; both workers tell where they are before they hang."""
    work = "(HERE / f'{w.index}').write_text(str(os.getpid()))"
    mine = hand_over(tmp_path / "mine.py")
    mine.write_text(mine.read_text().replace("def work(self, w):", f"def work(self, w):\n        {work}"))
    done = run_lab("race", mine, *TWO, "--time-limit", "2", "--json", "-")
    (case,) = document(done.stdout)["cases"]
    assert (done.returncode, case["verdict"]) == (4, "timeout")
    hold = "still at work after 2 s, holding the write lock on bytes 0 to 7"
    wait = "still at work after 2 s, waiting for the write lock on bytes 0 to 7"
    assert [failure["reason"] for failure in case["failures"]] == [hold, wait]
    assert f"lab:   worker 1 {wait}" in done.stderr
    assert not [pid for pid in (0, 1) if is_running(int((tmp_path / str(pid)).read_text()))]


def test_a_hang_that_was_expected_ends_with_0(tmp_path: Path) -> None:
    mine = scenario_file(
        tmp_path / "mine.py",
        "time.sleep(60)",
        attributes="expects = {EVERY_LOCK: 'timeout'}\ntime_limit = 0.2",
    )
    done = run_lab("race", mine, *ONE, "--json", "-")
    (case,) = document(done.stdout)["cases"]
    assert (done.returncode, case["verdict"], done.stderr) == (0, "timeout", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["countr"], "unknown scenario 'countr'; did you mean counter?"),
        (["counter:curd"], "unknown scenario 'counter:curd'; did you mean counter?"),
        (["counter", "--lock", "fnctl"], "unknown lock 'fnctl'; did you mean fcntl?"),
        (["counter", "--lock", "zzz"], "unknown lock 'zzz'; known: none, fcntl, ofd, flock"),
        (["counter", "--format", "gitub"], "unknown format 'gitub'; did you mean github?"),
        (["counter", "--workers", "0"], "argument --workers: 0 is too few: at least 1"),
        (["counter", "--workers", "2,x"], "argument --workers: 'x' is no whole number"),
        (["counter", "--rounds", "0"], "argument --rounds: 0 is too few: at least 1"),
        (["counter", "--trials", "0"], "argument --trials: 0 is too few: at least 1"),
        (["counter", "--leak", "1.5", "--locked"], "argument --leak: 1.5 is no probability: from 0 to 1"),
        (["counter", "--leak", "0.5", "--unlocked"], "--leak: without a lock there is nothing to leak"),
        (["counter", "--time-limit", "0"], "argument --time-limit: 0 is no time"),
        (["counter", "--window", "-1"], "argument --window"),
        (["counter", "--pin", "two"], "argument --pin: invalid choice: 'two'"),
        (["missing.py"], "missing.py: no such scenario file"),
        (["--wrong"], "unrecognized arguments: --wrong; see python -m lab"),
    ],
)
def test_wrong_usage_ends_with_2_in_one_line(args: list[str], said: str) -> None:
    assert said in refused(2, *args)


def test_a_scenario_file_with_a_syntax_error_ends_with_2_and_its_place(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", syntax="\nclass Broken(:\n")
    number = mine.read_text().splitlines().index("class Broken(:") + 1
    assert f"{mine}:{number}: invalid syntax; fix the file" in refused(2, mine)


def test_a_scenario_that_expects_what_is_no_verdict_ends_with_2(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", attributes="expects = {'fcntl': 'broken'}")
    assert "Scripted.expects is {'fcntl': 'broken'}; give verdicts by lock" in refused(2, mine)


def test_a_scenario_that_cannot_race_ends_with_2_and_says_where_it_can(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", attributes="worlds = frozenset({'explore'})")
    assert "scenario mine: runs only in explore, not in race" in refused(2, mine)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("check", "def check(self, memory, outcome):\n        return 1 / 0"),
        ("prepare", "def prepare(self, memory):\n        1 / 0"),
        ("layout", "def layout(self, workers, rounds):\n        1 / 0"),
    ],
)
def test_a_scenario_that_raises_outside_its_workers_ends_with_4_and_its_place(
    method: str, text: str, tmp_path: Path
) -> None:
    """It has judged nothing: the run must not end as one that found damage, and what is finished is printed."""
    mine = scenario_file(tmp_path / "mine.py", syntax=f"\n    {text}\n")
    place = f"{mine}:{len(mine.read_text().splitlines())}"
    done = run_lab("race", "counter", mine, "--locked", *ONE, "--rounds", "2")
    told = f"{method} raised ZeroDivisionError: division by zero ({place}); fix the file"
    assert done.stderr == f"lab: mine under fcntl, 1 worker: died: {told}\n"
    assert done.returncode == 4
    assert "0 of 2 " in done.stdout


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("pass", "check returned None ({mine}:{line}); return Damage(...), or a list of them, [] for none"),
        ("raise ValueError('one\\ntwo')", "check raised ValueError: one two ({mine}:{line}); fix the file"),
        ("while True: pass", "check was still at work after 1 s ({mine}:{line}); fix the file, or allow it more time"),
    ],
)
def test_a_check_that_judges_nothing_ends_with_4_in_one_line_with_its_place(
    check: str, told: str, tmp_path: Path
) -> None:
    mine = scenario_file(tmp_path / "mine.py", check=check)
    line = len(mine.read_text().splitlines()) - check.startswith("pass")
    done = run_lab("race", "counter", mine, "--locked", *ONE, "--rounds", "2", "--time-limit", "1")
    assert done.stderr == f"lab: mine under fcntl, 1 worker: died: {told.format(mine=mine, line=line)}\n"
    assert done.returncode == 4
    assert "0 of 2 " in done.stdout


@pytest.mark.parametrize("scenario", ["append_log", "counter"])
def test_more_rounds_than_there_is_memory_for_end_with_3(scenario: str) -> None:
    race_of = ("race", scenario, "--locked", *ONE, "--no-save", "--rounds", "1_000_000_000")
    limited = ["prlimit", "--as=600000000", sys.executable, "-m", "lab", *race_of]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    said = done.stderr
    assert done.returncode == 3, said
    (line,) = said.splitlines()
    assert "memory" in line
    assert "--rounds or --workers (1 case not run)" in line or "fewer rounds or workers" in line


def test_traceback_shows_where_in_the_lab_an_error_came_from() -> None:
    done = run_lab("race", "countr", "--traceback")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lab: unknown scenario")


def documents_of(*args: str | Path) -> dict[str, Any]:
    return document(run_lab("race", *args, "--json", "-").stdout)


def test_a_failed_worker_is_never_counted_as_clean(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "if w.index == 1: w.die()")
    (case,) = documents_of(mine, *TWO)["cases"]
    assert case["verdict"] == "died"
    assert case["interval_95"] == [0.0, 1.0]
    assert [trial["completed"] for trial in case["trial_samples"]] == [False]


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("os._exit(0)", "exited with 0 before its end"),
        ("raise SystemExit(0)", "raised SystemExit: 0"),
    ],
)
def test_a_worker_that_ends_in_silence_has_failed(work: str, reason: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(ENDS_EARLY.format(work=work))
    code, run = race(mine, "--locked", "--trials", "1", "--rounds", "5")
    (case,) = run["cases"]
    assert (code, case["verdict"]) == (4, "died")
    assert reason in case["reason"]
    assert case["operations"] == 0


ENDS_EARLY = """
import os
from ctypes import Structure, c_uint64
from lab import Damage, Scenario

class Mine(Scenario):
    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        if w.index == 1 and w.round == 3:
            {work}

    def check(self, memory, outcome):
        return []
"""


def test_a_lock_that_lets_two_in_fails_even_where_damage_is_announced(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(TWO_IN)
    code, run = race(mine, "--locked", "--trials", "1", "--rounds", "1", "--workers", "2", "--leak", "1")
    (case,) = run["cases"]
    assert (code, case["verdict"], case["expected"], case["overlapping_holds"]) == (1, "damaged", "damaged", 1)


TWO_IN = """
from ctypes import Structure, c_uint64
from lab import EVERY_LOCK, Damage, Scenario

class Mine(Scenario):
    expects = {EVERY_LOCK: "damaged"}

    class Memory(Structure):
        _fields_ = [("inside", c_uint64 * 2)]

    def work(self, w):
        with w.write_lock(self.Memory.inside):
            w.memory.inside[w.index] = 1
            while not w.memory.inside[1 - w.index]:
                w.pause()

    def check(self, memory, outcome):
        return Damage("announced", 1, outcome.rounds)
"""
