"""A race for a test, in the process that forks: one case, and the record of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.environment import Begun, anonymous_text, environment
from lab.locks import RECORDER
from lab.processes import stops_held
from lab.race import Case, cases_of
from lab.regions import workspace
from lab.results import SCHEMA, Options, Run

from .answer import Raced
from .arrival import command_name, lock_from, scenario_from
from .pace import raced
from .request import RaceRequest

STAND_IN = "fcntl"
"""Named where the lock is an object: a case begins with a name."""


def race(request: RaceRequest) -> Raced:
    """Race the case. Raises LabError for what cannot be found or raced; what happens in the race is its result."""
    case, options = _case(request)
    begun = Begun()
    with workspace(Path(request.directory)) as folder:
        shown = raced(case, folder, request)
        with stops_held():
            where = environment(folder, begun.load, RECORDER)
    row = shown.row
    run = Run(
        schema=SCHEMA,
        command="race",
        started=begun.moment,
        wall_s=begun.wall_s,
        interrupted=False,
        environment=where,
        options=replace(options, directory=anonymous_text(options.directory), trials=row.trials),
        cases=[row],
    )
    name = "" if row.verdict == "clean" else command_name(case.found)
    return Raced(run, name, manner=shown.manner, raced_s=shown.raced_s)


def _case(request: RaceRequest) -> tuple[Case, Options]:
    found = scenario_from(request.scenario)
    lock = lock_from(request.lock)
    named = request.lock.get("name")
    options = Options(
        scenarios=[found.name],
        locks=[named or STAND_IN],
        workers=[request.workers],
        rounds=request.rounds,
        trials=request.trials or 0,
        directory=request.directory,
        seed=request.seed,
        pin=None,
        window_ns=request.window_ns,
        leak=request.leak,
        time_limit_s=request.time_limit_s,
        regions=[request.region] if request.region else [],
    )
    (case,) = cases_of([found], options)
    if named:
        return case, options
    seed = f"{request.seed}/{found.name}/{lock.name}/{request.workers}"
    return replace(case, setting=replace(case.setting, lock=lock, seed=seed)), replace(options, locks=[lock.name])
