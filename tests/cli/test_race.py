"""Every option of `race` has its effect."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from lab.gallery import counterexample_names
from lab.scenario import find_scenarios
from tests.cli.commands import QUICK, SHORT, document, hand_over, lines, other_package, scenario_file, unfolded
from tests.helpers import race, run_lab

DEFAULT_SET = [found.name for found in find_scenarios([])]


def cases(*args: str | Path) -> list[dict[str, Any]]:
    """The cases of a quick race with these arguments."""
    _, made = race(*(SHORT if "--workers" in args else QUICK), *args)
    return list(made["cases"])


def test_without_names_the_default_set_races_unlocked_and_locked() -> None:
    rows = [(case["scenario"], case["lock"]) for case in cases()]
    assert rows == [(name, lock) for name in DEFAULT_SET for lock in ("none", "fcntl")]


def test_the_named_scenarios_race_in_the_order_given() -> None:
    assert [case["scenario"] for case in cases("bank", "counter", "--unlocked")] == ["bank", "counter"]


def test_counterexamples_come_beside_what_is_named() -> None:
    asked = document(run_lab("race", *QUICK, "counter", "--counterexamples", "--locked", "--json", "-").stdout)[
        "options"
    ]
    assert asked["scenarios"][:2] == ["counter", "short_range"]
    assert len([name for name in asked["scenarios"] if ":" not in name]) == 1 + len(counterexample_names())


@pytest.mark.parametrize(
    ("options", "locks"),
    [
        (["--locked"], ["fcntl"]),
        (["--unlocked"], ["none"]),
        (["--lock", "ofd", "--lock", "flock"], ["ofd", "flock"]),
        (["--locked", "--unlocked", "--lock", "fcntl"], ["fcntl", "none"]),
        ([], ["none", "fcntl"]),
    ],
)
def test_the_locks_asked_for_make_the_rows(options: list[str], locks: list[str]) -> None:
    assert [case["lock"] for case in cases("counter", *options)] == locks


def test_a_race_that_is_too_weak_for_what_was_asked_is_inconclusive(elsewhere: Path) -> None:
    done = run_lab("race", "counter", *SHORT, "--workers", "1", "--detects", "1/1000", "--json", "run.json")
    assert done.returncode == 3
    line, following = done.stderr.splitlines()
    assert following.startswith("lab: next: lab race counter --lock fcntl ")
    assert line.startswith(
        "lab: counter under fcntl, 1 worker: inconclusive: no request met a holder; --detects 0.001 "
    )
    unlocked, locked = document((elsewhere / "run.json").read_text())["cases"]
    assert (unlocked["verdict"], locked["verdict"]) == ("clean", "inconclusive")
    again = run_lab("report", "run.json")
    assert again.stderr == done.stderr


def test_a_race_that_is_strong_enough_for_what_was_asked_ends_with_0() -> None:
    (case,) = cases("append_log", "--locked", "--rounds", "500", "--detects", "0.9")
    assert case["verdict"] == "clean"
    assert 0 < case["detection_limit"] < 0.9


def test_the_files_lie_in_the_directory_that_is_named_and_go_with_the_run(tmp_path: Path) -> None:
    there, note = tmp_path / "there", tmp_path / "note"
    there.mkdir()
    mine = scenario_file(tmp_path / "mine.py", "(HERE / 'note').write_text(w.path)")
    code, made = race(mine, "--workers", "1", "--trials", "1", "--dir", there)
    assert code == 0
    assert made["options"]["directory"] == str(there)
    assert Path(note.read_text()).parent.parent == there
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("pin", ["one", "spread", "none"])
def test_the_workers_run_where_pin_says(pin: str, tmp_path: Path) -> None:
    mine = scenario_file(
        tmp_path / "mine.py", "(HERE / f'{w.index}').write_text(repr(sorted(os.sched_getaffinity(0))))"
    )
    _, made = race(mine, "--workers", "2", "--trials", "1", "--pin", pin)
    allowed = sorted(os.sched_getaffinity(0))
    where = {"one": [allowed[:1]] * 2, "spread": [allowed[:1], allowed[1:2] or allowed[:1]], "none": [allowed] * 2}
    assert [(tmp_path / str(index)).read_text() for index in (0, 1)] == [repr(cpus) for cpus in where[pin]]
    assert (made["options"]["pin"], made["cases"][0]["pin"]) == (pin, pin)


def test_a_lock_that_always_leaks_lets_two_in(tmp_path: Path) -> None:
    code, made = race(hand_over(tmp_path / "mine.py"), "--leak", "1", "--workers", "2", "--trials", "1")
    (case,) = made["cases"]
    assert code == 1
    assert case["overlapping_holds"] == 1
    assert case["reason"] == "conflicting holds overlapped, 1 time, though no data broke this time"


def test_a_run_for_people_is_a_heading_a_table_and_a_sentence_a_lock() -> None:
    done = run_lab("race", "counter", *QUICK)
    heading, table, *rest = unfolded(done.stdout).split("\n\n")
    assert " CPython " in f" {heading}"
    assert "2 workers, 1 trial a case, seed 0" in heading
    assert table.split()[:4] == ["scenario", "lock", "verdict", "corrupted"]
    assert [line.split(":")[0] for line in lines(rest[0])][:2] == ["none", "fcntl"]
    assert done.stderr == ""


def test_csv_is_one_table_of_plain_numbers_and_costs_are_further_tables() -> None:
    done = run_lab("race", "counter", "--rounds", "600", "--trials", "1", "--workers", "2", "--format", "csv")
    first, second = csv.DictReader(done.stdout.splitlines())
    assert (first["lock"], second["lock"], second["damaged"], second["operations"]) == ("none", "fcntl", "0", "1200")
    assert float(second["slowdown"]) > 0
    assert all(None not in row and None not in row.values() for row in (first, second))
    github = run_lab("race", "counter", *QUICK, "--format", "github", "--cost").stdout
    assert all(line.startswith("|") and line.endswith("|") for line in lines(github))
    assert github.count("| scenario") == 3


def test_a_race_is_written_as_junit_and_its_documents_are_reported_with_their_costs(tmp_path: Path) -> None:
    broken = scenario_file(tmp_path / "mine.py", check="return Damage('odd', 1, 2)")
    made = ("--junit", "race.xml", "--json", "race.json")
    done = run_lab("race", broken, *QUICK, *made, cwd=tmp_path)
    assert (done.returncode, (tmp_path / "race.xml").read_text().count("<failure ")) == (1, 1)
    line = done.stderr.splitlines()[-1]
    assert line.startswith("lab: next: lab race mine.py --lock fcntl ")
    assert line.endswith(" --explain")
    assert "ops/s" in run_lab("report", "race.json", "--cost", cwd=tmp_path).stdout


def test_a_lock_of_another_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    there = other_package(tmp_path / "site")
    done = run_lab("race", "counter", "--lock", "liar", "--faults", "none", *QUICK, "--json", "-", env=there)
    (case,) = document(done.stdout)["cases"]
    assert (case["lock"], case["holds"]) == ("liar", 40)


def test_a_scenario_of_ones_own_races_from_a_file_with_its_fixed_variant(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", syntax="\n\nclass Fixed(Scripted):\n    '''Fixed.'''\n")
    code, made = race(mine, "--workers", "1", "--trials", "1")
    assert code == 0
    assert [case["scenario"] for case in made["cases"]] == ["mine", "mine:fixed"]


def test_a_scenario_that_takes_no_lock_is_said_to_show_nothing_about_the_lock(tmp_path: Path) -> None:
    done = run_lab("race", scenario_file(tmp_path / "mine.py"), *QUICK)
    assert "clean in 1 case, but no hold was recorded: that shows nothing about the lock" in unfolded(done.stdout)


def test_workers_rounds_and_trials_make_rows_and_operations(tmp_path: Path) -> None:
    rows = cases("counter", "--locked", "--workers", "1,3,2", "--rounds", "7", "--trials", "4")
    assert [(case["workers"], case["operations"]) for case in rows] == [(1, 28), (3, 84), (2, 56)]
    assert [trial["operations"] for trial in rows[1]["trial_samples"]] == [21] * 4
    _, made = race(scenario_file(tmp_path / "mine.py", attributes="rounds = 17"), "--workers", "2", "--trials", "1")
    assert (made["options"]["rounds"], made["cases"][0]["operations"]) == (None, 34)


def test_the_same_seed_draws_the_same_and_another_draws_others(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "(HERE / f'{w.index}').write_text(str(w.random.random()))")

    def drawn(seed: str) -> list[str]:
        _, made = race(mine, "--workers", "2", "--trials", "1", "--seed", seed)
        assert made["options"]["seed"] == int(seed)
        return [(tmp_path / name).read_text() for name in "01"]

    assert drawn("5") == drawn("5") != drawn("6")


@pytest.mark.parametrize(
    ("options", "said", "proxy", "window", "leak"),
    [
        ("", "", "Memory", 0, 0),
        ("--window 1500", "race window widened by 1,500 ns before every store", "MemoryProxy", 1500, 0),
        ("--leak 0.001", "NEGATIVE CONTROL: locks grant falsely with probability 0.001", "Memory", 0, 0.001),
    ],
)
def test_a_window_and_a_leak_have_their_effect_and_are_printed_and_recorded(
    options: str, said: str, proxy: str, window: int, leak: float, tmp_path: Path
) -> None:
    mine = scenario_file(tmp_path / "mine.py", "(HERE / f'note').write_text(type(w.memory).__name__)")
    how = ("--workers", "1", "--trials", "1", *options.split())
    printed = lines(unfolded(run_lab("race", mine, *how).stdout))[0]
    assert said in printed
    assert said or ("window" not in printed and "NEGATIVE" not in printed)
    assert (tmp_path / "note").read_text() == proxy
    _, made = race(mine, *how)
    assert (made["options"]["window_ns"], made["options"]["leak"]) == (window, leak)


@pytest.mark.parametrize(("work", "code", "said"), [("pass", 0, ""), ("1 / 0", 4, "ZeroDivisionError")])
def test_quiet_prints_nothing_on_stdout_and_what_went_wrong_on_stderr(
    work: str, code: int, said: str, tmp_path: Path
) -> None:
    done = run_lab("race", scenario_file(tmp_path / "mine.py", work), *QUICK, "--quiet")
    assert (done.returncode, done.stdout, bool(done.stderr)) == (code, "", bool(said))
    assert said in done.stderr
