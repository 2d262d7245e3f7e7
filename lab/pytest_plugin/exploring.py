"""An exploration for a test, and the explanation of a race that broke, in the process that the test's own is not."""

from __future__ import annotations

from dataclasses import replace

from lab.errors import unknown
from lab.explore.case import cases_of
from lab.explore.explain import explain
from lab.explore.locks import MODELLED
from lab.explore.moves import widest_move
from lab.explore.run import run
from lab.explore.strategy import HOW
from lab.results import Case as Row
from lab.results import ExploreOptions, Run
from lab.scenario import Found

from .answer import Explored, Raced
from .arrival import command_name, scenario_from
from .request import ExplainRequest, ExploreRequest

SEARCHES = ("auto", *HOW)


def explored(request: ExploreRequest) -> Explored:
    """Explore the case. Raises LabError for what cannot be explored."""
    if request.search not in SEARCHES:
        raise unknown("search", request.search, list(SEARCHES))
    found = scenario_from(request.scenario)
    options = ExploreOptions(
        scenarios=[found.name],
        locks=[request.lock],
        workers=[request.workers],
        rounds=[request.rounds],
        search=request.search,
        preemptions=request.preemptions,
        line_bytes=widest_move(),
        seed=request.seed,
        jobs=1,
        time_limit_s=request.time_limit_s,
        show_schedules=0,
    )
    done = run(cases_of([found], options), options, lambda title: None)
    if done.interrupted:
        raise KeyboardInterrupt
    return Explored(done, command_name(found) if any(case.token for case in done.cases) else "")


def explained(request: ExplainRequest) -> Raced:
    """The run with the shortest interleaving that does the same damage, where the explorer has one.

    A lock that is not modelled and let two in is no lock in the model.
    """
    import msgspec

    done = msgspec.json.decode(request.run, type=Run)
    found = scenario_from(request.scenario)
    (row,) = done.cases
    (told,) = explain(replace(done, cases=[_modelled(row, found)]), [found]).cases
    return Raced(replace(done, cases=[replace(row, explanation=told.explanation)]), "")


def _modelled(row: Row, found: Found) -> Row:
    lock = "none" if row.overlapping_holds and row.lock not in MODELLED else row.lock
    return replace(row, scenario=found.name, lock=lock)
