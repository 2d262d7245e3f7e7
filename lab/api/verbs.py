"""Turn the options of a command into its record: one function for each, which the command line and `lab` call.

What is given is checked first: a `Job` is ready to run, in a process with one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lab.records import Document, Exploration, Run

from .values import TRIALS

if TYPE_CHECKING:
    from lab.locking import Lock
    from lab.racing import Case
    from lab.racing.cases import RaceCase
    from lab.records import Options
    from lab.scenario import Found

Tell = Callable[[str], None]
Record = TypeVar("Record", bound=Document)

ORDINARY_S = 5.0
"""Where a case has faults by default its ordinary trials end after so many seconds, so that all of it takes 20 s."""


@dataclass(frozen=True, slots=True)
class Job(Generic[Record]):
    """Something that was asked for and makes sense: how many steps it has, and the function that performs it.

    `perform` takes a function that is told each step's title.
    """

    steps: int
    perform: Callable[[Tell], Record]


def race(
    scenarios: Sequence[Found],
    *,
    dir: Sequence[Path],  # noqa: A002 - as on the command line
    lock: Sequence[str] | None = None,
    locks: Mapping[str, Lock] | None = None,
    workers: Sequence[int] = (4,),
    rounds: int | None = None,
    trials: int | None = None,
    backing: Sequence[str] | None = None,
    seed: int = 0,
    pin: str | None = None,
    window: int = 0,
    leak: float = 0.0,
    detects: float | None = None,
    faults: str = "",
    isolate: str = "",
    time_limit: float = 30.0,
    record: int = 0,
    explain: bool = False,
    explore: bool = True,
    program: str = "",
    program_workers: int = 0,
    check: str = "",
    prepare: str = "",
    make_cases: Callable[[Sequence[Found], Options], list[Case]] | None = None,
    race_case: RaceCase | None = None,
) -> Job[Run]:
    """Race the cases that these options make.

    `locks` are those that were given as objects, by their names. `race_case` races a case in another way than by
    `trials`. Raises UsageError and CannotRunError for what makes no sense or is not available.
    """
    from lab import racing
    from lab.records import Options

    own_length = trials or rounds or detects
    options = Options(
        scenarios=[found.name for found in scenarios],
        locks=list(dict.fromkeys(lock or [])),
        workers=list(workers),
        rounds=rounds,
        trials=trials or TRIALS,
        directory=str(dir[0]),
        seed=seed,
        pin=pin,
        window_ns=window,
        leak=leak,
        time_limit_s=time_limit,
        backings=list(dict.fromkeys(backing or [])),
        record=record,
        program=program,
        program_workers=program_workers,
        check=check,
        prepare=prepare,
        detects=detects,
        faults=faults,
        explore=explore,
        isolate=isolate,
        ordinary_s=None if own_length or faults else ORDINARY_S,
        directories=[str(each) for each in dir if dir[1:]],
        raise_rounds=not own_length,
    )
    cases = make_cases(scenarios, options) if make_cases else racing.cases_of(scenarios, options, locks or {})

    def perform(tell: Tell) -> Run:
        done = racing.run(cases, options, tell, race_case)
        if race_case:
            done = replace(
                done, options=replace(done.options, trials=max((row.trials for row in done.cases), default=0))
            )
        if explore and not done.interrupted:
            from lab.exploring.beside_race import explored_beside

            done = explored_beside(done, scenarios)
        if explain:
            from lab.exploring.beside_race import explain as explained

            done = explained(done, scenarios)
        return done

    return Job(len(cases), perform)


def explore(
    scenarios: Sequence[Found],
    *,
    lock: Sequence[str] | None = None,
    workers: Sequence[int] = (2,),
    rounds: Sequence[int] = (2,),
    search: str = "auto",
    preemptions: int = 3,
    tear: int | None = None,
    time_limit: float = 10.0,
    jobs: int = 1,
    seed: int = 0,
    show_schedules: int = 0,
) -> Job[Exploration]:
    """Explore the cases that these options make. Raises as `lab.exploring.run.cases_of` does."""
    from lab.exploring.operation import widest_move
    from lab.exploring.run import cases_of, run
    from lab.records import ExploreOptions

    options = ExploreOptions(
        scenarios=[found.name for found in scenarios],
        locks=list(dict.fromkeys(lock or [])),
        workers=list(workers),
        rounds=list(rounds),
        search=search,
        preemptions=preemptions,
        line_bytes=tear or widest_move(),
        seed=seed,
        jobs=jobs,
        time_limit_s=time_limit,
        show_schedules=show_schedules,
    )
    cases = cases_of(list(scenarios), options)
    return Job(len(cases), lambda tell: run(cases, options, tell))


VERBS: dict[str, Callable[..., Job[Any]]] = {"race": race, "explore": explore}
"""The functions by the names of their commands."""
