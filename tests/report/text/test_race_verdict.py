"""The exit code of a race, and its sentences and complaints, in golden/race_verdict.txt."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from lab.records import Case, Damage, Failure, How, Run
from lab.report.text.failures import SHOWN
from lab.report.text.race_verdict import complaints, conclusions, exit_code, heading
from tests.golden import Golden, sections
from tests.report.explored_records import BROKEN, BROKEN_WHEN_EXPLORED, HOLDS, UNKNOWN
from tests.report.records import (
    BROKEN_BY_FAULT,
    CLEAN,
    COUNTEREXAMPLE,
    DAMAGED,
    DEADLY,
    DIED,
    HUNG,
    MINE,
    NOT_TRIED,
    REFUSED,
    SHUT_OUT,
    STOPPED,
    TOO_WEAK,
    TWO_IN,
    UNLOCKED,
    run_of,
)

NOT_RECORDED = replace(CLEAN, not_recorded="full")
CODES = {
    1: [DAMAGED, TWO_IN, BROKEN_WHEN_EXPLORED],
    4: [DIED, HUNG],
    3: [REFUSED, TOO_WEAK, NOT_RECORDED],
    0: [CLEAN, UNLOCKED, COUNTEREXAMPLE, replace(CLEAN, expected="damaged", explored=BROKEN)],
}
PRECEDENCE = [1, 4, 3, 0]


def raised(worker: int, trace: str = "Traceback\nValueError", reason: str = "raised ValueError") -> Failure:
    return Failure(trial=0, worker=worker, round=0, how="raised", reason=reason, trace=trace)


def failed(*reasons: str) -> Case:
    """Worker 0 failed for the first reason, worker 1 for the second, and so on."""
    return replace(DIED, failures=[raised(worker, "", reason) for worker, reason in enumerate(reasons)])


def waited(lock: str, how: How = "late", reason: str = "still at work, waiting for the lock") -> Case:
    return replace(DIED, lock=lock, workers=8, failures=[Failure(trial=0, worker=1, round=3, how=how, reason=reason)])


@pytest.mark.parametrize(("code", "case"), [(code, case) for code, cases in CODES.items() for case in cases])
def test_each_kind_of_case_has_its_exit_code_and_an_interrupted_run_130(code: int, case: Case) -> None:
    assert exit_code(run_of(case)) == code
    assert exit_code(run_of(CLEAN, case, CLEAN)) == code
    assert exit_code(run_of(case, interrupted=True)) == 130


@pytest.mark.parametrize(("first", "second"), list(combinations(PRECEDENCE, 2)))
def test_where_several_are_true_the_first_of_1_4_3_counts(first: int, second: int) -> None:
    for one in CODES[first]:
        for other in CODES[second]:
            assert exit_code(run_of(one, other)) == exit_code(run_of(other, one)) == first


@pytest.mark.parametrize(("case", "default", "asked"), [(SHUT_OUT, 0, 4), (NOT_TRIED, 0, 3), (BROKEN_BY_FAULT, 1, 1)])
def test_a_fault_that_broke_nothing_counts_only_where_it_was_asked_for(case: Case, default: int, asked: int) -> None:
    assert exit_code(run_of(MINE, case)) == default
    assert exit_code(run_of(MINE, case, faults="short")) == asked


@pytest.mark.parametrize(
    ("cases", "code"),
    [
        ([], 0),
        ([replace(DIED, damage=DAMAGED.damage, damaged=3)], 1),
        ([replace(CLEAN, expected="damaged")], 0),
        ([replace(DIED, expected="damaged", damage=DAMAGED.damage)], 4),
        ([replace(HUNG, expected="timeout")], 0),
    ],
    ids=[
        "no case",
        "damaged before a worker died",
        "stayed away",
        "died where damage was expected",
        "hung as expected",
    ],
)
def test_what_was_expected_decides_the_exit_code(cases: list[Case], code: int) -> None:
    assert exit_code(run_of(*cases)) == code


STAYED_AWAY = replace(COUNTEREXAMPLE, verdict="clean", damage=[], damaged=0)
PRIVATE = replace(DAMAGED, backing="private", shares=False, expected="damaged")
UNSHARED = replace(CLEAN, backing="private", shares=False)
TORN = Damage(kind="torn", count=1, of=9, evidence=["a", "b"])
BAD_LOCK = replace(REFUSED, verdict="died", reason="lock mine: acquire() raised X; fix the lock")
SYSV: dict[str, Any] = {"backing": "sysv"}

RUNS: dict[str, Run] = {
    # headings
    "a run without a trial": run_of(REFUSED, trials=0),
    "a widened window and a leak": run_of(CLEAN, window_ns=1500, leak=0.0001),
    "a backing that was asked for": run_of(CLEAN, backings=["sysv"]),
    "two backings that were asked for": run_of(CLEAN, backings=["mapped", "sysv"]),
    # conclusions
    "without a lock the broken cases are counted": run_of(
        UNLOCKED, replace(UNLOCKED, verdict="clean", expected="clean")
    ),
    "an inconclusive lock is neither clean nor broken": run_of(TOO_WEAK, detects=1e-3),
    "an inconclusive case beside a clean one": run_of(CLEAN, TOO_WEAK, detects=1e-3),
    "the holds and the power of all clean cases together": run_of(CLEAN, replace(CLEAN, contended_requests=1900)),
    "one request met a holder": run_of(replace(CLEAN, contended_requests=1)),
    "nobody waited": run_of(replace(CLEAN, contended_requests=0, detection_limit=None)),
    "no holds": run_of(replace(CLEAN, holds=0, contended_requests=0)),
    "a broken lock with its overlaps": run_of(CLEAN, TWO_IN),
    "damaged is never called clean": run_of(CLEAN, DAMAGED),
    "died is never called clean": run_of(CLEAN, DIED),
    "hung is never called clean": run_of(CLEAN, HUNG),
    "locks in the order of their rows": run_of(UNLOCKED, CLEAN, replace(CLEAN, lock="ofd"), CLEAN),
    "a counterexample says why once and nothing of its lock": run_of(
        COUNTEREXAMPLE, replace(COUNTEREXAMPLE, lock="ofd")
    ),
    "damage that stayed away": run_of(STAYED_AWAY),
    "damage that stayed away though the rounds were raised": run_of(
        replace(STAYED_AWAY, rounds=9000), raise_rounds=True
    ),
    "damage that came when the rounds were raised": run_of(replace(UNLOCKED, rounds=9000), raise_rounds=True),
    "damage that stayed away with some workers": run_of(STAYED_AWAY, replace(COUNTEREXAMPLE, workers=4)),
    "rounds that were not raised": run_of(UNLOCKED, replace(CLEAN, rounds=9000), raise_rounds=True),
    "scenarios that chose one CPU": run_of(replace(CLEAN, pin="one"), replace(CLEAN, scenario="bank", pin="one")),
    "a pin that the user chose": run_of(replace(CLEAN, pin="one"), pin="one"),
    "a case that did not run shared no CPU": run_of(replace(REFUSED, pin="one")),
    "holds that were not judged": run_of(replace(CLEAN, unrecorded_holds=5)),
    "invariants that were checked in the middle, and at the end only": run_of(
        UNLOCKED,
        replace(CLEAN, invariant_checks=1234),
        replace(CLEAN, lock="ofd", invariant_checks=1),
        replace(CLEAN, scenario="bank", invariant_checks=0),
        replace(UNLOCKED, holds=0, invariant_checks=0),
    ),
    "explorations of clean cases": run_of(
        replace(CLEAN, explored=HOLDS),
        replace(CLEAN, scenario="bank", explored=replace(HOLDS, exhausted=False, bound=2)),
        replace(CLEAN, scenario="overlap", explored=UNKNOWN),
        replace(CLEAN, lock="ofd", explored=UNKNOWN),
        replace(STAYED_AWAY, explored=BROKEN),
        BROKEN_WHEN_EXPLORED,
    ),
    "as expected: no complaint": run_of(CLEAN, UNLOCKED, COUNTEREXAMPLE, replace(CLEAN, expected="damaged")),
    # backings
    "locks backing by backing": run_of(UNLOCKED, CLEAN, replace(UNLOCKED, **SYSV), replace(CLEAN, **SYSV)),
    "one backing alone is not named": run_of(replace(UNLOCKED, **SYSV)),
    "a complaint names the unusual backing": run_of(replace(DAMAGED, **SYSV)),
    "unshared stores blame no lock": run_of(PRIVATE, replace(PRIVATE, lock="none", holds=0), UNSHARED),
    "unshared stores and nothing missed": run_of(UNSHARED),
    "a counterexample about a backing": run_of(replace(PRIVATE, why="MAP_PRIVATE copies.", counterexample=True)),
    "damage that stayed away without sharing": run_of(replace(UNSHARED, expected="damaged")),
    # complaints
    "all kinds of damage": run_of(replace(DAMAGED, damage=[*DAMAGED.damage, TORN])),
    "a leak that was asked for": run_of(TWO_IN, leak=0.001),
    "one refusal of two cases": run_of(REFUSED, replace(REFUSED, scenario="bank")),
    "two refusals": run_of(REFUSED, replace(REFUSED, reason="no room")),
    "the same failure of two workers": run_of(replace(DIED, failures=[raised(0), raised(2)])),
    "different tracebacks": run_of(replace(DIED, failures=[raised(0, "one"), raised(1, "two"), raised(2, "one")])),
    "each way to fail with its workers": run_of(
        failed(*(f"raised {'KeyError' if worker in (0, 5, 7) else 'ValueError'}" for worker in range(8)), "exited")
    ),
    "workers in a row": run_of(failed("exited", *["raised ValueError"] * 8)),
    "every other of a thousand": run_of(failed(*(f"raised ValueError: {worker % 2}" for worker in range(1000)))),
    "cases that failed for one reason": run_of(
        BAD_LOCK, replace(BAD_LOCK, scenario="bank"), replace(BAD_LOCK, reason="another"), DIED
    ),
    # what to do about a worker that failed
    "a lock that raised": run_of(waited("mine", "raised", "raised LockFailed: lock mine: acquire() raised X")),
    "late under a kernel lock": run_of(waited("fcntl")),
    "late under a lock that polls": run_of(waited("filelock")),
    "late under a user's lock": run_of(waited("mine")),
    "late elsewhere under a user's lock": run_of(waited("mine", "late", "still at work")),
    "ended under a user's lock": run_of(waited("mine", "killed", "exited with 0")),
    "ended under a kernel lock": run_of(waited("fcntl", "killed", "exited with 0")),
    # faults
    "faults that broke nothing": run_of(MINE, DEADLY, STOPPED, replace(DEADLY, scenario="bank", faults_made=1)),
    "faults that broke a lock": run_of(MINE, BROKEN_BY_FAULT, STOPPED, rounds=None, locks=["mine:lock"]),
    "a fault that shuts all others out": run_of(
        MINE, SHUT_OUT, faults="long", locks=["other:lock"], directories=["a", "b"]
    ),
    "trials that did not fit": run_of(MINE, STOPPED, trials=5, ordinary_s=7.0),
    "a fault that could not be made": run_of(MINE, NOT_TRIED),
}


def told(run: Run) -> str:
    """What is unusual in the heading, the conclusions, and each complaint behind a mark."""
    unusual = [part for part in heading(run).split("; ") if part not in heading(run_of(CLEAN))]
    return "\n".join([*unusual, *conclusions(run), *(f"! {line}" for line in complaints(run))])


def test_each_run_is_told_in_these_words(golden: Golden) -> None:
    golden(Path(__file__).parent / "golden" / "race_verdict.txt", sections({name: told(RUNS[name]) for name in RUNS}))


def test_a_heading_says_where_and_how() -> None:
    assert heading(run_of(CLEAN)) == "ext4 on Linux 6.18, 1 CPU, CPython 3.11.7; 2 workers, 2 trials a case, seed 7"


def test_a_thousand_failed_workers_are_not_all_told() -> None:
    each = failed(*(f"raised ValueError: {index}" for index in range(1000)))
    assert len(list(complaints(run_of(each)))) == 1 + SHOWN
