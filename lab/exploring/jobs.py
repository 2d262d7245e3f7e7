"""Run a search in several processes: each job gets parts of the tree, or seeds of its own.

`all` is cut into the schedules that begin alike: a job that is free takes the next beginning. The searches at random
draw from seeds of their own. Searches that remember states (states, dpor) or go by rising bound have one memory and run
in one process. Each job counts on a shared board, so that what was covered is known at any time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from lab.errors import CannotRunError, LabError, ScenarioError, UsageError
from lab.memory import anonymous
from lab.processes import WorkerPool, cpus_for

from .search import every_schedule
from .tally import Found, Tally
from .world import World

Search = Callable[[Tally, int], int]
"""A function that a job runs, with its tally and its number.

It returns the number of the part in which it found its failure.
"""

PARTS = 64
"""The number of beginnings for each job, so that all jobs end together."""

MOST_PARTS = 2_000
"""The largest number of beginnings: each makes a few more, and all numbers must fit a pipe."""

SLOT = 1 << 20
"""The size of the shared memory in which a job leaves what it found, in bytes."""

GRACE_S = 30.0
"""The time, in seconds, after the deadline after which a job counts as lost."""

LOOK_AGAIN_S = 0.01
ERRORS: dict[int, type[LabError]] = {2: UsageError, 3: CannotRunError, 4: ScenarioError}
"""The errors that a job may raise, by its exit code."""

STOP, COUNTS = 0, 1
"""Cells of the board: whether all must stop; then schedules and broken ones of each job."""


def every_schedule_in_jobs(world: World, tally: Tally, jobs: int) -> None:
    """Run `every_schedule` in so many processes. Raises CannotRunError where one of them dies."""
    beginnings = _beginnings(world, min(PARTS * jobs, MOST_PARTS))
    tasks, todo = os.pipe()
    os.write(todo, b"".join(number.to_bytes(4, "little") for number in range(len(beginnings))))  # < 64 KiB: no wait
    os.close(todo)

    def search(mine: Tally, job: int) -> int:
        first = -1
        while not mine.over and (taken := os.read(tasks, 4)):
            number = int.from_bytes(taken, "little")
            had_found = mine.found is not None
            world.follow(beginnings[number])
            every_schedule(world, mine)
            world.back_to(0)
            if mine.found and not had_found:
                first = number
        return first

    try:
        _in_jobs(search, world, tally, jobs)
    finally:
        os.close(tasks)


def by_lot_in_jobs(walk: Callable[[Tally, int], None], world: World, tally: Tally, jobs: int) -> None:
    """Search at random in so many processes, until one of them finds something or the time is over."""

    def search(mine: Tally, job: int) -> int:
        walk(mine, job)
        return job

    _in_jobs(search, world, tally, jobs)


def _beginnings(world: World, count: int) -> list[bytes]:
    """Return the shortest beginnings of schedules, at least so many, or all schedules where there are fewer."""
    level = [b""]
    while len(level) < count:
        deeper = [longer for beginning in level for longer in _longer(world, beginning)]
        if deeper == level:
            break
        level = deeper
    return level


def _longer(world: World, beginning: bytes) -> list[bytes]:
    world.follow(beginning)
    longer = [beginning + bytes([worker]) for worker in world.choices()]
    world.back_to(0)
    return longer or [beginning]


def _in_jobs(search: Search, world: World, tally: Tally, jobs: int) -> None:
    """Run the search in each job on a tally of its own, and add them up in the one given."""
    cells = 8 * (COUNTS + 2 * jobs)
    memory = memoryview(anonymous(cells + SLOT * jobs))
    board = memory[:cells].cast("q")
    slots = [memory[cells + SLOT * job :][:SLOT] for job in range(jobs)]

    def prepare(job: int) -> Callable[[], None]:
        def run() -> None:
            mine = Tally(tally.deadline, first_only=tally.first_only, kinds=tally.kinds, keep=tally.keep)
            mine.report = _reporter(board, job)
            try:
                _leave(slots[job], mine, search(mine, job))
            except LabError as error:
                _put(slots[job], {"error": str(error), "code": error.exit_code})
            mine.late()

        return run

    try:
        with WorkerPool(jobs, prepare, cpus_for("none")) as pool:
            pool.gather(GRACE_S)
            pool.release()
            deadline = tally.deadline + GRACE_S
            while len(pool.gone()) < jobs and time.monotonic() < deadline and not any(e.code for e in pool.gone()):
                time.sleep(LOOK_AGAIN_S)
            whole = len(pool.gone()) == jobs and not any(ended.code for ended in pool.gone())
    finally:
        tally.schedules += sum(board[COUNTS::2])
        tally.broken += sum(board[COUNTS + 1 :: 2])
    if not whole:
        raise CannotRunError("a job of the search died or did not come to its end; try --jobs 1")
    counts = [json.loads(bytes(slot).rstrip(b"\0")) for slot in slots]
    for each in counts:
        if "error" in each:
            raise ERRORS[each["code"]](each["error"])
    _add_up(world, tally, counts)


def _reporter(board: memoryview, job: int) -> Callable[[Tally], bool]:
    """Return a function that writes a job's counts to the board, and says whether another has found the failure."""

    def tell(mine: Tally) -> bool:
        board[COUNTS + 2 * job] = mine.schedules
        board[COUNTS + 2 * job + 1] = mine.broken
        if mine.first_only and mine.found:
            board[STOP] = 1
        return bool(board[STOP])

    return tell


def _leave(slot: memoryview, mine: Tally, first: int) -> None:
    counts = {
        "first": first,
        "found": mine.found.schedule.hex() if mine.found else "",
        "kept": [each.hex() for each in mine.kept],
        "too_long": mine.too_long,
        "late": mine.out_of_time and not (mine.first_only and mine.found),
    }
    _put(slot, counts)


def _put(slot: memoryview, counts: dict[str, Any]) -> None:
    text = json.dumps(counts).encode()
    slot[: len(text)] = text


def _add_up(world: World, tally: Tally, counts: list[dict[str, Any]]) -> None:
    """Add up what the jobs found; of several failures keep that of the first part, whichever was found first."""
    tally.too_long += sum(each["too_long"] for each in counts)
    tally.kept = [bytes.fromhex(kept) for each in counts for kept in each["kept"]][: tally.keep]
    found = sorted((each["first"], each["found"]) for each in counts if each["found"])
    if found:
        schedule = bytes.fromhex(found[0][1])
        world.follow(schedule)
        tally.found = Found(schedule, world.end())
        world.back_to(0)
    tally.out_of_time = tally.out_of_time or (any(each["late"] for each in counts) and not tally.over)
