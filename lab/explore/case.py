"""One case: a scenario under a lock with so many workers and rounds, explored, and its failure told."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import groupby, product

from lab.errors import CannotRunError, ScenarioError, UsageError
from lab.locks import find_lock
from lab.processes import Terminated
from lab.results import Damage, Explored, ExploreOptions, Shrunk
from lab.scenario import Found
from lab.scenario.faults import raised
from lab.scenario.lesson import lesson_of

from .bypass import check_notes, notes
from .count import about, how_many, interleavings
from .locks import check_modelled
from .node import Node
from .reasons import story
from .repair import Repair
from .shrink import Shortest, shortest, world_of
from .strategy import Coverage, Plan, cover
from .token import make
from .trace import trace
from .worker import shape_of
from .world import End, World

MOST_WORKERS = 64
MOST_STEPS = 20_000
"""Of all workers together: one schedule of more is not worth running thousands of times."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row to be."""

    found: Found
    lock: str
    workers: int
    rounds: int

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.found.name}, lock {self.lock}, {self.workers} x {self.rounds}"


def cases_of(scenarios: list[Found], options: ExploreOptions) -> list[Case]:
    """Scenario x workers x rounds x lock, in the order in which the table shows them.

    Raises UsageError for an unknown lock, a scenario that cannot be explored, and too many workers; CannotRunError
    for a lock without a model.
    """
    for found in scenarios:
        found.check_world("explore", hint=": it is about processes or files, which are not simulated")
    cases = [
        Case(found, lock, workers, rounds)
        for found in scenarios
        for workers, rounds, lock in product(options.workers, options.rounds, options.locks or found.kind.locks)
    ]
    for case in cases:
        find_lock(case.lock)
        check_modelled(case.lock)
        if case.workers > MOST_WORKERS:
            raise UsageError(f"{case.workers:,} workers: at most {MOST_WORKERS} can be explored; lower --workers")
    return cases


class Interrupted(Exception):  # noqa: N818 - somebody's wish
    """Ctrl-C in the middle of a case; `case` is what had been covered by then."""

    def __init__(self, case: Explored) -> None:
        super().__init__(case.covered)
        self.case = case


def explore(case: Case, options: ExploreOptions, kinds: frozenset[str] = frozenset()) -> Explored:
    """Explore one case; `kinds` says which damage counts as broken, any where it is empty.

    Raises Interrupted on Ctrl-C; UsageError for what is too large, CannotRunError for what cannot be seen or is not
    deterministic, ScenarioError for a mistake in the scenario.
    """
    started = time.monotonic()
    shape = shape_of(case.found, case.lock, case.workers, case.rounds, options.line_bytes)
    world = world_of(replace(shape, limit_s=options.time_limit_s))
    check_steps(world)
    plan = Plan(
        options.search,
        options.preemptions,
        options.seed,
        started,
        options.time_limit_s,
        options.show_schedules,
        options.jobs,
        kinds,
    )
    coverage = Coverage()
    before = notes(world.shape.scenario)
    try:
        cover(world, plan, coverage)
        check_notes(before, world.shape.scenario)
        searched_s = time.monotonic() - started
        best = shortest(world, coverage.found, kinds) if coverage.found else None
    except (KeyboardInterrupt, Terminated):
        raise Interrupted(_record(case, options, world, coverage, started, None)) from None
    return _record(case, options, world, coverage, started, best, searched_s, kinds)


def check_steps(world: World) -> None:
    """Look at each worker alone, before anything is claimed of them together.

    Raises ScenarioError where one raises, CannotRunError where one takes no step, UsageError where all take too many.
    """
    counts = [len(nodes) - 1 for nodes in world.alone]
    name = world.shape.found.name
    for worker, nodes in enumerate(world.alone):
        failed = nodes[-1].failed
        if failed:
            raise ScenarioError(f"scenario {name}: worker {worker} alone raised {raised(failed)}; mend the file")
        if not counts[worker]:
            raise CannotRunError(
                f"scenario {name}: worker {worker} took no step through w.memory or a lock, so nothing was explored; "
                "let it load and store through w.memory and w.bytes"
            )
    if sum(counts) > MOST_STEPS and not any(map(_spins, world.alone)):
        raise UsageError(
            f"scenario {name}: {world.shape.size} take more than {MOST_STEPS:,} steps a schedule and have more than "
            f"{about(interleavings(counts))} schedules, too many for any search; lower --workers or --rounds"
        )


def _spins(nodes: list[Node]) -> bool:
    """True for a worker that, alone, goes round in one round for ever: it waits for another one."""
    return not nodes[-1].ended and nodes[-1].round == nodes[len(nodes) // 2].round


def _record(
    case: Case,
    options: ExploreOptions,
    world: World,
    coverage: Coverage,
    started: float,
    best: Shortest | None,
    searched_s: float | None = None,
    kinds: frozenset[str] = frozenset(),
) -> Explored:
    searched_s = searched_s or time.monotonic() - started
    kind = case.found.kind
    whole = coverage.exhausted and options.search != "dpor"
    note = coverage.note or _of_how_many(world, coverage)
    holds = coverage.exhausted or (coverage.bound is not None and coverage.bound >= options.preemptions)
    record = Explored(
        scenario=case.found.name,
        lock=case.lock,
        workers=case.workers,
        rounds=case.rounds,
        search=options.search,
        verdict="broken" if coverage.broken else ("holds" if holds else "unknown"),
        exhausted=coverage.exhausted,
        covered=f"{', '.join(coverage.said)} of {world.shape.size}{note}",
        schedules=coverage.schedules,
        broken_schedules=coverage.broken,
        interleavings=coverage.ways.all if coverage.ways else (coverage.schedules if whole else None),
        broken_interleavings=coverage.ways.broken if coverage.ways else (coverage.broken if whole else None),
        schedules_per_s=round(coverage.schedules / searched_s, 1),
        wall_s=round(time.monotonic() - started, 3),
        expected="holds" if kind().expected(case.lock) == "clean" else "broken",
        line_bytes=options.line_bytes,
        bound=coverage.bound,
        states=coverage.states,
        ends=world.ends,
        why=lesson_of(kind, locked=world.locked),
        schedules_shown=[runs(each) for tally in coverage.tallies for each in tally.kept][: options.show_schedules],
    )
    if best is None or coverage.found is None:
        return record
    return told(record, case.found, best, len(coverage.found.schedule), kinds)


def _of_how_many(world: World, coverage: Coverage) -> str:
    """The number of all schedules, where it is known to be more than were run."""
    if coverage.found or coverage.exhausted or any(tally.too_long for tally in coverage.tallies):
        return ""
    world.back_to(0)
    count = how_many(world)
    return f" (of {about(count)} schedules that there are)" if count > coverage.schedules else ""


def told(record: Explored, found: Found, best: Shortest, steps_before: int, kinds: frozenset[str]) -> Explored:
    """The record with the failure: its steps, its reasons, and its token."""
    shape = best.world.shape
    steps, end = trace(best.world, best.found.schedule)
    damage = damage_records(end)
    headline, reasons, _ = story(steps, damage, record.lock, kinds, Repair(best.world, best.found.schedule).mends)
    return replace(
        record,
        preemptions=best.preemptions,
        damage=damage,
        headline=headline,
        reasons=reasons,
        steps=steps,
        shrunk=Shrunk(shape.workers, shape.rounds, best.schedules, steps_before),
        token=str(make(found, record.lock, shape.workers, shape.rounds, shape.line, steps)),
    )


def damage_records(end: End) -> list[Damage]:
    """The damage as results carry it."""
    return [Damage(each.kind, each.count, each.of, list(each.evidence)) for each in end.damage]


def runs(schedule: bytes) -> str:
    """A schedule as its turns: 0x3 1x4 0x1 is three steps of worker 0, four of worker 1, one of worker 0."""
    return " ".join(f"{worker}x{len(list(group))}" for worker, group in groupby(schedule))
