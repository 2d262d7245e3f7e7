"""The races that a lock fixes: one preemption breaks each without a lock, no schedule does under it.

Whether a lock fixes them is explored, over simulated bytes, so that it is the same in every run; the races on the
kernel are there for what the model leaves out.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lab.exploring.case import Case
from lab.exploring.run import explore
from lab.records import ExploredCase
from lab.scenario import Found, find_scenarios
from tests.helpers import ROOT, race
from tests.report.explored_records import asked

DAMAGE = {
    "counter": "lost update",
    "torn_record": "torn record of 256 bytes",
    "bank": "balance off",
    "append_log": "lost record",
    "ring_queue": "item lost",
    "readers_writers": "half-written read",
    "overlap": "foreign bytes in a held range",
    "linked_list": "lost node",
    "sparse_pages": "lost mark",
}
SCHEDULES = {"counter": 10}
"""Within how many schedules each breaks at the latest; the others within 20."""

default_set = pytest.mark.parametrize("found", find_scenarios([]), ids=lambda found: found.name)
every_lock = pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])


def explored(found: Found, lock: str, workers: int = 2, rounds: int = 2, search: str = "auto") -> ExploredCase:
    """What every interleaving of so many workers and rounds comes to."""
    return explore(Case(found, lock, workers, rounds), asked(search=search))


@default_set
def test_one_preemption_breaks_it_without_a_lock(found: Found) -> None:
    case = explored(found, "none")
    assert (case.verdict, case.preemptions, case.as_expected) == ("broken", 1, True)
    assert case.schedules <= SCHEDULES.get(found.name, 20)
    assert DAMAGE[found.name] in {damage.kind for damage in case.damage}
    assert case.headline.startswith(f"{DAMAGE[found.name]}: ")


@default_set
def test_without_a_preemption_it_holds_even_without_a_lock(found: Found) -> None:
    case = explore(Case(found, "none", 2, 3), asked(search="bound", preemptions=0))
    assert (case.verdict, case.bound, case.broken_schedules) == ("holds", 0, 0)


def test_a_record_of_4096_bytes_tears_too() -> None:
    (found,) = find_scenarios(["torn_record"])
    case = explore(Case(found, "none", 2, 3), asked(), frozenset({"torn record of 4096 bytes"}))
    assert (case.verdict, case.preemptions) == ("broken", 1)
    assert case.schedules <= 20


@default_set
@every_lock
def test_every_schedule_holds_under_every_lock(found: Found, lock: str) -> None:
    case = explored(found, lock)
    assert (case.verdict, case.exhausted, case.as_expected) == ("holds", True, True)
    assert case.schedules >= 6


@default_set
@every_lock
@pytest.mark.parametrize(("workers", "rounds"), [(2, 3), (3, 1)])
def test_every_state_of_more_rounds_and_of_more_workers_holds_too(
    found: Found, lock: str, workers: int, rounds: int
) -> None:
    case = explored(found, lock, workers, rounds, "states")
    assert (case.verdict, case.exhausted) == ("holds", True)


@every_lock
def test_they_are_clean_on_the_kernel_under_every_lock(lock: str) -> None:
    names = [found.name for found in find_scenarios([])]
    code, run = race(*names, "--lock", lock, "--workers", "1,3", "--rounds", "30", "--trials", "2")
    rows = [[case[key] for key in ("scenario", "verdict", "reason", "operations")] for case in run["cases"]]
    assert rows == [[name, "clean", "", operations] for name in names for operations in (60, 180)]
    assert all(case["holds"] >= case["operations"] for case in run["cases"])
    assert all(case["overlapping_holds"] == 0 and case["unrecorded_holds"] == 0 for case in run["cases"])
    assert code == 0


@default_set
def test_it_announces_damage_only_without_a_lock(found: Found) -> None:
    scenario = found.kind()
    assert [scenario.expected(lock) for lock in ("none", "fcntl", "ofd", "flock")] == ["damaged"] + ["clean"] * 3
    assert not found.counterexample


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.py")), ids=lambda path: path.stem)
def test_only_counterexamples_about_files_touch_the_operating_system(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {"os"} if path.stem in ("closed_descriptor", "replaced_file") else set()
    assert not names & {"os", "mmap", "fcntl", "signal", "subprocess"} - allowed


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.py")), ids=lambda path: path.stem)
def test_a_scenario_is_short_enough_to_read_and_starts_with_its_summary(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()[0]) <= 120
    assert len(text.splitlines()) <= 90
