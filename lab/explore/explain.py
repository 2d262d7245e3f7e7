"""Why a race broke: the shortest interleaving that does the same damage, found after the race, attached to its case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.errors import LabError
from lab.processes import Terminated
from lab.results import Case as Raced
from lab.results import Explored, ExploreOptions, Run
from lab.scenario import Found

from .case import Case, Interrupted, explore
from .locks import MODELLED
from .moves import widest_move

SHAPES = ((2, 1), (2, 2), (2, 3), (3, 2))
"""Workers and rounds in which the damage is looked for, smallest first: most races need no more."""

SECONDS = 3.0
"""For each shape."""


def explain(run: Run, scenarios: Sequence[Found]) -> Run:
    """The run with an explanation at each damaged case whose scenario and lock can be simulated.

    The simulated memory is shared: what breaks for want of that no interleaving explains.
    Somebody who interrupts has the race, and the explanations that were found by then.
    """
    by_name = {found.name: found for found in scenarios}
    cases = list(run.cases)
    try:
        for place, case in enumerate(cases):
            cases[place] = _explained(case, by_name[case.scenario])
    except (Interrupted, KeyboardInterrupt, Terminated):
        return replace(run, cases=cases, interrupted=True)
    return replace(run, cases=cases)


def unmodelled(run: Run) -> list[str]:
    """One line a lock whose damage cannot be explained: the explorer has no model of it."""
    locks = dict.fromkeys(case.lock for case in run.cases if case.verdict in ("damaged", "timeout"))
    return [
        f"--explain: the explorer has no model of lock {lock}, only of {', '.join(MODELLED)}, and explains none of its "
        "damage"
        for lock in locks
        if lock not in MODELLED
    ]


def _explained(case: Raced, found: Found) -> Raced:
    kinds = frozenset(each.kind for each in case.damage) or frozenset(["deadlock"])
    simulated = case.shares and "explore" in found.kind.worlds and case.lock in MODELLED
    if case.verdict not in ("damaged", "timeout") or not simulated:
        return case
    try:
        return replace(case, explanation=_search(case, found, kinds))
    except LabError:  # what cannot be explored was raced all the same
        return case


def _search(case: Raced, found: Found, kinds: frozenset[str]) -> Explored:
    """The first shape in which the same kind of damage comes up; none: what the model says of the scenario."""
    for workers, rounds in SHAPES:
        if workers <= case.workers and rounds <= case.rounds:
            record = explore(Case(found, case.lock, workers, rounds), _options(found, case.lock), kinds)
            if record.verdict == "broken":
                return record
    workers = min(2, case.workers)
    return explore(Case(found, case.lock, workers, min(2, case.rounds)), _options(found, case.lock))


def _options(found: Found, lock: str) -> ExploreOptions:
    return ExploreOptions(
        scenarios=[found.name],
        locks=[lock],
        workers=[],
        rounds=[],
        search="auto",
        preemptions=3,
        line_bytes=widest_move(),
        seed=0,
        jobs=1,
        time_limit_s=SECONDS,
        show_schedules=0,
    )
