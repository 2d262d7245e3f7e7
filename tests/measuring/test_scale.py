"""The benchmark of docs/scale.md, with few waiters: its figures, its limits, and what it leaves."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.processes import fork_child
from tests.benchmarks import scale
from tests.benchmarks.scale_plots import draw
from tests.helpers import in_fresh_process

WAITERS = 3


def measured(folder: str) -> dict[str, Any]:
    found = scale.measured([WAITERS], Path(folder))
    return {**found, "children": len(psutil.Process().children())}


def refused_fork(folder: str) -> list[Any]:
    """The exit code where the second fork is refused, and the processes that are left."""
    pids = list[int]()

    def some(body: Any) -> int:
        if pids:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        pids.append(fork_child(body))
        return pids[0]

    vars(scale).update(fork_child=some)
    with pytest.raises(scale.CannotRun) as refused, scale.Crowd(WAITERS, Path(folder, "lock")):
        raise AssertionError("not reached")
    return [str(refused.value), len(psutil.Process().children())]


def test_every_lock_is_measured_for_writers_and_readers_and_no_process_is_left(tmp_path: Path) -> None:
    found = in_fresh_process(measured, str(tmp_path))
    assert found["children"] == 0
    rows = [(row["lock"], row["kind"]) for row in found["waiters"]]
    assert rows == [(lock, kind) for lock in ("fcntl", "ofd", "flock") for kind in ("write", "read")]
    assert all(value > 0 for row in found["waiters"] for name, value in row.items() if name not in ("lock", "kind"))
    assert {(row["lock"], row["whose"]) for row in found["ranges"]} == {
        (lock, whose) for lock in ("fcntl", "ofd") for whose in ("own", "of another")
    }
    assert max(map(len, [scale.HEADER, *map(scale.line_of, found["waiters"])])) < 90
    draw(found, tmp_path)
    for name in ("requests", "readers", "list", "ranges"):
        root = ET.parse(tmp_path / f"scale-{name}.svg").getroot()  # noqa: S314 - our own
        assert {"polyline", "circle", "text"} <= {each.tag.rpartition("}")[2] for each in root}
        assert "prefers-color-scheme: dark" in (tmp_path / f"scale-{name}.svg").read_text()


def test_a_fork_that_is_refused_is_told_and_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    said, children = in_fresh_process(refused_fork, str(tmp_path))
    assert said.startswith("3 waiters: fork refused after 1 (Resource temporarily unavailable); raise ulimit -u")
    assert children == 0


def test_more_waiters_than_processes_are_refused_before_any_is_forked(capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--waiters", "100000000"]) == 3
    assert "100,000,000 waiters: at most" in capsys.readouterr().err
