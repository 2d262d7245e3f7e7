"""Faults that are made while scenarios race: each breaks a lock that cannot stand it, and none of the others."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.racing import cases_of
from lab.racing.faults import FAULTS, find_fault, judged, shut_out
from lab.records import Case, Failure
from lab.scenario import Found
from tests.helpers import PATIENCE_S, in_fresh_process
from tests.racing.fault_locks import OPTIONS, Slow, row_with
from tests.report.records import CLEAN

KILLED, DIED, STOPPED = "holder killed", "waiter killed", "holder stopped 1 s"
SIGNALLED, ISOLATED = "waiter signalled", "own pid namespace"
BROKEN = {
    (KILLED, "Enters"): ("damaged", "after a holder was killed"),
    (KILLED, "lockfile"): ("timeout", r"nobody was let in for [\d.]+ s after a holder was killed"),
    (KILLED, "GivesUp"): ("timeout", "nobody was let in"),
    (DIED, "Queue"): ("timeout", r"nobody was let in for [\d.]+ s after a waiter was killed"),
    (STOPPED, "Impatient"): ("damaged", "after the holder had been stopped for 0.3 s"),
    (SIGNALLED, "Careless"): ("damaged", "after a waiter was signalled"),
}
SOUND = [
    *((fault, lock) for fault in (KILLED, DIED, STOPPED, SIGNALLED) for lock in ("fcntl", "Survives")),
    (SIGNALLED, "Careful"),
    (STOPPED, "GivesUp"),
]


def names(locks: str, wanted: str, workers: int = 3) -> list[str]:
    options = replace(OPTIONS, locks=locks.split(), faults=wanted, workers=[workers])
    faults = [case.setting.fault for case in cases_of([Found("slow", Slow, "")], options)]
    return [fault.name if fault else "-" for fault in faults]


SHORT = [fault.name for fault in FAULTS if fault.target == "lock" and not fault.long]
EVERY = [fault.name for fault in FAULTS if fault.target == "lock"]


@pytest.mark.parametrize(
    ("locks", "faults", "rows"),
    [
        ("tests.racing.fault_locks:Careful", "", ["-", *SHORT]),
        ("tests.racing.fault_locks:Careful", "none", ["-"]),
        ("tests.racing.fault_locks:Careful", "long", ["-", *EVERY]),
        ("fcntl", "", ["-"]),
        ("lockfile", "", ["-"]),
        ("none fcntl", "short", ["-", "-", *SHORT]),
    ],
)
def test_a_lock_of_the_user_has_a_row_for_each_short_fault_and_the_lab_s_own_when_asked(
    locks: str, faults: str, rows: list[str]
) -> None:
    assert names(locks, faults) == rows
    assert names(locks, faults, workers=1) == ["-"] * len(locks.split())  # alone it never waits


def test_faults_without_a_lock_or_of_another_name_are_refused() -> None:
    with pytest.raises(UsageError, match="--faults: without a lock nobody holds or waits"):
        names("none", "short")
    with pytest.raises(UsageError, match="--faults: 'some' is none of none, short, long"):
        names("fcntl", "some")


@pytest.mark.parametrize(("fault", "lock"), BROKEN)
def test_each_fault_breaks_a_lock_that_cannot_stand_it(fault: str, lock: str, tmp_path: Path) -> None:
    row = in_fresh_process(row_with, lock, fault, str(tmp_path))
    verdict, reason = BROKEN[fault, lock]
    assert (row["fault"], row["verdict"], row["left"]) == (fault, verdict, [])
    assert re.search(reason, row["reason"])
    assert row["faults_made"] > 0
    assert bool(row["overlapping_holds"]) == (verdict == "damaged")


@pytest.mark.parametrize(("fault", "lock"), SOUND)
def test_no_fault_breaks_a_lock_that_stands_it(fault: str, lock: str, tmp_path: Path) -> None:
    row = in_fresh_process(row_with, lock, fault, str(tmp_path), PATIENCE_S)
    assert (row["verdict"], row["reason"], row["overlapping_holds"], row["left"]) == ("clean", "", 0, [])
    assert row["faults_made"] == 1 if fault == STOPPED else row["faults_made"] > 0
    assert row["data_checked"] == (fault in (STOPPED, SIGNALLED))
    assert row["gave_up"] > 0 if lock == "GivesUp" else row["gave_up"] == 0


@pytest.mark.needs("pid_namespaces")
def test_equal_process_ids_break_a_lock_that_trusts_them(tmp_path: Path) -> None:
    row = in_fresh_process(row_with, "Numbered", ISOLATED, str(tmp_path))
    assert (row["verdict"], row["faults_made"] > 0) == ("damaged", True)
    assert in_fresh_process(row_with, "fcntl", ISOLATED, str(tmp_path))["verdict"] == "clean"


FAILED = Failure(trial=0, worker=1, round=2, how="raised", reason="raised LockFailed")
SEEN = replace(CLEAN, fault=KILLED, faults_made=9)


@pytest.mark.parametrize(
    ("row", "verdict", "reason"),
    [
        (SEEN, "clean", ""),
        (replace(SEEN, faults_made=0), "inconclusive", "not tried: in 1,000 rounds no worker held the lock"),
        (
            replace(SEEN, verdict="died", overlapping_holds=1, failures=[FAILED]),
            "damaged",
            "conflicting holds overlapped, once, after a holder was killed; then worker 1 raised LockFailed",
        ),
        (replace(SEEN, verdict="died", reason="it raised", failures=[FAILED]), "died", "it raised"),
        (replace(SEEN, verdict="unsupported", reason="no room"), "unsupported", "not tried: no room"),
    ],
)
def test_overlaps_are_the_cause_where_a_worker_fails_too(row: Case, verdict: str, reason: str) -> None:
    found = judged(row, find_fault("lock", KILLED), 2.0)
    assert (found.verdict, found.reason[: len(reason)]) == (verdict, reason)


@pytest.mark.parametrize(
    ("granted", "gave_up", "failed"), [([5, 20], 1, False), ([5], 1, True), ([5], 0, False), ([], 9, True)]
)
def test_a_lock_that_gives_up_shuts_out_if_nobody_is_let_in_after_the_last_death(
    granted: list[int], gave_up: int, failed: bool
) -> None:
    rows = [(at, at + 1, at - 1, 0, 1) for at in granted]
    assert bool(shut_out(0, [(1, 4), (2, 10)], rows, gave_up)) is failed
