"""Turn the options of a command into its record: one function for each, which the command line and `lab` call.

What is given is checked first: a `Job` is ready to run, in a process with one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from lab.errors import UsageError
from lab.records import Bench, Check, Document, Exploration, LockSurvey, Price, Ranges, Replay, Run

from .values import TIMEOUT_S, TRIALS

if TYPE_CHECKING:
    from lab.hosts.links import Reach
    from lab.racing import Case
    from lab.racing.cases import RaceCase
    from lab.records import CheckOptions, Options
    from lab.scenario import Found

Tell = Callable[[str], None]
Directory = str | Path
Record = TypeVar("Record", bound=Document)

ORDINARY_S = 5.0
"""Where a case has faults by default its ordinary trials end after so many seconds, so that all of it takes 20 s."""


@dataclass(frozen=True, slots=True)
class Job(Generic[Record]):
    """Something that was asked for and makes sense: how many steps it has, and the function that performs it.

    `perform` takes a function that is told each step's title. `keeps` says that the results folder gets the document.
    """

    steps: int
    perform: Callable[[Tell], Record]
    keeps: bool = False


def race(
    scenarios: Sequence[Found],
    *,
    dir: Sequence[Directory],  # noqa: A002 - as on the command line
    lock: Sequence[str] | None = None,
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
    crash: str = "",
    isolate: str = "",
    time_limit: float = 30.0,
    record: int = 0,
    explain: bool = False,
    explore: bool = True,
    program: str = "",
    program_workers: int = 0,
    check: str = "",
    prepare: str = "",
    recover: str = "",
    watch: bool = False,
    suppress: Sequence[str] = (),
    ignore: Sequence[str] = (),
    make_cases: Callable[[Sequence[Found], Options], list[Case]] | None = None,
    race_case: RaceCase | None = None,
    reach: Reach | None = None,
    tickets: bool = True,
    leak_on: Sequence[str] = (),
    timeout: float = TIMEOUT_S,
) -> Job[Run]:
    """Race the cases that these options make, over the hosts of `reach` if it is given.

    `race_case` races a case in another way than by `trials`. Raises UsageError and CannotRunError for what makes no
    sense or is not available.
    """
    from lab import racing
    from lab.records import Options

    _check_dealt(dir, max(workers) + program_workers)
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
        recover=recover,
        watch=watch,
        suppress=list(suppress),
        ignore=list(ignore),
        detects=detects,
        faults=faults,
        crash=crash,
        explore=explore,
        isolate=isolate,
        ordinary_s=None if own_length or faults or crash else ORDINARY_S,
        directories=[str(each) for each in dir if dir[1:]],
        raise_rounds=not own_length,
        tickets=tickets,
        leak_on=list(leak_on),
        timeout_s=timeout,
    )
    cases = (make_cases or racing.cases_of)(scenarios, options)

    def perform(tell: Tell) -> Run:
        if reach:
            from lab.hosts.run import run_over

            done = run_over(reach, cases, options, tell)
        else:
            done = racing.run(cases, options, tell, race_case)
        if race_case and not reach:
            done = replace(
                done, options=replace(done.options, trials=max((row.trials for row in done.cases), default=0))
            )
        if explore and not done.interrupted:
            from lab.exploring.beside_race import explored_beside

            done = explored_beside(done, scenarios)
        if explain:
            from lab.exploring.beside_race import explain as explained

            done = explained(done, scenarios)
        return _with_files(done, scenarios)

    return Job(len(cases), perform)


def _with_files(done: Run, scenarios: Sequence[Found]) -> Run:
    """Return the run with the files of scenarios that are not found by their names, so that it can be repeated."""
    from lab.exploring.token import where
    from lab.host.environment import anonymous_text

    named = {found.name: where(found) for found in scenarios if found.path.is_file()}
    files = {name: anonymous_text(place) for name, place in named.items() if place != name}
    return replace(done, options=replace(done.options, files=files))


def explore(
    scenarios: Sequence[Found],
    *,
    lock: Sequence[str] | None = None,
    workers: Sequence[int] | None = None,
    rounds: Sequence[int] = (2,),
    operations: int | None = None,
    search: str = "auto",
    preemptions: int = 3,
    tear: int | None = None,
    time_limit: float = 10.0,
    jobs: int = 1,
    seed: int = 0,
    show_schedules: int = 0,
    crash: Sequence[Literal["kill", "power"]] | None = None,
    unit: str = "page",
    crashes: int = 2,
    first: Mapping[str, Sequence[str]] | None = None,
) -> Job[Exploration]:
    """Explore the cases that these options make, the tokens in `first` before anything else.

    Raises as `lab.exploring.run.cases_of` does.
    """
    from lab.exploring.operation import widest_move
    from lab.exploring.run import cases_of, run
    from lab.records import ExploreOptions

    options = ExploreOptions(
        scenarios=[found.name for found in scenarios],
        locks=list(dict.fromkeys(lock or [])),
        workers=list(workers or [2]),
        rounds=list(rounds),
        search=search,
        preemptions=preemptions,
        line_bytes=tear or widest_move(),
        seed=seed,
        jobs=jobs,
        time_limit_s=time_limit,
        show_schedules=show_schedules,
        crash=list(dict.fromkeys(crash or [])),
        unit=unit,
        crashes=crashes,
        operations=operations,
        callers=sorted(set(workers or [2, 3])),
    )
    cases = cases_of(list(scenarios), options)
    return Job(len(cases), lambda tell: run(cases, options, tell, first or {}))


CHECK_S, CHECK_HOSTS_S = 4.0, 8.0
"""The seconds of a check where the user gives none: on one host, and over several, which answer more slowly."""


def check(
    directories: Sequence[Directory],
    *,
    only: Sequence[str] | None = None,
    seconds: float | None = None,
    seed: int = 0,
    workers: int = 4,
    detects: float | None = None,
    faults: bool = False,
    cut: str = "",
    heal: str = "",
    cut_seconds: float = 120.0,
    timeout: float = TIMEOUT_S,
    reach: Reach | None = None,
) -> Job[Check]:
    """Check the directories, which are one seen through different mounts, or one directory from several hosts.

    The commands `cut` and `heal` take a host's network to the file server away for at most `cut_seconds`; a host
    answers within `timeout` s. Raises as `lab.checking.supervise` and `lab.hosts.check` do.
    """
    from lab.checking.request import request_for
    from lab.checking.rules import RULES
    from lab.checking.stress.plan import planned
    from lab.checking.supervise import check
    from lab.host.environment import anonymous_text
    from lab.records import CheckOptions

    names = list(only or [])
    _check_commands(cut, heal, names, faults=faults, on_hosts=bool(reach))
    asked = request_for(names, on_hosts=bool(reach), cut=bool(cut)).guarantees
    options = CheckOptions(
        directories=[anonymous_text(str(directory)) for directory in directories],
        only=names,
        seconds=seconds or (CHECK_HOSTS_S if reach else CHECK_S),
        seed=seed,
        workers=workers,
        detects=detects,
        faults=faults,
        hosts=[host.text for host in reach.hosts] if reach else [],
        cut=cut,
        heal=heal,
        cut_s=cut_seconds,
        timeout_s=timeout,
    )
    if reach:
        return Job(STEPS_ON_HOSTS, _check_on_hosts(options, reach, directories))
    steps = 1 + len(planned(asked)) + sum(rule.guarantee in asked for rule in RULES)
    return Job(steps, lambda tell: check(options, [Path(each) for each in directories], tell))


def _check_commands(cut: str, heal: str, only: Sequence[str], *, faults: bool, on_hosts: bool) -> None:
    """Raise UsageError for commands that cut a host off where they make no sense."""
    from lab.checking.guarantees import FENCING, PARTITION

    if not (cut or heal):
        return
    if not (cut and heal):
        raise UsageError("--cut and --heal: give both, the command that cuts {} off and the one that brings it back")
    if not on_hosts:
        raise UsageError("--cut: takes several hosts (--hosts)")
    if not faults:
        raise UsageError("--cut: may harm what others do with that mount on the host; add --faults to allow it")
    if only and not {PARTITION, *FENCING} & {*only}:
        raise UsageError(f"--cut: --only leaves the cut out; add {PARTITION} to it")
    from lab.hosts.partition import words_of

    for command in (cut, heal):
        words_of(command, "")


STEPS_ON_HOSTS = 70
"""About so many titles a check on several hosts has: its length depends on what the mount has."""


def _check_on_hosts(options: CheckOptions, reach: Reach, directories: Sequence[Directory]) -> Callable[[Tell], Check]:
    """Return what checks one directory from several hosts. Raises UsageError for what makes no sense."""
    from lab.hosts.check import check

    if len(directories) != 1 or not Path(directories[0]).is_absolute():
        raise UsageError("--hosts: give one absolute path, since the directory has the same name on all hosts")
    if len(reach.hosts) < 2 and not reach.mpi:
        raise UsageError("--hosts: one host alone; give two or more, or check it there: lab check DIR")
    return lambda tell: check(options, reach, str(directories[0]), tell)


def replay(
    token: str,
    *,
    dir: Directory,  # noqa: A002 - as on the command line
    times: int = 100,
    time_limit: float = 5.0,
    real: Sequence[str] | None = None,
    found: Found | None = None,
) -> Job[Replay]:
    """Perform the token's interleaving, of the scenario found where one is given. Raises as `reproduce` does.

    A crash by power is performed on these `real` filesystems: "ext4", "xfs", or "all" that can be made here.
    """
    from lab.exploring.crash.script import is_crash
    from lab.records import ReplayOptions

    if is_crash(token):
        from lab.exploring.crash.replay import reproduce
    else:
        from lab.exploring.replay import reproduce

        if real:
            raise UsageError("--real: no power fails in this token; replay it without, or explore --crash power")
    from lab.exploring.sandbox import stretches_end

    options = ReplayOptions(token, times, str(dir), time_limit, list(real or []))
    return Job(1, lambda tell: stretches_end()(reproduce)(options, found))


def locks(
    lock: Sequence[str] | None = None,
    *,
    dir: Directory,  # noqa: A002 - as on the command line
    seconds: float = 5.0,
) -> Job[LockSurvey]:
    """Compare these locks, or all. Raises as `lab.survey` does."""
    from lab.survey import compare, find_candidates

    candidates = find_candidates(lock or [])
    return Job(len(candidates), lambda tell: compare(candidates, Path(dir), seconds, tell))


def bench(
    *,
    dir: Sequence[Directory],  # noqa: A002 - as on the command line
    lock: Sequence[str] | None = None,
    price: Sequence[Price] | None = None,
    workers: Sequence[int] | None = None,
    ranges: Sequence[Ranges] | None = None,
    held: Sequence[int] | None = None,
    hold: int | None = None,
    think: int | None = None,
    pin: str | None = None,
    backing: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    seconds: float = 1.0,
    repeats: int = 31,
    native: bool = False,
    trace: bool = False,
) -> Job[Bench]:
    """Measure what locks cost; with `backing` and nothing about locks, what copying costs. `hold`, `think` are in ns.

    Raises UsageError for what makes no sense together, and for a `trace` of copying; CannotRunError for `native`
    without the compiled part.
    """
    from lab.locking.registry import KERNEL
    from lab.measuring.cases import MOST_HELD, PRICES, check_native
    from lab.measuring.copying import SIZES
    from lab.measuring.run import run
    from lab.records import BenchOptions

    about_locks = native or any(each is not None for each in (lock, price, workers, ranges, held, hold, think, pin))
    if sizes and (about_locks or backing is None):
        raise UsageError("--sizes is about copying; give --backing alone, or leave it out")
    copies = backing is not None and not about_locks
    if copies and trace:
        raise UsageError("--trace is about locks: copying takes none; add --lock NAME, or leave it out")
    if native:
        check_native(lock or KERNEL, backing=backing is not None, busy=bool(hold or think))
    if max(held or [0]) > MOST_HELD:
        raise UsageError(f"--held {max(held or [0])} is too many: at most {MOST_HELD:,}")
    if price == ["hand-off"] and workers == [1]:
        raise UsageError("--price hand-off: one worker has nobody to hand over to; give --workers 2 or more")
    numbers, prices = list(workers or [2]), list(price or PRICES)
    _check_dealt(dir, 1 if copies or prices == ["uncontended"] else max(numbers))
    options = BenchOptions(
        backings=["mapped"] if native else _backings(backing),
        sizes=list(sizes or SIZES) if copies else [],
        directory=str(dir[0]),
        seconds=seconds,
        repeats=repeats,
    )
    if not copies:
        options = replace(
            options,
            directories=[str(each) for each in dir if dir[1:]],
            locks=_locks(lock or KERNEL),
            prices=prices,
            workers=numbers,
            ranges=list(ranges or ["same"]),
            held=list(held or [0]),
            hold_ns=hold or 0,
            think_ns=think or 0,
            pin=pin or "spread",
            native=native,
        )
    return Job(repeats + 1, lambda tell: run(options, tell), keeps=not copies)


def _backings(names: Sequence[str] | None) -> list[str]:
    """Return each backing once; all where the option came without a name, none where it did not come."""
    from lab.memory import BACKINGS, find_backing

    return [] if names is None else list(dict.fromkeys(find_backing(name).name for name in names or BACKINGS))


def _locks(names: Sequence[str]) -> list[str]:
    """Return each lock once. Raise UsageError for one that does not exclude, and for two with the same name."""
    from lab.locking import find_lock

    called: dict[str, str] = {}
    for name in names:
        found = find_lock(name)
        if not found.excludes:
            raise UsageError(f"--lock {name}: excludes nobody, so there is no cost; see `lab list`")
        if called.setdefault(found.name, name) != name:
            raise UsageError(
                f"--lock {name}: is called {found.name}, as {called[found.name]} is, and rows are distinguished by "
                "that; give it another name, or measure it by itself"
            )
    return list(called.values())


def _check_dealt(directories: Sequence[Directory], most_workers: int) -> None:
    """Raise UsageError for more directories than workers: some would not be used."""
    if len(directories) > most_workers:
        workers = "one worker, which uses" if most_workers == 1 else f"{most_workers} workers, of which each uses"
        raise UsageError(f"--dir: {len(directories)} directories for {workers} one; add workers, or give fewer")


VERBS: dict[str, Callable[..., Job[Any]]] = {
    "race": race,
    "explore": explore,
    "check": check,
    "replay": replay,
    "bench": bench,
    "locks": locks,
}
"""The functions by the names of their commands."""
