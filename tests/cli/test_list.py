from __future__ import annotations

import json
import re
from errno import ENOLCK
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.gallery import counterexample_names
from lab.locking import registry
from lab.locking.registry import OWN, READY
from lab.scenario import find_scenarios
from tests.cli.commands import other_package
from tests.helpers import ROOT, run_lab

LOCKS = [*OWN, *READY]
BACKINGS = ["mapped", "private", "stream", "remapped", "remapped_stream", "sysv", "posix", "anonymous"]


def entries(*args: str | Path, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """What `list --json` says."""
    done = run_lab("list", "--json", "-", *args, env=env)
    assert done.returncode == 0, done.stderr
    made: list[dict[str, Any]] = json.loads(done.stdout)
    return made


def of_group(listed: list[dict[str, Any]], group: str) -> list[str]:
    return [entry["name"] for entry in listed if entry["group"].startswith(group)]


def test_a_lock_whose_package_is_missing_or_broken_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "filelock.py").write_text("raise ModuleNotFoundError('No module named filelock', name='filelock')")
    (tmp_path / "portalocker.py").write_text("raise RuntimeError('built for another machine')")
    env = {"PYTHONPATH": str(tmp_path)}
    listed = entries(env=env)
    trouble = {entry["name"]: entry["trouble"] for entry in listed if entry["trouble"]}
    assert list(trouble) == ["filelock", "filelock-soft", "filelock-rw", "portalocker", "portalocker-rlock"]
    assert trouble["filelock"].endswith("needs the Python package filelock; pip install 'lock-race-lab[locks]'")
    assert "(RuntimeError: built for another machine); reinstall it" in trouble["portalocker"]
    tried, seen = (" ".join(run_lab("list", *wide, env=env).stdout.split()) for wide in (["--wide"], []))
    assert ("built for another machine" in tried, "built for another machine" in seen) == (True, False)


def test_a_ready_lock_whose_package_is_missing_says_so_though_it_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "filelock" else object())
    with pytest.raises(CannotRunError, match="lock filelock-rw: needs the Python package filelock; pip install"):
        READY["filelock-rw"].check_installed("filelock-rw")
    for name in ("fasteners", "lockfile"):
        READY[name].check_installed(name)


def test_all_scenarios_locks_and_backings_are_listed_each_in_a_line_and_trying_leaves_nothing(
    tmp_path: Path, elsewhere: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    listed = entries("--dir", place)
    names = [name for name in of_group(listed, "scenarios") + of_group(listed, "counterexamples") if ":" not in name]
    assert sorted(names) == sorted(path.stem for path in (ROOT / "scenarios").rglob("*.py"))
    assert of_group(listed, "scenarios (the default set)") == [found.name for found in find_scenarios([])]
    counterexamples = of_group(listed, "counterexamples (break although they are locked; --counterexamples)")
    assert [name for name in counterexamples if ":" not in name] == counterexample_names()
    assert "short_range:fixed" in counterexamples
    assert (of_group(listed, "locks"), of_group(listed, "backings")) == (LOCKS, BACKINGS)
    assert [entry["name"] for entry in listed if not entry["summary"] or "\n" in entry["summary"]] == []
    assert {(entry["works"], entry["trouble"]) for entry in listed} == {(True, "")}
    (fasteners,) = [entry["summary"] for entry in listed if entry["name"] == "fasteners"]
    assert fasteners.endswith("(keeps a forked child out, freed by a kill)")
    printed = run_lab("list").stdout.splitlines()
    headings = [line.split()[0] for line in printed if line and not line.startswith(" ")]
    assert headings == ["scenarios", "counterexamples", *["scenarios"] * 2, *["locks"] * 2, "backings", "recorder"]
    named = [line.split()[0] for line in printed if line.startswith("  ") and line[2] != " "]
    assert named == [entry["name"] for entry in listed]
    assert max(map(len, printed)) <= 80
    assert "(keeps a forked child out, freed by a kill)" not in " ".join(" ".join(printed).split())
    assert [*place.iterdir(), *elsewhere.iterdir()] == []


def test_what_does_not_work_in_a_directory_says_why_and_the_list_goes_on() -> None:
    listed = entries("--dir", "/proc")
    assert [entry["name"] for entry in listed if not entry["works"]] == [*LOCKS, *BACKINGS]
    assert {"/proc: cannot make a file there" in entry["trouble"] for entry in listed if entry["trouble"]} == {True}
    printed = " ".join(run_lab("list", "--dir", "/proc").stdout.split())
    assert re.search(r" flock flock: [^[]* \[not here: /proc: cannot make a file there \(No such file or", printed)


@pytest.mark.parametrize(("error", "trouble"), [(0, ""), (ENOLCK, "No locks available")])
def test_a_lock_of_another_package_is_listed_last_and_says_where_it_is_refused(
    error: int, trouble: str, tmp_path: Path
) -> None:
    listed = entries(env=other_package(tmp_path / "site", error))
    assert of_group(listed, "locks") == [*LOCKS, "liar"]
    (liar,) = [entry for entry in listed if entry["name"] == "liar"]
    assert (liar["summary"], liar["works"]) == ("a lock of another package", not error)
    assert trouble in liar["trouble"]
