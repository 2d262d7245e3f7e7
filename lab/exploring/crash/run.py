"""Explore the crashes of one case: the shortest one that breaks it, its cause, or how much was covered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from lab.analysis.statistics import plural
from lab.errors import UsageError
from lab.exploring.case import Case
from lab.exploring.sandbox import check_notes, notes
from lab.exploring.simplify import PATIENCE_S, world_of
from lab.exploring.tally import check_steps
from lab.exploring.worker import shape_of
from lab.records import Crashes, ExploredCase, ExploreOptions, SmallestShape
from lab.records import Damage as FoundDamage

from .recovery import AGAIN
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
class Broken:
    """The failure to show, and the search that found it, of which the workers and rounds may be fewer."""

    search: Search
    failure: Failure


def explore_crashes(case: Case, options: ExploreOptions) -> ExploredCase:
    """Explore one case. Raises as `lab.exploring.run.explore` does."""
    started = time.monotonic()
    scenario = case.found.kind()
    search, broken = _searched(case, options, started)
    counts = search.counts
    holds = not broken and counts.complete
    record = ExploredCase(
        scenario=case.found.name,
        lock=case.lock,
        workers=case.workers,
        rounds=case.rounds,
        search=options.search,
        verdict="broken" if broken else "holds" if holds else "unknown",
        exhausted=holds,
        covered=_covered(case, options, search),
        schedules=0,
        broken_schedules=0,
        schedules_per_s=0.0,
        wall_s=round(time.monotonic() - started, 3),
        expected=case.expected,
        line_bytes=options.line_bytes,
        states=counts.states,
        crashes=Crashes(
            kind=case.kind,
            unit_bytes=UNITS[options.unit] if case.kind == "power" else None,
            at_most=options.crashes,
            points=counts.points,
            images=counts.images,
            recoveries=counts.recoveries,
        ),
        why="" if holds else scenario.why,
    )
    return _with_failure(record, case, options, broken) if broken else record


def _searched(case: Case, options: ExploreOptions, started: float) -> tuple[Search, Broken | None]:
    """Search few crashes first and smaller shapes first; return the last search, and what it broke."""
    shapes = _shapes(case)
    for crashes, (workers, rounds) in product(sorted({1, options.crashes}), shapes):
        last = (crashes, workers, rounds) == (options.crashes, *shapes[-1])
        limit_s = options.time_limit_s * (1 if last else SMALLER_SHARE)
        if not last and time.monotonic() > started + limit_s:
            continue
        search = _search(case, replace(options, crashes=crashes), workers, rounds, started + limit_s)
        before = notes(search.world.shape.scenario)
        search.try_check()
        failure = search.run()
        check_notes(before, search.world.shape.scenario)
        if failure:
            return search, _shorter(case, options, Broken(search, failure))
    return search, None


def _shapes(case: Case) -> list[tuple[int, int]]:
    """Return the shapes to search, by their size; the last is the one that was asked for."""
    shapes = [(workers, rounds) for workers in range(1, case.workers + 1) for rounds in range(1, case.rounds + 1)]
    return sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape[0]))


def _search(
    case: Case,
    options: ExploreOptions,
    workers: int,
    rounds: int,
    deadline: float,
    *,
    unit: int | None = None,
    again: int = AGAIN,
    relaxed: bool = False,
) -> Search:
    shape = shape_of(case.found, case.lock, workers, rounds, options.line_bytes, crashes=True)
    if shape.layout.size > MOST_BYTES:
        raise UsageError(
            f"scenario {case.found.name}: each step keeps a copy of its {shape.layout.size:,} bytes, and at most "
            f"{MOST_BYTES:,} can crash; lower --workers or --rounds"
        )
    world = world_of(replace(shape, limit_s=options.time_limit_s))
    check_steps(world)
    unit = UNITS[options.unit] if unit is None else unit
    return Search(world, case.kind, unit, options.crashes, deadline, again=again, relaxed=relaxed)


def _like(case: Case, options: ExploreOptions, broken: Broken, **other: Any) -> Search:
    """Return another search of the shape that broke, by as many crashes and as much work after recovery."""
    shape = broken.search.world.shape
    options = replace(options, crashes=max(1, broken.failure.crashes))
    return _search(
        case,
        options,
        shape.workers,
        shape.rounds,
        time.monotonic() + PATIENCE_S,
        **{"again": broken.search.again, **other},
    )


def _shorter(case: Case, options: ExploreOptions, broken: Broken) -> Broken:
    """Return the same without the round of work after recovery, where the failure needs none."""
    search = _like(case, options, broken, again=0)
    failure = search.run()
    return Broken(search, failure) if failure and failure.crashes <= broken.failure.crashes else broken


def _cause(case: Case, options: ExploreOptions, broken: Broken) -> Cause:
    """Return why it broke, by what breaks and what holds when less can go wrong.

    Recovery breaks it that does so without any crash. A kill that breaks it too leaves half an update. It is not
    durable where it holds with finished rounds missing, and out of order where it holds with all that is stored
    reaching the disk in order. "" is for a cause that was not found in time.
    """

    def breaks(case: Case, **other: Any) -> Failure | None:
        search = _like(case, options, broken, **other)
        found = search.run()
        if not (found or search.counts.complete):
            raise TimeoutError
        return found

    try:
        return _cause_by(breaks, case, broken.failure)
    except TimeoutError:
        return ""


def _cause_by(breaks: Callable[..., Failure | None], case: Case, failure: Failure) -> Cause:
    """Return the cause of this failure, by what breaks when less can go wrong."""
    if failure.crashes == 0:
        return "recovery" if failure.recovery else "without a crash"
    killed = failure if case.kind == "kill" else breaks(replace(case, crash="kill"))
    if killed:
        return "half an update" if killed.crashes else "recovery" if killed.recovery else "without a crash"
    if breaks(case, relaxed=True) is None:
        return "not durable"
    return "half an update" if breaks(case, unit=WHOLE_FILE, relaxed=True) else "out of order"


def _covered(case: Case, options: ExploreOptions, search: Search) -> str:
    counts = search.counts
    every = "all " if counts.complete else ""
    shape = search.world.shape
    return (
        f"{every}{plural(counts.points, 'crash point')} ({case.kind}) of {shape.size} in "
        f"{plural(counts.states, 'state')}; {plural(counts.images, 'different file')} may be left there, and recovery "
        f"ran {plural(counts.recoveries, 'time')}; at most {options.crashes} in a row"
    )


def _with_failure(record: ExploredCase, case: Case, options: ExploreOptions, broken: Broken) -> ExploredCase:
    cause = _cause(case, options, broken)
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
        token=_token(case, broken, story),
        crashes=replace(crashes, cause=cause, needed=broken.failure.crashes),
    )


def _token(case: Case, broken: Broken, story: Story) -> str | None:
    """Return what `replay` performs; None where somebody waits, raised or does not end."""
    shape, unit = broken.search.world.shape, broken.search.disk.unit
    life = broken.failure.life
    if not broken.failure.recovery or (life and (life.endless or life.failed)):
        return None
    crash = case.kind, unit if case.kind == "power" else 0
    return str(make(case.found, case.lock, (shape.workers, shape.rounds, shape.line), crash, story.events))
