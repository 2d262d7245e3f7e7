"""How many crash images the search judges in a second, and how much faster it is than another checkout.

    python tests/benchmarks/crash_search.py [DIRECTORY]

An image is a file that may be left at one crash point: after a kill there is one, after a power failure there is one
for each choice of what reached the disk. Most are known already, or differ in nothing that recovery and check read, and
the search is as quick as it is because it need not look at those again. Each search is run in a process of its own, in
turn with the one of the other checkout in DIRECTORY, if one is given. The figures are medians of processor time; all
counts of the two must be the same. Nothing about time is asserted. Run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parents[2]
REPETITIONS = 5
ASKED = 50_000
"""So many images in a second were asked for."""

SEARCHES = [
    (name, kind, workers, 2, crashes)
    for name in ("undo_journal", "redo_log", "two_headers", "durable_log")
    for kind, workers, crashes in (("kill", 3, 1), ("kill", 2, 2), ("power", 3, 1), ("power", 2, 2))
]
"""Scenario, kind of crash, workers, rounds, and how many crashes in a row; each is exhausted, and holds."""


def search(name: str, kind: str, workers: int, rounds: int, crashes: int) -> dict[str, float]:
    """Run one search, and return its counts and its time, without what it takes to make the world."""
    from lab.exploring.crash.search import Search
    from lab.exploring.simplify import world_of
    from lab.exploring.worker import shape_of
    from lab.model.disk import how_many
    from lab.scenario import find_scenarios

    world = world_of(shape_of(find_scenarios([name])[0], "fcntl", workers, rounds, 64, crashes=True))
    images = 0

    class Counted(Search):
        """A search that counts the images at its crash points."""

        def _state(self, state: Any, *more: Any) -> Any:
            nonlocal images
            if kind == "power":
                images += how_many(state.versions)
            return super()._state(state, *more)

        def _crashed_again(self, recovery: Any, life: Any) -> Any:
            nonlocal images
            for crash in life.crashes:
                images += how_many(dict(crash.left.open))
            return super()._crashed_again(recovery, life)

    made = Counted(world, kind, 4096, crashes, inf)  # type: ignore[arg-type]
    begun = time.process_time()
    assert made.run() is None, name
    counts = made.counts
    return {
        "seconds": time.process_time() - begun,
        "states": counts.states,
        "points": counts.points,
        "images": images + (counts.points if kind == "kill" else 0),
        "different": counts.images,
        "recoveries": counts.recoveries,
    }


def measured(root: Path, asked: tuple[str, str, int, int, int]) -> dict[str, float]:
    """Run one search of this checkout in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, __file__, "--one", json.dumps(asked)]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(others: list[str]) -> None:
    print(
        f"{platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    roots = [HERE, *map(Path, others[:1])]
    print(f"{'scenario':14} {'crash':6} {'shape':6} {'in a row'}    images  images/s  states/s  /asked  /other")
    images = seconds = 0.0
    for asked in SEARCHES:
        rows = [[measured(root, asked) for root in roots] for _ in range(REPETITIONS)]
        first = {key: value for key, value in rows[0][0].items() if key != "seconds"}
        for row in rows:
            for each in row:
                assert {key: each[key] for key in first} == first, (asked, each, first)
        took = median(row[0]["seconds"] for row in rows)
        ratio = median(row[-1]["seconds"] / row[0]["seconds"] for row in rows)
        images, seconds = images + first["images"], seconds + took
        rate = first["images"] / took
        name, kind, workers, rounds, crashes = asked
        print(
            f"{name:14} {kind:6} {workers} x {rounds}  {crashes:8} {first['images']:9,.0f} {rate:9,.0f} "
            f"{first['states'] / took:9,.0f} {rate / ASKED:7.2f} {ratio if others else 1:7.2f}"
        )
    print(f"{'all':38} {images:9,.0f} {images / seconds:9,.0f} {images / seconds / ASKED:7.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(search(*json.loads(sys.argv[2]))))
    else:
        main(sys.argv[1:])
