"""Decide which searches run, in which order, and report in words what each of them covered.

Where there are too many schedules they are drawn at random: a random walk, and PCT, which favours rare orders of few
steps.

A search can run in several processes: each job gets parts of the tree, or seeds of its own. `all` is cut into the
schedules that begin alike: a job that is free takes the next beginning. The searches at random draw from seeds of their
own. Searches that remember states (states, dpor) or go by rising bound have one memory and run in one process. Each job
counts on a shared board, so that what was covered is known at any time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from lab.errors import CannotRunError, LabError, ScenarioError, UsageError
from lab.memory import anonymous
from lab.processes import WorkerPool, cpus_for

from .dpor import Dpor
from .sandbox import stretches_end
from .search import Bounded, Ways, every_schedule, every_state
from .tally import Found, Tally, about, how_many
from .world import World

DEPTH = 3
"""The number of ordering constraints that a failure may need for PCT's guarantee (Burckhardt et al., ASPLOS 2010)."""


def random_walk(world: World, tally: Tally, random: Random) -> None:
    """Let one of the workers that can go on do each step, each as likely as the others."""
    _repeat(world, tally, lambda: _walk(world, random))


def pct(world: World, tally: Tally, random: Random) -> None:
    """Let the worker with the highest priority that can go on do each step.

    This is probabilistic concurrency testing with depth 3. Priorities are drawn once a schedule, and at two steps,
    drawn too, the worker that goes on falls to the end of the queue. Of n workers and k steps each schedule finds a
    failure of this depth with probability 1 / (n k^2) or more.
    """
    steps = [8]

    def one() -> bool:
        done = _by_priority(world, random, steps[0])
        steps[0] = max(steps[0], len(world.path))
        return done

    _repeat(world, tally, one)


def _repeat(world: World, tally: Tally, one: Callable[[], bool]) -> None:
    while True:
        stop = tally.add(world) if one() else tally.give_up()
        world.back_to(0)
        if stop:
            return


def _walk(world: World, random: Random) -> bool:
    choices = world.choices()
    while choices:
        if len(world.path) >= world.longest:
            return False
        world.do(choices[int(random.random() * len(choices))])
        choices = world.choices()
    return True


def _by_priority(world: World, random: Random, steps: int) -> bool:
    order = list(range(len(world.at)))
    random.shuffle(order)
    changes = {random.randrange(steps) for _ in range(DEPTH - 1)}
    choices = world.choices()
    while choices:
        if len(world.path) >= world.longest:
            return False
        worker = next(each for each in order if each in choices)
        if len(world.path) in changes:
            order.remove(worker)
            order.append(worker)
            worker = next(each for each in order if each in choices)
        world.do(worker)
        choices = world.choices()
    return True


SEARCHES = ("auto", "bound", "all", "states", "dpor", "random", "pct")

TOO_MANY = 10**10
"""The number of schedules beyond which `all` is refused: more than a day of running them."""

HOW = {
    "bound": "by rising preemptions",
    "random": "by random walk",
    "pct": "by random priorities (PCT, depth 3)",
    "dpor": "of as many classes of schedules",
    "states": "through states reached once",
    "all": "",
}
"""The way in which the schedules were chosen, in a search that did not come to its end."""

SHARES = {"bound": 0.5, "states": 0.8, "random": 0.9, "pct": 1.0}
"""The share of the time limit at which each search of `auto` must have ended."""


@dataclass(slots=True)
class Coverage:
    """The work of the searches of one case, as far as they came; kept up to date while they run."""

    tallies: list[Tally] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    note: str = ""
    ways: Ways | None = None
    exhausted: bool = False
    bound: int | None = None
    states: int | None = None

    @property
    def schedules(self) -> int:
        """Return the number of schedules that were run to their end."""
        return sum(tally.schedules for tally in self.tallies)

    @property
    def broken(self) -> int:
        """Return the number of those that broke."""
        return sum(tally.broken for tally in self.tallies)

    @property
    def found(self) -> Found | None:
        """Return the first that broke."""
        return next((tally.found for tally in self.tallies if tally.found), None)

    def is_enough(self, preemptions: int) -> bool:
        """Return True where all schedules were covered, or all with at most so many preemptions."""
        return self.exhausted or (self.bound is not None and self.bound >= preemptions)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a search: its name, up to how many preemptions, until when (time.monotonic), from which seed."""

    search: str
    preemptions: int
    seed: int
    started: float
    limit_s: float
    keep: int
    jobs: int
    kinds: frozenset[str] = frozenset()

    def tally(self, share: float, *, first_only: bool) -> Tally:
        """Return a new tally with this share of the time."""
        return Tally(self.started + share * self.limit_s, first_only=first_only, kinds=self.kinds, keep=self.keep)


def cover(world: World, plan: Plan, coverage: Coverage) -> None:
    """Search as planned. Raises UsageError where `all` was requested and can never come to an end."""
    if plan.search == "all":
        _refuse_too_many(world)
    if plan.search != "auto":
        search_by(plan.search, 1.0, world, plan, coverage)
        return
    for name, share in SHARES.items():
        search_by(name, share, world, plan, coverage)
        if coverage.found or coverage.exhausted:
            return


def search_by(name: str, share: float, world: World, plan: Plan, coverage: Coverage) -> None:
    """Run one search; what it covered is recorded also after an interrupt."""
    first_only = plan.search == "auto" or name in ("random", "pct")
    tally = plan.tally(share, first_only=first_only)
    coverage.tallies.append(tally)
    searches: dict[str, Callable[[World, Plan, Coverage, Tally], None]] = {
        "bound": _bound, "all": _all, "states": _states, "dpor": _dpor, "random": _random, "pct": _pct,
    }  # fmt: skip
    ended = len(coverage.said)
    try:
        searches[name](world, plan, coverage, tally)
    finally:
        if len(coverage.said) == ended and not coverage.exhausted:
            coverage.said.append(f"{tally.schedules:,} runs {HOW[name]}".rstrip())


def _bound(world: World, plan: Plan, coverage: Coverage, tally: Tally) -> None:
    search = Bounded(world, tally)
    try:
        search.run(plan.preemptions)
    finally:
        coverage.bound = search.bound if search.bound >= 0 else None
        coverage.exhausted = search.complete
        if search.complete:
            coverage.said.append(f"all {tally.schedules:,} schedules")
        elif search.bound >= 0 and not tally.found:
            coverage.said.append(f"all {search.covered:,} schedules with at most {_times(search.bound)}")


def _all(world: World, plan: Plan, coverage: Coverage, tally: Tally) -> None:
    if plan.jobs > 1:
        every_schedule_in_jobs(world, tally, plan.jobs)
    else:
        every_schedule(world, tally)
    coverage.exhausted = tally.complete
    if tally.complete:
        coverage.said.append(f"all {tally.schedules:,} schedules")


def _states(world: World, plan: Plan, coverage: Coverage, tally: Tally) -> None:
    count, ways = every_state(world, tally, jobs=plan.jobs)
    coverage.states = count
    coverage.exhausted = tally.complete
    if tally.complete:
        coverage.ways = ways
        coverage.said[:] = [f"all {ways.all:,} schedules" if ways else "all schedules"]
        once = "; swapping workers that run the same makes no other state" if world.interchangeable() else ""
        coverage.note = f" (they lead through {count:,} states, each of which was reached{once})"
    else:
        coverage.said.append(f"{count:,} states")


def _dpor(world: World, plan: Plan, coverage: Coverage, tally: Tally) -> None:
    Dpor(world, tally).run()
    if world.spins:
        raise UsageError(
            f"{world.shape.found.name}: a worker waits for another's store (w.pause() in a retry), which --search dpor "
            "does not follow; use states"
        )
    coverage.exhausted = tally.complete
    if tally.complete:
        coverage.said.append("all schedules")
        with_it = "; its invariant was checked at their ends only" if world.has_invariant else ""
        coverage.note = (
            f" (one was run of each of {tally.schedules:,} classes; within one only independent steps swap{with_it})"
        )


def _random(world: World, plan: Plan, coverage: Coverage, tally: Tally) -> None:
    _by_lot(random_walk, world, plan, tally)


def _pct(world: World, plan: Plan, coverage: Coverage, tally: Tally) -> None:
    _by_lot(pct, world, plan, tally)


def _by_lot(walk: Callable[[World, Tally, Random], None], world: World, plan: Plan, tally: Tally) -> None:
    def search(mine: Tally, job: int) -> None:
        walk(world, mine, Random(f"{walk.__name__}/{plan.seed}/{job}"))  # noqa: S311 - repeatable draws, not secrets

    if plan.jobs > 1:
        by_lot_in_jobs(search, world, tally, plan.jobs)
    else:
        search(tally, 0)


def _times(preemptions: int) -> str:
    return f"{preemptions} preemption{'s' * (preemptions != 1)}"


def _refuse_too_many(world: World) -> None:
    count = how_many(world)
    if count <= TOO_MANY:
        return
    shape = world.shape
    raise UsageError(
        f"{shape.found.name} under {shape.lock}: {shape.size} have {about(count)} schedules, too many for "
        "--search all; lower --workers or --rounds, or leave --search all out: states and preemption bounds cover more"
    )


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
                with stretches_end():
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
