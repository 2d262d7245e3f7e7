"""Explore the cases of a race: those that stayed clean for a moment, and those that broke for the reason.

A race meets few orders of the workers' steps, and its check may come too late to see what they did. So each clean case
that can be simulated is explored too, after the race, in a child that is ended in time. A race that broke asks for the
shortest interleaving that does the same damage (`explain`).
"""

from __future__ import annotations

import os
import pickle
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from lab.errors import CannotRunError, LabError
from lab.locking.registry import MODELLED
from lab.processes import Terminated
from lab.processes.rpc import LONGEST, attempt_all
from lab.records import Case as Raced
from lab.records import ExploredCase, ExploreOptions, Run
from lab.scenario import Found, Operations

from .case import Case
from .operation import widest_move
from .run import Interrupted, explore

SHAPES = ((2, 1), (2, 2), (2, 3), (3, 2))
"""Workers and rounds in which damage is looked for, smallest first: most races need no more."""

SECONDS = 3.0
"""The time in seconds for each shape, to explain damage."""

BRIEFLY_S = 0.3
"""The time in seconds for all shapes of a case that stayed clean."""

ENDED_S = 2.0
"""The time in seconds after which its child is ended: it also says why a schedule broke, or hangs in a round."""


def explored_beside(run: Run, scenarios: Sequence[Found]) -> Run:
    """Return the run with a short exploration at each clean case whose scenario and lock can be simulated.

    A case that was to stay clean and breaks there is damaged. What cannot be explored stays as it is. After an
    interrupt the run has the race, and the explorations that were made by then.
    """
    by_name = {found.name: found for found in scenarios}
    cases = list(run.cases)
    places = [] if run.options.leak else [at for at, case in enumerate(cases) if _is_clean_and_simulated(case, by_name)]
    together = len(os.sched_getaffinity(0))
    try:
        for at in range(0, len(places), together):
            some = places[at : at + together]
            tasks = [partial(_told, cases[place], by_name[cases[place].scenario]) for place in some]
            for place, record in zip(some, _answers(tasks), strict=True):
                cases[place] = _with(cases[place], record) if record else cases[place]
    except (KeyboardInterrupt, Terminated):
        return replace(run, cases=cases, interrupted=True)
    except CannotRunError:  # no process is available: the race stays as it is
        pass
    return replace(run, cases=cases)


def _is_clean_and_simulated(case: Raced, by_name: dict[str, Found]) -> bool:
    is_clean = case.verdict in ("clean", "inconclusive") and case.operations and not case.program
    return bool(is_clean) and case.workers > 1 and _is_simulated(case, by_name[case.scenario])


def _is_simulated(case: Raced, found: Found) -> bool:
    return case.shares and not case.fault and "explore" in found.kind.worlds and case.lock in MODELLED


def _answers(tasks: Sequence[Callable[[], str]]) -> Iterator[ExploredCase | None]:
    for attempt in attempt_all(tasks, ENDED_S):
        yield pickle.loads(zlib.decompress(b64decode(attempt.answer))) if attempt.answer else None  # noqa: S301 - our fork


def _told(case: Raced, found: Found) -> str:
    """Explore a case, in its child; return the record as text, without its steps where they are too many."""
    record = _briefly(case, found)
    if record is None:
        return ""
    text = _packed(record)
    return text if len(text) < LONGEST else _packed(replace(record, steps=[]))


def _packed(record: ExploredCase) -> str:
    return b64encode(zlib.compress(pickle.dumps(record))).decode()


def _briefly(case: Raced, found: Found) -> ExploredCase | None:
    """Return the first shape that breaks, else the largest that was covered; None where that says nothing."""
    deadline = time.monotonic() + BRIEFLY_S
    best: ExploredCase | None = None
    for workers, rounds in _shapes(case, found):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        try:
            asked = replace(_options(found, case.lock), time_limit_s=left_s)
            record = explore(Case(found, case.lock, workers, rounds), asked, patience_s=left_s)
        except LabError:  # what cannot be explored was raced
            return best
        if record.verdict == "broken":
            return None if _is_sequential(record) else record
        if record.verdict == "unknown":
            return best or record
        best = record
    return best


def _is_sequential(record: ExploredCase) -> bool:
    """Return True where it broke although each worker began after the one before had finished.

    That is no race: the check is one that holds only for more rounds.
    """
    turns = 1 + sum(step.turn != "same" for step in record.steps[1:])
    return not record.by_invariant and turns == len({step.worker for step in record.steps})


def _with(case: Raced, record: ExploredCase) -> Raced:
    """Return the case with its exploration, and the verdict that follows from both."""
    case = replace(case, explored=record)
    if record.verdict != "broken" or case.expected != "clean":
        return case
    reason = f"the race found no corruption; exploring breaks it {record.how_it_breaks}"
    return replace(case, verdict="damaged", reason=reason)


def explain(run: Run, scenarios: Sequence[Found]) -> Run:
    """Return the run with an explanation at each damaged case whose scenario and lock can be simulated.

    The simulated memory is shared: damage that is caused by unshared memory has no interleaving that explains it. After
    an interrupt the run has the race, and the explanations that were found by then.
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
    """Return one line for each lock whose damage cannot be explained: the explorer has no model of it."""
    locks = dict.fromkeys(case.lock for case in run.cases if case.verdict in ("damaged", "timeout"))
    return [
        f"--explain: the explorer has no model of lock {lock}, only of {', '.join(MODELLED)}, and explains none of its "
        "damage"
        for lock in locks
        if lock not in MODELLED
    ]


def _explained(case: Raced, found: Found) -> Raced:
    if case.breaking_exploration:
        return replace(case, explanation=case.breaking_exploration)
    kinds = frozenset(each.kind for each in case.damage) or frozenset(["deadlock"])
    if case.verdict not in ("damaged", "timeout") or not _is_simulated(case, found):
        return case
    try:
        return replace(case, explanation=_search(case, found, kinds))
    except LabError:  # what cannot be explored was raced
        return case


def _search(case: Raced, found: Found, kinds: frozenset[str]) -> ExploredCase:
    """Return the first shape in which the same kind of damage occurs; else what the model says of the scenario."""
    for workers, rounds in _shapes(case, found):
        record = explore(Case(found, case.lock, workers, rounds), _options(found, case.lock), kinds)
        if record.verdict == "broken":
            return record
    workers = min(2, case.workers)
    return explore(Case(found, case.lock, workers, min(2, case.rounds)), _options(found, case.lock))


def _shapes(case: Raced, found: Found) -> list[tuple[int, int]]:
    """Return workers and rounds, the fewest first; programs of calls grow by themselves."""
    if issubclass(found.kind, Operations):
        return list(SHAPES[:1])
    return [(workers, rounds) for workers, rounds in SHAPES if workers <= case.workers and rounds <= case.rounds]


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
