"""Explore the crashes of one case: the shortest one that breaks it, its cause, or how much was covered."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from lab.analysis.statistics import plural
from lab.errors import UsageError
from lab.exploring.sandbox import check_notes, notes
from lab.exploring.simplify import PATIENCE_S, world_of
from lab.exploring.tally import check_steps
from lab.exploring.worker import shape_of
from lab.records import Crashes, ExploredCase, ExploreOptions, SmallestShape
from lab.records import Damage as FoundDamage
from lab.scenario import Found

from .recovery import AGAIN, Kind
from .script import make
from .search import Failure, Search
from .story import Cause, Story

UNITS = {"page": 4096, "sector": 512, "line": 64}
"""What a disk writes whole, by the name in the options, in bytes."""

WHOLE_FILE = 0
MOST_BYTES = 1 << 23
SMALLER_SHARE = 0.25
"""The part of the time limit for smaller shapes, which are tried first: what they break is told in fewer steps."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A case to be explored: the scenario under a lock, with so many workers and rounds, and what fails."""

    found: Found
    lock: str
    workers: int
    rounds: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Broken:
    """The failure to show, and the search that found it, of which the workers and rounds may be fewer."""

    search: Search
    failure: Failure


def explore_crashes(asked: Asked, options: ExploreOptions) -> ExploredCase:
    """Explore one case. Raises as `lab.exploring.run.explore` does."""
    started = time.monotonic()
    scenario = asked.found.kind()
    search, broken = _searched(asked, options, started)
    counts = search.counts
    holds = not broken and counts.complete
    record = ExploredCase(
        scenario=asked.found.name,
        lock=asked.lock,
        workers=asked.workers,
        rounds=asked.rounds,
        search=options.search,
        verdict="broken" if broken else "holds" if holds else "unknown",
        exhausted=holds,
        covered=_covered(asked, options, search),
        schedules=0,
        broken_schedules=0,
        schedules_per_s=0.0,
        wall_s=round(time.monotonic() - started, 3),
        expected="holds" if _should_hold(asked) else "broken",
        line_bytes=options.line_bytes,
        states=counts.states,
        crashes=Crashes(
            kind=asked.kind,
            unit_bytes=UNITS[options.unit] if asked.kind == "power" else None,
            at_most=options.crashes,
            points=counts.points,
            images=counts.images,
            recoveries=counts.recoveries,
        ),
        why="" if holds else scenario.why,
    )
    return _with_failure(record, asked, options, broken) if broken else record


def _should_hold(asked: Asked) -> bool:
    scenario = asked.found.kind()
    return scenario.expected(asked.lock) == "clean" and scenario.after_crash.get(asked.kind, "clean") == "clean"


def _searched(asked: Asked, options: ExploreOptions, started: float) -> tuple[Search, Broken | None]:
    """Search few crashes first and smaller shapes first; return the last search, and what it broke."""
    shapes = _shapes(asked)
    for crashes, (workers, rounds) in product(sorted({1, options.crashes}), shapes):
        last = (crashes, workers, rounds) == (options.crashes, *shapes[-1])
        limit_s = options.time_limit_s * (1 if last else SMALLER_SHARE)
        search = _search(asked, replace(options, crashes=crashes), workers, rounds, started + limit_s)
        before = notes(search.world.shape.scenario)
        search.try_check()
        failure = search.run()
        check_notes(before, search.world.shape.scenario)
        if failure:
            return search, _shorter(asked, options, Broken(search, failure))
    return search, None


def _shapes(asked: Asked) -> list[tuple[int, int]]:
    """Return the shapes to search, by their size; the last is the one that was asked for."""
    shapes = [(workers, rounds) for workers in range(1, asked.workers + 1) for rounds in range(1, asked.rounds + 1)]
    return sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))


def _search(
    asked: Asked,
    options: ExploreOptions,
    workers: int,
    rounds: int,
    deadline: float,
    *,
    unit: int | None = None,
    again: int = AGAIN,
    relaxed: bool = False,
) -> Search:
    shape = shape_of(asked.found, asked.lock, workers, rounds, options.line_bytes, crashes=True)
    if shape.layout.size > MOST_BYTES:
        raise UsageError(
            f"scenario {asked.found.name}: each step keeps a copy of its {shape.layout.size:,} bytes, and at most "
            f"{MOST_BYTES:,} can crash; lower --workers or --rounds"
        )
    world = world_of(replace(shape, limit_s=options.time_limit_s))
    check_steps(world)
    unit = UNITS[options.unit] if unit is None else unit
    return Search(world, asked.kind, unit, options.crashes, deadline, again=again, relaxed=relaxed)


def _like(asked: Asked, options: ExploreOptions, broken: Broken, **other: Any) -> Search:
    """Return another search of the shape that broke, by as many crashes and as much work after recovery."""
    shape = broken.search.world.shape
    options = replace(options, crashes=max(1, broken.failure.crashes))
    return _search(
        asked,
        options,
        shape.workers,
        shape.rounds,
        time.monotonic() + PATIENCE_S,
        **{"again": broken.search.again, **other},
    )


def _shorter(asked: Asked, options: ExploreOptions, broken: Broken) -> Broken:
    """Return the same without the round of work after recovery, where the failure needs none."""
    search = _like(asked, options, broken, again=0)
    failure = search.run()
    return Broken(search, failure) if failure and failure.crashes <= broken.failure.crashes else broken


def _cause(asked: Asked, options: ExploreOptions, broken: Broken) -> Cause:
    """Return why it broke, by what breaks and what holds when less can go wrong.

    Recovery breaks it that does so without any crash. A kill that breaks it too leaves half an update. It is not
    durable where it holds with finished rounds missing, and out of order where it holds with all that is stored
    reaching the disk in order.
    """
    failure = broken.failure
    if failure.crashes == 0:
        return "recovery" if failure.recovery else "without a crash"
    killed = failure if asked.kind == "kill" else _like(replace(asked, kind="kill"), options, broken).run()
    if killed:
        return "half an update" if killed.crashes else "recovery" if killed.recovery else "without a crash"
    if _like(asked, options, broken, relaxed=True).run() is None:
        return "not durable"
    in_order = _like(asked, options, broken, unit=WHOLE_FILE, relaxed=True).run()
    return "half an update" if in_order else "out of order"


def _covered(asked: Asked, options: ExploreOptions, search: Search) -> str:
    counts = search.counts
    every = "all " if counts.complete else ""
    shape = search.world.shape
    return (
        f"{every}{plural(counts.points, 'crash point')} of {shape.size} in {plural(counts.states, 'state')}: "
        f"{plural(counts.images, 'file')} that may be left, by {counts.recoveries:,} that were recovered; up to "
        f"{options.crashes} in a row"
    )


def _with_failure(record: ExploredCase, asked: Asked, options: ExploreOptions, broken: Broken) -> ExploredCase:
    cause = _cause(asked, options, broken)
    story = Story(broken.search, broken.failure, cause)
    shape, crashes = broken.search.world.shape, record.crashes
    assert crashes is not None  # noqa: S101 - it is a record of crashes
    return replace(
        record,
        damage=[FoundDamage(each.kind, each.count, each.of, list(each.evidence)) for each in broken.failure.damage],
        headline=story.headline,
        steps=story.steps,
        reasons=story.reasons,
        shrunk=SmallestShape(shape.workers, shape.rounds, 0, 0),
        token=_token(asked, broken, story),
        crashes=replace(crashes, cause=cause, needed=broken.failure.crashes),
    )


def _token(asked: Asked, broken: Broken, story: Story) -> str | None:
    """Return what `replay` performs; None where somebody waits, raised or does not end."""
    shape, unit = broken.search.world.shape, broken.search.disk.unit
    life = broken.failure.life
    if not broken.failure.recovery or (life and (life.endless or life.failed)):
        return None
    crash = asked.kind, unit if asked.kind == "power" else 0
    return str(make(asked.found, asked.lock, (shape.workers, shape.rounds, shape.line), crash, story.events))
