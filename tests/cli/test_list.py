from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.locks.ready import READY
from lab.locks.registry import OWN
from lab.scenario import find_scenarios
from lab.scenario.find import counterexample_names
from tests.cli.commands import other_package
from tests.helpers import ROOT, run_lab

LOCKS = [*OWN, *READY]
BACKINGS = ["mapped", "private", "stream", "remapped", "remapped_stream", "sysv", "posix", "anonymous"]


def entries(*args: str | Path, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """What `list --json` says."""
    done = run_lab("list", "--json", *args, env=env)
    assert done.returncode == 0, done.stderr
    made: list[dict[str, Any]] = json.loads(done.stdout)
    return made


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return entries("--dir", tmp_path_factory.mktemp("place"))


def of_group(listed: list[dict[str, Any]], group: str) -> list[str]:
    return [entry["name"] for entry in listed if entry["group"].startswith(group)]


def test_all_scenarios_are_listed(listed: list[dict[str, Any]]) -> None:
    names = [name for name in of_group(listed, "scenarios") + of_group(listed, "counterexamples") if ":" not in name]
    assert sorted(names) == sorted(path.stem for path in (ROOT / "scenarios").glob("*.py"))


def test_those_that_a_lock_fixes_are_the_default_set(listed: list[dict[str, Any]]) -> None:
    assert of_group(listed, "scenarios (the default set)") == [found.name for found in find_scenarios([])]


def test_counterexamples_are_listed_with_their_fixes(listed: list[dict[str, Any]]) -> None:
    counterexamples = of_group(listed, "counterexamples (locked, and broken all the same; --counterexamples)")
    assert [name for name in counterexamples if ":" not in name] == counterexample_names()
    assert "short_range:fixed" in counterexamples


def test_the_four_locks_the_ready_ones_and_all_backings_are_listed(listed: list[dict[str, Any]]) -> None:
    assert of_group(listed, "locks") == LOCKS
    assert of_group(listed, "backings") == BACKINGS


def test_every_entry_has_a_summary_of_one_line(listed: list[dict[str, Any]]) -> None:
    assert [entry["name"] for entry in listed if not entry["summary"] or "\n" in entry["summary"]] == []


def test_what_works_here_says_so(listed: list[dict[str, Any]]) -> None:
    assert {entry["works"] for entry in listed} == {True}
    assert {entry["trouble"] for entry in listed} == {""}


def test_what_does_not_work_in_a_directory_says_why_and_the_list_goes_on() -> None:
    listed = entries("--dir", "missing")
    troubled = [entry["name"] for entry in listed if not entry["works"]]
    assert troubled == [*LOCKS, *BACKINGS]
    assert {"missing: cannot make a file there" in entry["trouble"] for entry in listed if entry["trouble"]} == {True}


def test_people_get_a_line_each_under_five_headings(listed: list[dict[str, Any]]) -> None:
    done = run_lab("list")
    headings = [line for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert [heading.split()[0] for heading in headings] == [
        "scenarios",
        "counterexamples",
        "locks",
        "backings",
        "recorder",
    ]
    told = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert told == [entry["name"] for entry in listed]


def test_people_are_told_what_does_not_work_beside_it() -> None:
    done = run_lab("list", "--dir", "missing")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  flock ")]
    assert line.endswith(
        "[not here: missing: cannot make a file there (No such file or directory); give another --dir]"
    )


def test_a_lock_of_another_package_is_listed_last(tmp_path: Path) -> None:
    listed = entries(env=other_package(tmp_path / "site"))
    assert of_group(listed, "locks") == [*LOCKS, "liar"]
    assert [entry["summary"] for entry in listed if entry["name"] == "liar"] == ["a lock of another package"]


def test_a_lock_that_is_refused_here_says_so(tmp_path: Path) -> None:
    listed = entries(env=other_package(tmp_path / "site", 37))
    (liar,) = [entry for entry in listed if entry["name"] == "liar"]
    assert liar["works"] is False
    assert "No locks available" in liar["trouble"]


def test_trying_leaves_nothing_in_the_directory(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    entries("--dir", place)
    assert list(place.iterdir()) == []


def test_trying_changes_nothing_outside_it(elsewhere: Path) -> None:
    entries()
    assert list(elsewhere.iterdir()) == []


def test_what_a_lock_claims_is_told_with_it(listed: list[dict[str, Any]]) -> None:
    (fasteners,) = [entry["summary"] for entry in listed if entry["name"] == "fasteners"]
    assert fasteners.endswith("(keeps a forked child out, freed by a kill)")


def test_a_lock_whose_package_is_missing_or_broken_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "filelock.py").write_text("raise ModuleNotFoundError('No module named filelock', name='filelock')")
    (tmp_path / "portalocker.py").write_text("raise RuntimeError('built for another machine')")
    listed = entries(env={"PYTHONPATH": str(tmp_path)})
    trouble = {entry["name"]: entry["trouble"] for entry in listed if entry["trouble"]}
    assert list(trouble) == ["filelock", "filelock-soft", "filelock-rw", "portalocker", "portalocker-rlock"]
    assert trouble["filelock"].endswith("needs the Python package filelock; pip install 'lock-race-lab[locks]'")
    assert "(RuntimeError: built for another machine); reinstall it" in trouble["portalocker"]


def test_trying_the_locks_leaves_nothing_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    entries("--dir", tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
