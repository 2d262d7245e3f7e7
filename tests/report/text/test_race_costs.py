"""The sentences about what locks cost, and the lines to type next."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from lab.output import lab_command
from lab.records import Case, Trial
from lab.report.text.race_again import race_line
from lab.report.text.race_verdict import costs
from tests.report.records import BROKEN_BY_FAULT, CLEAN, MINE, OPTIONS, TRIAL, UNLOCKED, run_of


def timed(case: Case, *speeds: int, **changed: Any) -> Case:
    """The case with a trial at each of these speeds, in operations a second."""
    trials: list[Trial] = [replace(TRIAL, wall_ns=10**9 // speed, operations=1) for speed in speeds]
    changed = {"trial_samples": trials, "operations_per_s": sum(speeds) / len(speeds), **changed}
    return replace(case, **changed)


FREE = timed(UNLOCKED, 900, 1000, 1100)
APART, MIXED = timed(CLEAN, 400, 500, 600), timed(CLEAN, 400, 500, 1000)
OFD = replace(timed(CLEAN, 200, 250, 300), lock="ofd")
BANK: dict[str, Any] = {"scenario": "bank"}


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([FREE, APART], ["fcntl: an operation took 2.0 times as long as without a lock."]),
        ([FREE, MIXED], []),
        ([APART], []),
        ([timed(UNLOCKED, 900, 1000), timed(CLEAN, 400, 500)], []),
        (
            [FREE, APART, replace(FREE, **BANK), timed(CLEAN, 100, 200, 300, **BANK)],
            ["fcntl: an operation took 2.0 times (counter) to 5.0 times (bank) as long as without a lock."],
        ),
        (
            [FREE, APART, replace(FREE, **BANK), replace(MIXED, **BANK)],
            [
                "fcntl: an operation took 2.0 times as long as without a lock; "
                "in 1 case the trials do not differ enough to say."
            ],
        ),
        (
            [FREE, APART, OFD],
            [
                "fcntl: an operation took 2.0 times as long as without a lock.",
                "ofd: an operation took 4.0 times as long as without a lock.",
                "fcntl was the fastest lock: 2.0 times as fast as ofd.",
            ],
        ),
        ([APART, replace(MIXED, lock="ofd")], []),
        ([APART, OFD, replace(APART, **BANK), replace(APART, lock="ofd", **BANK)], []),
        ([FREE, replace(APART, fault="holder killed")], []),
    ],
)
def test_what_a_lock_costs_is_said_where_all_trials_agree(cases: list[Case], said: list[str]) -> None:
    assert list(costs(run_of(*cases))) == said


@pytest.mark.parametrize("changed", [{"window_ns": 100}, {"leak": 0.1}])
def test_nothing_is_said_of_costs_where_the_race_was_changed(changed: dict[str, Any]) -> None:
    assert list(costs(run_of(FREE, APART, **changed))) == []


@pytest.mark.parametrize(
    ("case", "options", "line"),
    [
        (CLEAN, {}, "counter --lock fcntl --dir /mnt --workers 2 --seed 7 --rounds 250"),
        (
            CLEAN,
            {"directory": "~/my files"},
            "counter --lock fcntl --dir ~/'my files' --workers 2 --seed 7 --rounds 250",
        ),
        (
            CLEAN,
            {"rounds": None, "files": {"counter": "a b.py"}},
            "'a b.py' --lock fcntl --dir /mnt --workers 2 --seed 7",
        ),
        (
            replace(MINE, lock="mine"),
            {"locks": ["mod:make"], "rounds": None, "window_ns": 5, "leak": 0.5, "pin": "one", "backings": ["sysv"]},
            "counter --lock mod:make --backing mapped --dir /mnt --workers 2 --seed 7 --pin one --window 5 --leak 0.5",
        ),
        (
            replace(CLEAN, program="add", programs=2),
            {"program": "./add {file}", "check": "sum.py", "rounds": None},
            "--program './add {file}' --check sum.py --dir /mnt --workers 2 --seed 7",
        ),
        (
            replace(CLEAN, program="add", programs=1),
            {"program": "./add", "program_workers": 1, "rounds": None},
            "counter --lock fcntl --program ./add --program-workers 1 --dir /mnt --workers 1 --seed 7",
        ),
        (
            BROKEN_BY_FAULT,
            {"rounds": None, "directories": ["a", "b"]},
            "counter --lock fcntl --dir a --dir b --workers 2 --seed 7",
        ),
    ],
)
def test_a_race_is_repeated_by_a_line_that_can_be_pasted(case: Case, options: dict[str, Any], line: str) -> None:
    assert race_line(case, replace(OPTIONS, **options)) == f"{lab_command()} race {line}"


def test_the_usual_directory_is_not_named_and_a_new_value_replaces_the_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/mnt")
    line = race_line(CLEAN, OPTIONS, "--rounds", "9")
    assert line.endswith("counter --lock fcntl --workers 2 --seed 7 --rounds 9")
    assert all(pair != ("--rounds", "250") for pair in pairwise(line.split()))
