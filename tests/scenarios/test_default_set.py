"""The nine races that a lock cures: broken by one hand-over without a lock, by none under it, clean on the kernel."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lab.scenario import Found, find_scenarios
from tests.helpers import ROOT, race
from tests.scenarios.scripted import hand_overs

NINE = [
    "counter",
    "torn_record",
    "bank",
    "append_log",
    "ring_queue",
    "readers_writers",
    "overlap",
    "linked_list",
    "sparse_pages",
]
DAMAGE = {
    "counter": "lost update",
    "torn_record": "torn record of 64 bytes",
    "bank": "balance off",
    "append_log": "lost record",
    "ring_queue": "item lost",
    "readers_writers": "half-written read",
    "overlap": "foreign bytes in a held region",
    "linked_list": "lost node",
    "sparse_pages": "lost mark",
}
ROUNDS = 3

default_set = pytest.mark.parametrize("found", find_scenarios([]), ids=lambda found: found.name)


def test_the_default_set_is_the_nine_in_the_order_of_teaching() -> None:
    assert [found.name for found in find_scenarios([])] == NINE


@default_set
def test_one_hand_over_breaks_it_without_a_lock(found: Found) -> None:
    kinds = {kind for damage in hand_overs(found.kind, ROUNDS, locked=False) for kind in damage}
    assert DAMAGE[found.name] in kinds


@default_set
def test_no_hand_over_breaks_it_under_its_locks(found: Found) -> None:
    schedules = list(hand_overs(found.kind, ROUNDS, locked=True))
    assert len(schedules) >= ROUNDS
    assert not any(schedules)


@default_set
@pytest.mark.parametrize("lock", ["fcntl", "ofd", "flock"])
def test_it_is_clean_on_the_kernel_under_every_lock(found: Found, lock: str) -> None:
    code, run = race(found.name, "--lock", lock, "--workers", "1,3", "--rounds", "30", "--trials", "2")
    assert [(case["verdict"], case["reason"]) for case in run["cases"]] == [("clean", "")] * 2
    assert [case["operations"] for case in run["cases"]] == [60, 180]
    assert all(case["holds"] >= case["operations"] for case in run["cases"])
    assert all(case["overlapping_holds"] == 0 and case["unrecorded_holds"] == 0 for case in run["cases"])
    assert code == 0


@default_set
def test_it_announces_damage_only_without_a_lock(found: Found) -> None:
    scenario = found.kind()
    assert [scenario.expected(lock) for lock in ("none", "fcntl", "ofd", "flock")] == ["damaged"] + ["clean"] * 3
    assert not found.lesson


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.py")), ids=lambda path: path.stem)
def test_only_lessons_about_files_touch_the_operating_system(path: Path) -> None:
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
