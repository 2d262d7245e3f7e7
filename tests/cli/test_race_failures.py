"""What goes wrong in a race is told in one line, and ends with the exit code of its kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import QUICK, document, hand_over, lines, other_package, refusal, scenario_file, unfolded
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


def test_damage_where_none_was_expected_ends_with_1(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", check=BROKEN)
    said = failed(1, mine, *QUICK)
    assert said.splitlines() == [
        "lab: mine under fcntl, 2 workers: damaged: the lock held and the data broke anyway",
        "lab:   lost update: value is 37 after 40 additions",
        f"lab: next: lab race {mine} --lock fcntl --workers 2 --seed 0 --rounds 20 --explain",
    ]


def test_a_lock_that_lets_two_in_ends_with_1_although_no_data_broke(tmp_path: Path) -> None:
    there = other_package(tmp_path / "site")
    said = failed(1, hand_over(tmp_path / "mine.py"), *TWO, "--lock", "liar", "--faults", "none", env=there)
    assert "mine under liar, 2 workers: damaged: conflicting holds overlapped, 1 time" in said
    assert "worker 1 was granted write 0-7 while worker 0 held write 0-7" in said


def test_a_worker_that_raises_ends_with_4_and_its_traceback(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "w.memory.value = 1 / w.memory.value")
    said = failed(4, mine, *ONE)
    assert "worker 0 raised ZeroDivisionError: division by zero, in round 0 of trial 0" in said
    assert "Traceback (most recent call last):" in said
    assert f'File "{mine}", line ' in said


def test_workers_that_all_raise_the_same_are_told_in_one_line_with_one_traceback(tmp_path: Path) -> None:
    said = failed(4, scenario_file(tmp_path / "mine.py", "raise ValueError('me\\ntoo')"), *TWO)
    told = "raised ValueError: me too, in round 0 of trial 0; likewise 1 more worker; fix it at the place shown below"
    assert said.splitlines()[0] == f"lab: mine under fcntl, 2 workers: died: worker 0 {told}"
    assert said.count("raised ValueError: me too") == 1
    assert said.count("Traceback") == 1


def test_a_case_that_failed_leaves_the_others_to_be_run_and_printed(tmp_path: Path) -> None:
    done = run_lab("race", scenario_file(tmp_path / "mine.py", "w.die()"), "counter", "--locked", *QUICK)
    assert done.returncode == 4
    first, second = (line for line in done.stdout.split("\n\n")[1].splitlines()[2:])
    assert first.split()[0] == "mine"
    assert "FAILED: died" in first
    assert second.split()[0] == "counter"
    assert " clean " in second


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


def test_a_scenario_file_with_a_syntax_error_ends_with_2_and_its_place(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", syntax="\nclass Broken(:\n")
    number = mine.read_text().splitlines().index("class Broken(:") + 1
    assert f"{mine}:{number}: invalid syntax; fix the file" in refusal(2, "race", mine)


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


SAID = {
    "w.damaged('torn read', 'half of each')": (1, "torn read: worker 0, round 0: half of each"),
    "w.die()": (4, "worker 0 was killed by SIGKILL"),
    "os._exit(7)": (4, "worker 0 exited with 7"),
    "os.truncate(w.path, 0)\nw.memory.value += 1": (
        4, "SIGBUS: the file was truncated under the mapping, to 0 of the 40 bytes mapped",
    ),
    "os.truncate(w.path, 0)\nos.unlink(w.path)\nw.memory.value += 1": (
        4, "SIGBUS: it touched a page that the file does not have, and the file is gone",
    ),
    "os.unlink(w.path)": (3, "trial-0: cannot be read back after the race (No such file or directory)"),
    "w.write_lock(self.Memory.cells, 4)": (4, "cells[4] is beyond the file: cells has 4 elements"),
    "w.write_lock(self.Memory.cells, 2, 3)": (4, "cells[2:5] is beyond the file: cells has 4 elements"),
    "w.write_lock(self.Memory.value, 0)": (4, "value is no array"),
}  # fmt: skip


@pytest.mark.parametrize("work", SAID)
def test_what_a_worker_does_wrong_ends_with_its_exit_code_and_is_told(work: str, tmp_path: Path) -> None:
    code, said = SAID[work]
    assert said in failed(code, scenario_file(tmp_path / "mine.py", work), *ONE)


@pytest.mark.parametrize(
    ("check", "expects", "said"),
    [
        (BROKEN, "{EVERY_LOCK: 'damaged'}", "mine      fcntl  expected break"),
        (
            "return []",
            "{'fcntl': 'damaged'}",
            "mine under fcntl was expected to break and did not this time (1 trial)",
        ),
    ],
    ids=["came", "stayed away"],
)
def test_damage_that_was_expected_ends_with_0(check: str, expects: str, said: str, tmp_path: Path) -> None:
    done = run_lab("race", scenario_file(tmp_path / "mine.py", check=check, attributes=f"expects = {expects}"), *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in unfolded(done.stdout)


@pytest.mark.parametrize(
    ("text", "back", "told"),
    [
        (
            "def prepare(self, memory):\n        1 / 0", 0,
            "prepare raised ZeroDivisionError: division by zero ({}); fix the file",
        ),
        (
            "def layout(self, workers, rounds):\n        1 / 0", 0,
            "layout raised ZeroDivisionError: division by zero ({}); fix the file",
        ),
        (
            "def check(self, memory, outcome):\n        raise ValueError('one\\ntwo')", 0,
            "check raised ValueError: one two ({}); fix the file",
        ),
        (
            "def check(self, memory, outcome):\n        pass", 1,
            "check returned None ({}); return Damage(...), or a list of them, [] for none",
        ),
        (
            "def check(self, memory, outcome):\n        while True: pass", 0,
            "check was still at work after 1 s ({}); fix the file, or allow it more time",
        ),
    ],
    ids=["prepare", "layout", "check raises", "check gives nothing", "check has no end"],
)  # fmt: skip
def test_a_scenario_that_fails_outside_its_workers_ends_with_4_in_one_line_with_its_place(
    text: str, back: int, told: str, tmp_path: Path
) -> None:
    """It has judged nothing: the run must not end as one that found damage, and what is finished is printed."""
    mine = scenario_file(tmp_path / "mine.py", syntax=f"\n    {text}\n")
    place = f"{mine}:{len(mine.read_text().splitlines()) - back}"
    done = run_lab("race", "counter", mine, "--locked", *ONE, "--rounds", "2", "--time-limit", "1")
    assert done.stderr == f"lab: mine under fcntl, 1 worker: died: {told.format(place)}\n"
    assert done.returncode == 4
    assert "counter   fcntl  clean " in done.stdout


@pytest.mark.parametrize(
    ("work", "reason"),
    [("os._exit(0)", "exited with 0 before its end"), ("raise SystemExit(0)", "raised SystemExit: 0")],
)
def test_a_worker_that_ends_in_silence_is_never_counted_as_clean(work: str, reason: str, tmp_path: Path) -> None:
    mine = scenario_file(
        tmp_path / "mine.py", f"if w.index == 1 and w.round == 3:\n    {work}", attributes="rounds = 5"
    )
    code, run = race(mine, *TWO)
    (case,) = run["cases"]
    assert (code, case["verdict"], case["operations"], case["interval_95"]) == (4, "died", 0, [0.0, 1.0])
    assert [trial["completed"] for trial in case["trial_samples"]] == [False]
    assert reason in case["reason"]


def test_a_lock_that_lets_two_in_fails_even_where_damage_is_announced(tmp_path: Path) -> None:
    work = "with w.write_lock():\n    w.memory.cells[w.index] = 1\n    wait_for(lambda: w.memory.cells[1 - w.index])"
    check = "return Damage('announced', 1, outcome.rounds)"
    mine = scenario_file(tmp_path / "mine.py", work, check=check, attributes="expects = {EVERY_LOCK: 'damaged'}")
    code, run = race(mine, *TWO, "--leak", "1")
    (case,) = run["cases"]
    assert (code, case["verdict"], case["expected"], case["overlapping_holds"]) == (1, "damaged", "damaged", 1)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("countr", "unknown scenario 'countr'; did you mean counter?"),
        ("counter:curd", "unknown scenario 'counter:curd'; did you mean counter?"),
        ("counter --lock fnctl", "unknown lock 'fnctl'; did you mean fcntl?"),
        ("counter --lock zzz", "unknown lock 'zzz'; known: none, fcntl, ofd, flock"),
        ("counter --leak 1.5 --locked", "argument --leak: 1.5 is no probability: from 0 to 1"),
        ("counter --leak 0.5 --unlocked", "--leak: without a lock there is nothing to leak"),
        ("counter --pin two", "argument --pin: invalid choice: 'two'"),
        ("missing.py", "missing.py: no such scenario file"),
        ("--wrong", "unknown option '--wrong'; did you mean --rounds?; see lab race --help"),
        ("verdict.py", "Scripted.expects is {'fcntl': 'broken'}; give verdicts by lock"),
        ("worlds.py", "scenario worlds: runs only in explore, not in race"),
    ],
)
def test_wrong_usage_ends_with_2_in_one_line(args: str, said: str, elsewhere: Path) -> None:
    scenario_file(elsewhere / "verdict.py", attributes="expects = {'fcntl': 'broken'}")
    scenario_file(elsewhere / "worlds.py", attributes="worlds = frozenset({'explore'})")
    assert said in refusal(2, "race", *args.split())


def test_a_worker_that_raises_before_the_start_ends_with_4(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", attributes="def start(self, w):\n    raise KeyError('start')")
    assert "worker 0 raised KeyError: 'start'" in failed(4, mine, *ONE)
