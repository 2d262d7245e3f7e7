"""The lab's scenarios, watched as they race: nothing is said where a lock protects them, else the line that races."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import EXHAUSTIVE, run_lab

pytestmark = [pytest.mark.needs("compiled"), pytest.mark.needs("accesses")]

RACE = ("--workers", "2", "--rounds", "3", "--trials", "1", "--no-explore", "--quiet", "--dir", ".")

BROKEN = {
    "short_range": "no lock",
    "closed_descriptor": "dropped by a close",
    "threads": "locked twice",
    "forked_holder": "not inherited by a fork",
    "replaced_file": "locked a replaced file",
    "check_then_lock": "looked before the lock",  # ctypes loads what it then stores, which is a second look
    "opposite_order": "opposite order",
    "killed_holder": "died inside",
}
"""The counterexamples that break though they are locked by fcntl, and what is said of each."""


def watched(folder: Path, *race: str) -> set[tuple[str, str]]:
    """Return the causes of a race, each with the scenario that it was found in; notes too."""
    command = ("watch", "--level", "accesses", "--json", "-", "--", sys.executable, "-m", "lab", "race")
    ended = run_lab(*command, *race, *RACE, cwd=folder)
    found: list[dict[str, Any]] = json.loads(ended.stdout)["findings"]
    return {
        (each["cause"], call["place"].partition(".py:")[0]) for each in found for call in each["calls"] if call["place"]
    }


def defaults() -> set[str]:
    return {each["name"] for each in json.loads(run_lab("list", "--json", "-").stdout) if "default" in each["group"]}


def test_each_scenario_without_a_lock_is_reported_at_its_lines(tmp_path: Path) -> None:
    assert watched(tmp_path, "--lock", "none") == {("no lock", name) for name in defaults()}


def test_no_scenario_under_a_lock_that_protects_it_is_reported(tmp_path: Path) -> None:
    assert watched(tmp_path, "--lock", "fcntl,ofd,flock") == set()


def test_a_scenario_that_breaks_though_it_is_locked_is_reported_for_why_and_its_fixed_form_is_not(
    tmp_path: Path,
) -> None:
    """Without LAB_EXHAUSTIVE=1 some of them, since each is a race of its own."""
    some = {name: cause for name, cause in BROKEN.items() if EXHAUSTIVE or name in ("short_range", "closed_descriptor")}
    fixed = ["short_range:fixed", "check_then_lock:fixed"]
    found = watched(tmp_path, *(["--counterexamples"] if EXHAUSTIVE else [*some, *fixed]), "--lock", "fcntl")
    assert {(cause, name) for name, cause in some.items()} <= found
    assert {name for _, name in found} == {*some}
