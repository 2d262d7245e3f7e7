from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lab.checking.stress.wording import NO_ROOM, REMEDIES, with_reasons_of_check, worded
from lab.records import Failure
from tests.helpers import ROOT
from tests.report.checked_records import case

HERE = [Path("/mnt/a/lab-check-7-1f"), Path("/mnt/b/lab-check-7-1f")]


@pytest.mark.parametrize(
    "reason",
    [
        "/mnt/a/lab-check-7-1f: cannot make a file of 53,224 bytes (No space left on device); free some",
        "/mnt/a/lab-check-7-1f: cannot make a file of 53,224 bytes (Disk quota exceeded); free some",
        "worker 0 was killed by SIGBUS: the filesystem had no room for a page of the file (no space), in round 12",
    ],
)
def test_a_filesystem_without_room_is_one_cause_whatever_came_upon_it(reason: str) -> None:
    assert worded(reason, HERE) == NO_ROOM


def test_a_folder_of_the_check_is_told_as_the_place_that_was_given() -> None:
    assert worded(f"{HERE[1]}: does not show a file made in {HERE[0]} (Stale file handle)", HERE) == (
        "/mnt/b: does not show a file made in /mnt/a (Stale file handle)"
    )


def test_the_reason_of_a_row_and_of_its_failures_are_told_so() -> None:
    failure = Failure(0, 1, 0, "raised", f"raised OSError: {HERE[0]}/x")
    row = with_reasons_of_check(case(reason=f"worker 1 raised OSError: {HERE[0]}/x", failures=[failure]), HERE)
    assert (row.reason, row.failures[0].reason) == ("worker 1 raised OSError: /mnt/a/x", "raised OSError: /mnt/a/x")
    assert replace(row, reason="", failures=[]) == case()


@pytest.mark.parametrize("theirs", [theirs for theirs, _ in REMEDIES])
def test_what_race_advises_comes_from_the_lab_and_is_told_as_a_check_can_do_it(theirs: str) -> None:
    folders = [ROOT / "lab" / name for name in ("racing", "memory", "locking")]
    sources = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    assert any(theirs in source for source in sources)
    told = worded(f"lock fcntl: refused; {theirs}", HERE)
    assert not re.search(r"--(dir|lock|rounds)", told)
    assert told.startswith("lock fcntl: refused; ")
