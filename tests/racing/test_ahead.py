"""Workers that are built before their forks race as those that build themselves, and only where that is the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.memory import open_ahead
from lab.processes import pool
from lab.racing import ahead
from lab.racing.worker import RaceWorker
from tests.helpers import in_fresh_process
from tests.racing.racing import case_of, raced

SAME = ("verdict", "operations", "holds", "overlapping_holds", "unrecorded_holds", "damaged", "failures", "left")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as text


def refuse() -> None:
    raise OSError


def race_row(folder: str, way: str, scenario: str, lock: str, changed: dict[str, Any]) -> dict[str, Any]:
    """The row of a race in groups of three workers; how many were built in this process; descriptors left open."""
    built, begin = [], RaceWorker.__init__
    before, parent = descriptors(), os.getpid()

    def noted(self: Any, job: Any, index: int, **given: Any) -> None:
        begin(self, job, index, **given)
        if os.getpid() == parent:
            built.append(index)

    def opens_and_refuses(shared: Any, path: Any) -> Any:
        made = open_ahead(shared, path)
        return made and (made[0], refuse)

    ways: dict[str, Callable[..., Any]] = {"ahead": open_ahead, "itself": lambda *_: None, "refused": opens_and_refuses}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "AT_ONCE", 3)
        patch.setattr(ahead, "open_ahead", ways[way])
        patch.setattr(RaceWorker, "__init__", noted)
        row = raced(case_of(scenario, lock, workers=7, **changed), [folder])
    return {"row": {name: row[name] for name in SAME}, "built": built, "left open": descriptors() - before}


@pytest.mark.needs("compiled")
@pytest.mark.parametrize(
    ("scenario", "lock", "changed"),
    [
        ("counter", "fcntl", {"rounds": 50}),
        ("counter", "ofd", {"rounds": 50}),
        ("counter", "flock", {"rounds": 1500}),
        ("counter", "ofd", {"rounds": 20, "window_ns": 1000}),
        ("bank", "ofd", {"rounds": 50}),
    ],
)
def test_workers_built_ahead_race_as_those_that_build_themselves(
    tmp_path: Path, scenario: str, lock: str, changed: dict[str, Any]
) -> None:
    rows = {
        way: in_fresh_process(race_row, str(tmp_path), way, scenario, lock, changed)
        for way in ("ahead", "itself", "refused")
    }
    assert rows["ahead"]["built"] == rows["refused"]["built"] == [*range(7)]
    assert rows["itself"]["built"] == []
    assert rows["ahead"]["row"] == rows["itself"]["row"] == rows["refused"]["row"]
    assert rows["ahead"]["row"]["operations"] == 7 * changed["rounds"]
    assert rows["ahead"]["row"]["holds"] >= 7 * changed["rounds"]
    assert {row["left open"] for row in rows.values()} == {0}


@pytest.mark.needs("compiled")
@pytest.mark.parametrize(
    ("scenario", "changed"),
    [
        ("counter", {"stresses": True}),
        ("counter", {"recorded": True}),
        ("counter", {"leak": 0.5}),
        ("counter", {"isolate": True}),
        ("counter", {"backing": "remapped"}),
        ("sparse_pages", {"window_ns": 1000}),
        ("ring", {}),
    ],
)
def test_a_worker_that_its_own_process_must_make_is_not_built_ahead(
    tmp_path: Path, scenario: str, changed: dict[str, Any]
) -> None:
    found = in_fresh_process(race_row, str(tmp_path), "ahead", scenario, "fcntl", {"rounds": 5, **changed})
    assert found["built"] == []
    assert found["row"]["operations"] == 35
