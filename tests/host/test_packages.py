from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from lab.host.packages import declared_in, may_declare
from tests.scenario.packages import package

SCENARIOS = "lab.scenarios"


def offering(folder: Path) -> str:
    package(folder, {"shop": "shops:Shop", "a": "shops:Other"})
    return str(folder)


def other_groups_alone(folder: Path) -> str:
    package(folder, {"shop": "shops:Shop"})
    points = folder / "shops-1.0.dist-info" / "entry_points.txt"
    points.write_text("[console_scripts]\nshop = shops:main\n")
    return str(folder)


def without_entry_points(folder: Path) -> str:
    package(folder, {})
    (folder / "shops-1.0.dist-info" / "entry_points.txt").unlink()
    return str(folder)


def in_an_archive(folder: Path) -> str:
    package(folder, {"shop": "shops:Shop"})
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    return str(archive)


def missing(folder: Path) -> str:
    return str(folder / "missing")


@pytest.mark.parametrize(
    ("made", "looked_up", "names"),
    [
        (offering, True, ["a", "shop"]),
        (in_an_archive, True, ["shop"]),
        (other_groups_alone, False, []),
        (without_entry_points, False, []),
        (missing, False, []),
    ],
)
def test_entry_points_are_looked_up_only_where_a_file_names_the_group(
    made: Callable[[Path], str], looked_up: bool, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [made(tmp_path / "site")])
    assert may_declare(SCENARIOS) is looked_up
    assert [point.name for point in declared_in(SCENARIOS)] == names
    assert sorted(point.name for point in metadata.entry_points(group=SCENARIOS)) == names


class Finder:
    def find_distributions(self, context: object = None) -> list[metadata.Distribution]:
        return []


def test_an_import_hook_that_finds_packages_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert not may_declare(SCENARIOS)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert may_declare(SCENARIOS)
