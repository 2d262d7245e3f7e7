"""Explore cases: a scenario under a lock with so many workers and rounds, and the story of its failure.

`run` explores all cases of one invocation and returns their record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, product

from lab.errors import LabError, UsageError
from lab.host.environment import RunStart, environment
from lab.locking import find_lock
from lab.processes import Terminated, stop_on_sigterm
from lab.records import CaseFailure, Damage, Exploration, ExploredCase, ExploreOptions, SmallestShape
from lab.scenario import Found, Scenario
from lab.scenario.base import counterexample_of, has_invariant
from lab.scenario.operations import Operations

from .case import Case, Kind
from .crash.run import explore_crashes
from .locks import check_modelled
from .programs import Explored, asked_of, explore_programs
from .reasons import story
from .sandbox import Bypass, check_notes, notes, stretches_end
from .search import preemptions
from .simplify import PATIENCE_S, Repair, Shortest, shortest, world_of
from .strategy import Coverage, Plan, cover
from .tally import Found as FoundSchedule
from .tally import Tally, about, check_steps, how_many
from .token import make, read, with_calls
from .trace import trace
from .worker import shape_of
from .world import ENDLESS, End, World

MOST_WORKERS = 64


def cases_of(scenarios: list[Found], options: ExploreOptions) -> list[Case]:
    """Return the cases, scenario x workers x rounds x lock, in the order in which the table shows them.

    Raises UsageError for an unknown lock, a scenario that cannot be explored, and too many workers; CannotRunError
    for a lock without a model.
    """
    _check_operations(scenarios, options)
    for found in scenarios:
        found.check_world("explore", hint=": it is about processes or files, which are not simulated")
    kinds: list[Kind | None] = [*options.crash] or [None]
    cases = [
        Case(found, lock, workers, rounds, crash)
        for found in scenarios
        for (workers, rounds), lock, crash in product(_sizes(found, options), _locks(found, options), kinds)
    ]
    for case in cases:
        find_lock(case.lock)
        check_modelled(case.lock)
        if case.workers > MOST_WORKERS:
            raise UsageError(f"{case.workers:,} workers: at most {MOST_WORKERS} can be explored; lower --workers")
    return cases


def _sizes(found: Found, options: ExploreOptions) -> Iterable[tuple[int, int]]:
    """Return workers and rounds of each case; programs of calls are one case, with the most that one of them has.

    Raises UsageError for what cannot be asked of operations.
    """
    if not issubclass(found.kind, Operations):
        return product(options.workers, options.rounds)
    if options.search in ("dpor", "random", "pct"):
        why = "treats orders as equal that the calls can tell apart" if options.search == "dpor" else "has no end"
        raise UsageError(f"scenario {found.name}: --search {options.search} {why}; use states, all or bound for calls")
    if options.crash:
        raise UsageError(f"scenario {found.name}: operations do not crash; write a Scenario with `recover`")
    done = asked_of(found, options)
    return [(max(done.callers), done.operations - min(done.callers) + 1)]


def _check_operations(scenarios: Sequence[Found], options: ExploreOptions) -> None:
    """Raise UsageError where programs of calls are asked for and nothing has operations."""
    if options.operations and not any(issubclass(found.kind, Operations) for found in scenarios):
        raise UsageError(
            f"--operations: {', '.join(found.name for found in scenarios)} has rounds, no operations; leave it out, or "
            "name a structure with operations (see `lab list`)"
        )


def _locks(found: Found, options: ExploreOptions) -> Sequence[str]:
    """Return the locks asked for, else the scenario's; where it crashes it is locked, if it ever is."""
    mine = found.kind.locks
    locked = [name for name in mine if name != "none"] if options.crash else []
    return options.locks or locked or mine


class Interrupted(Exception):  # noqa: N818 - an interrupt, no error
    """Ctrl-C in the middle of a case; `case` is what had been covered by then."""

    def __init__(self, case: ExploredCase) -> None:
        super().__init__(case.covered)
        self.case = case


@stretches_end()
def explore(
    case: Case, options: ExploreOptions, kinds: frozenset[str] = frozenset(), *, patience_s: float = PATIENCE_S
) -> ExploredCase:
    """Explore one case; `kinds` says which damage counts as broken, any where it is empty.

    A schedule that breaks is shortened for `patience_s` at most.

    Raises Interrupted on Ctrl-C; UsageError for what is too large, CannotRunError for what cannot be seen or is not
    deterministic, ScenarioError for a mistake in the scenario.
    """
    if issubclass(case.found.kind, Operations):
        return _explore_programs(case, options, kinds, time.monotonic(), patience_s)
    if case.crash:
        return explore_crashes(case, options)
    started = time.monotonic()
    shape = shape_of(case.found, case.lock, case.workers, case.rounds, options.line_bytes)
    world = world_of(replace(shape, limit_s=options.time_limit_s))
    check_steps(world)
    world.in_between = options.search != "dpor"
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
        best = shortest(world, coverage.found, kinds, patience_s) if coverage.found else None
    except (KeyboardInterrupt, Terminated):
        raise Interrupted(_record(case, options, world, coverage, started, None)) from None
    return _record(case, options, world, coverage, started, best, searched_s, kinds)


@stretches_end()
def explore_again(case: Case, options: ExploreOptions, tokens: Sequence[str]) -> ExploredCase | None:
    """Return the case as one of these schedules breaks it, which broke it before; None where none does any more.

    A token of other operations, or of more workers or rounds, is passed over. Raises as `explore` does.
    """
    started = time.monotonic()
    for token in map(read, tokens):
        if token.lock != case.lock or token.workers > case.workers or token.rounds > case.rounds:
            continue
        found = with_calls(case.found, token)
        shape = shape_of(found, case.lock, token.workers, token.rounds, options.line_bytes)
        world = world_of(replace(shape, limit_s=options.time_limit_s))
        check_steps(world)
        whole = world.try_to_follow(token.schedule) == len(token.schedule) and not world.choices()
        end = world.end() if whole else None
        world.back_to(0)
        if end and end.damage:
            broken = FoundSchedule(token.schedule, end)
            tally = Tally(started, schedules=1, broken=1, found=broken)
            coverage = Coverage(tallies=[tally], said=["1 run, the failure of the last time"])
            best = Shortest(world, broken, preemptions(world, token.schedule), 0)
            return replace(_record(case, options, world, coverage, started, best), shrunk=None)
    return None


def _record(
    case: Case,
    options: ExploreOptions,
    world: World,
    coverage: Coverage,
    started: float,
    best: Shortest | None,
    searched_s: float | None = None,
    kinds: frozenset[str] = frozenset(),
) -> ExploredCase:
    searched_s = searched_s or time.monotonic() - started
    kind = case.found.kind
    whole = coverage.exhausted and options.search != "dpor"
    note = coverage.note or _of_how_many(world, coverage)
    record = ExploredCase(
        scenario=case.found.name,
        lock=case.lock,
        workers=case.workers,
        rounds=case.rounds,
        search=options.search,
        verdict="broken" if coverage.broken else ("holds" if coverage.is_enough(options.preemptions) else "unknown"),
        exhausted=coverage.exhausted,
        covered=f"{', '.join(coverage.said)} of {world.shape.size}{note}",
        schedules=coverage.schedules,
        broken_schedules=coverage.broken,
        interleavings=coverage.ways.all if coverage.ways else (coverage.schedules if whole else None),
        broken_interleavings=coverage.ways.broken if coverage.ways else (coverage.broken if whole else None),
        schedules_per_s=round(coverage.schedules / searched_s, 1),
        wall_s=round(time.monotonic() - started, 3),
        expected=case.expected,
        line_bytes=options.line_bytes,
        bound=coverage.bound,
        states=coverage.states,
        ends=world.ends,
        invariant=world.has_invariant and world.in_between,
        why=counterexample_of(kind, locked=world.locked),
        schedules_shown=[runs(each) for tally in coverage.tallies for each in tally.kept][: options.show_schedules],
    )
    if best is None or coverage.found is None:
        return record
    return with_failure(record, case.found, best, len(coverage.found.schedule), kinds)


def _of_how_many(world: World, coverage: Coverage) -> str:
    """Return the number of all schedules, where it is known to be more than were run."""
    if coverage.found or coverage.exhausted or any(tally.too_long for tally in coverage.tallies):
        return ""
    world.back_to(0)
    count = how_many(world)
    return f" (of {about(count)} schedules that there are)" if count > coverage.schedules else ""


def with_failure(
    record: ExploredCase, found: Found, best: Shortest, steps_before: int, kinds: frozenset[str]
) -> ExploredCase:
    """Return the record with the failure: its steps, its reasons, and its token; none where a worker does not end."""
    shape = best.world.shape
    steps, end = trace(best.world, best.found.schedule)
    damage = damage_records(end)
    fixes = Repair(best.world, best.found.schedule).fixes
    token = str(make(found, record.lock, shape.workers, shape.rounds, shape.line, steps))
    headline, reasons, _ = story(steps, damage, record.lock, kinds, fixes, by_invariant=end.by_invariant)
    return replace(
        record,
        preemptions=best.preemptions,
        damage=damage,
        by_invariant=end.by_invariant,
        headline=headline,
        reasons=reasons,
        steps=steps,
        shrunk=SmallestShape(shape.workers, shape.rounds, best.schedules, steps_before),
        token=token if ENDLESS not in end.kinds else None,
    )


def damage_records(end: End) -> list[Damage]:
    """Return the damage as results carry it."""
    return [Damage(each.kind, each.count, each.of, list(each.evidence)) for each in end.damage]


def runs(schedule: bytes) -> str:
    """Return a schedule as its turns: 0x3 1x4 0x1 is three steps of worker 0, four of worker 1, one of worker 0."""
    return " ".join(f"{worker}x{len(list(group))}" for worker, group in groupby(schedule))


def _explore_programs(
    case: Case, options: ExploreOptions, kinds: frozenset[str], started: float, patience_s: float
) -> ExploredCase:
    """Explore the programs of calls by rising size, up to the first that breaks. Raises as `explore` does."""
    done = asked_of(case.found, options)
    try:
        explore_programs(case.found, case.lock, options, kinds, patience_s, done)
    except (KeyboardInterrupt, Terminated):
        raise Interrupted(_record_of_programs(case, options, done, started, kinds)) from None
    return _record_of_programs(case, options, done, started, kinds)


def _record_of_programs(
    case: Case, options: ExploreOptions, done: Explored, started: float, kinds: frozenset[str]
) -> ExploredCase:
    wall_s = time.monotonic() - started
    complete = done.complete == done.operations
    record = ExploredCase(
        scenario=case.found.name,
        lock=case.lock,
        workers=case.workers,
        rounds=case.rounds,
        search=options.search,
        verdict="broken" if done.best else ("holds" if complete else "unknown"),
        exhausted=complete and done.exhausted,
        covered=done.covered(),
        schedules=done.schedules,
        broken_schedules=done.broken,
        interleavings=done.interleavings,
        schedules_per_s=round(done.schedules / wall_s, 1),
        wall_s=round(wall_s, 3),
        expected=case.expected,
        line_bytes=options.line_bytes,
        states=done.states,
        ends=done.ends,
        invariant=has_invariant(case.found.kind),
        why=counterexample_of(case.found.kind, locked=case.lock != "none"),
        programs=done.record(),
    )
    if done.best is None:
        return record
    return with_failure(record, done.best.world.shape.found, done.best, len(done.best.found.schedule), kinds)


NOTHING: Mapping[str, Sequence[str]] = {}


def run(
    cases: Sequence[Case],
    options: ExploreOptions,
    tell: Callable[[str], None],
    first: Mapping[str, Sequence[str]] = NOTHING,
) -> Exploration:
    """Explore every case; `tell` gets the next case's title. What was covered before an interrupt is kept.

    The tokens in `first`, by the scenario's name, are tried before anything else (`explore_again`).

    Where one case cannot be explored, the others are kept too; the error of the only one is raised.
    """
    rows: list[ExploredCase] = []
    begun = RunStart()
    interrupted = False
    failures: list[CaseFailure] = []
    bypassed: dict[type[Scenario], Bypass] = {}
    try:
        with stop_on_sigterm():
            for case in cases:
                tell(case.title)
                try:
                    if case.found.kind in bypassed:
                        raise bypassed[case.found.kind]
                    again = None if case.crash else explore_again(case, options, first.get(case.found.name, ()))
                    rows.append(again or explore(case, options))
                except LabError as error:
                    if len(cases) == 1:
                        raise
                    if isinstance(error, Bypass):  # what it left behind would not be seen to change a second time
                        bypassed[case.found.kind] = error
                    failures.append(CaseFailure(case.title, str(error), error.exit_code))
    except Interrupted as stop:
        rows.append(stop.case)
        interrupted = True
    except (KeyboardInterrupt, Terminated):
        interrupted = True
    return Exploration(
        **begun.header(environment(None, begun.load), interrupted=interrupted),
        options=options,
        cases=rows,
        failures=failures,
    )
