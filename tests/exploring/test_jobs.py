from __future__ import annotations

import os
import time
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.exploring.search import every_schedule
from lab.exploring.strategy import _beginnings, by_lot_in_jobs, every_schedule_in_jobs, random_walk
from lab.exploring.tally import Tally
from tests.exploring.worlds import Endings, scenario_of, world
from tests.helpers import OtherProcess

SHAPES = [
    ("counter", "none", 2, 1), ("counter", "none", 2, 2), ("counter", "none", 3, 1), ("counter", "fcntl", 2, 2),
    ("counter", "fcntl", 3, 2), ("sparse_pages", "fcntl", 2, 2), ("opposite_order", "ofd", 2, 1),
    ("opposite_order", "flock", 2, 2), ("short_range", "fcntl", 2, 1),
]  # fmt: skip
PATIENCE_S = 60.0


def parts(name: str, lock: str, workers: int, rounds: int, count: int) -> tuple[list[bytes], list[list[bytes]]]:
    """The beginnings, and the schedules that each of them leads to."""
    made = world(name, lock, workers, rounds)
    beginnings = _beginnings(made, count)
    schedules = []
    for beginning in beginnings:
        tally = Endings()
        for worker in beginning:
            made.do(worker)
        every_schedule(made, tally)
        made.back_to(0)
        schedules.append(tally.paths)
    return beginnings, schedules


def whole(name: str, lock: str, workers: int, rounds: int) -> Endings:
    tally = Endings()
    every_schedule(world(name, lock, workers, rounds), tally)
    return tally


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40, 10_000])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_beginnings_lead_to_all_schedules_to_each_once_and_are_as_many_as_asked_for(
    shape: tuple[str, str, int, int], count: int
) -> None:
    beginnings, schedules = parts(*shape, count)
    every = whole(*shape)
    led_to = [schedule for each in schedules for schedule in each]
    assert len(led_to) == len(set(led_to))
    assert sorted(led_to) == sorted(every.paths)
    assert len(beginnings) >= min(count, every.schedules)
    assert all(schedules)


def test_looking_for_beginnings_leaves_the_world_at_its_own() -> None:
    made = world("counter", "none", 3, 2)
    _beginnings(made, 100)
    assert (bytes(made.path), bytes(made.content)) == (b"", made.initial)


def in_jobs(shape: list[Any], jobs: int, **options: Any) -> dict[str, Any]:
    """Counts of `every_schedule_in_jobs`, and whether the world was left as it had been."""
    made, tally = world(*shape), Tally(time.monotonic() + options.pop("limit_s", PATIENCE_S), **options)
    every_schedule_in_jobs(made, tally, jobs)
    return {
        "schedules": tally.schedules,
        "broken": tally.broken,
        "complete": tally.complete,
        "found": tally.found.schedule.hex() if tally.found else "",
        "kinds": sorted(tally.found.end.kinds) if tally.found else [],
        "kept": [each.hex() for each in tally.kept],
        "beginning": (bytes(made.path), bytes(made.content)) == (b"", made.initial),
    }


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_jobs_count_together_what_one_process_counts_alone_and_tell_the_first_failure_in_order(
    other: OtherProcess, jobs: int
) -> None:
    done = other.call(in_jobs, ["counter", "none", 2, 3], jobs)
    every = whole("counter", "none", 2, 3)
    assert (done["schedules"], done["broken"], done["complete"]) == (924, every.broken, True)
    assert (done["found"], done["kinds"]) == (every.broken_paths[0].hex(), ["lost update"])
    assert done["beginning"]


def test_more_jobs_than_schedules_run_each_once(other: OtherProcess) -> None:
    done = other.call(in_jobs, ["counter", "fcntl", 2, 1], 4)
    assert (done["schedules"], done["broken"], done["complete"], done["found"]) == (2, 0, True, "")


def test_as_many_schedules_are_kept_as_were_asked_for(other: OtherProcess) -> None:
    done = other.call(in_jobs, ["counter", "none", 2, 2], 2, keep=5)
    assert len(set(done["kept"])) == 5
    assert set(done["kept"]) <= {path.hex() for path in whole("counter", "none", 2, 2).paths}


def test_jobs_that_the_time_limit_ends_tell_what_they_ran_and_have_not_exhausted_anything(other: OtherProcess) -> None:
    done = other.call(in_jobs, ["counter", "none", 3, 3], 2, limit_s=0)
    assert not done["complete"]
    assert 0 < done["schedules"] < 17_153_136
    assert bool(done["broken"]) == bool(done["found"])


def test_one_failure_is_enough_where_the_first_ends_it(other: OtherProcess) -> None:
    done = other.call(in_jobs, ["counter", "none", 3, 3], 2, first_only=True)
    assert done["found"]
    assert not done["complete"]
    assert done["schedules"] < 17_153_136


def by_lot(jobs: int) -> list[Any]:
    """What came of jobs of which only the first can find a failure; the others go on until somebody tells them."""
    made, tally = world("counter", "none", 4, 4), Tally(time.monotonic() + 10 * PATIENCE_S, first_only=True)
    holding = world("counter", "fcntl", 2, 2)

    def walk(mine: Tally, job: int) -> None:
        random_walk(holding if job else made, mine, Random(job))

    by_lot_in_jobs(walk, made, tally, jobs)
    return [bool(tally.found), tally.complete, tally.schedules >= tally.broken, tally.broken, len(made.path)]


def test_a_failure_that_one_job_draws_ends_the_search_of_all(other: OtherProcess) -> None:
    assert other.call(by_lot, 2) == [True, False, True, 1, 0]


def dying() -> list[str]:
    """What is told where a job dies; the scenario ends its process at a value that only the jobs come to."""

    def work(_: object, w: Any) -> None:
        value = w.memory.value
        if value == 7:
            os._exit(1)
        w.memory.value = value + 1

    made, tally = world(scenario_of(work), "none", 2, 4), Tally(inf)
    tally.deadline = time.monotonic() + PATIENCE_S
    try:
        every_schedule_in_jobs(made, tally, 2)
    except CannotRunError as error:
        return [str(error), str(tally.complete)]
    return []


def test_a_job_that_dies_is_told_with_what_to_do(other: OtherProcess) -> None:
    (said, _) = other.call(dying)
    assert said == "a job of the search died or did not come to its end; try --jobs 1"


def descriptors() -> int:
    """How many more descriptors are open after a search in jobs than before."""
    made = world("counter", "none", 2, 2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    every_schedule_in_jobs(made, Tally(time.monotonic() + PATIENCE_S), 2)
    return len(list(Path("/proc/self/fd").iterdir())) - before


def test_no_descriptor_is_left_open(other: OtherProcess) -> None:
    assert other.call(descriptors) == 0
