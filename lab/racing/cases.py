"""Make the cases of a race from its options, run their trials, and return the record of the run.

A case is raced for a number of trials, or for a time on a mount whose speed is not known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product, zip_longest
from math import ceil, inf
from pathlib import Path
from time import monotonic

from lab.errors import CannotRunError, ScenarioError, UsageError, error_line
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking import RECORDER, Lock, LockFailed, find_lock
from lab.locking.protocol import Missing
from lab.memory import BACKINGS, MAPPED, Backing, find_backing, workspaces
from lab.processes import (
    GroupReaper,
    Terminated,
    stop_on_sigterm,
    stops_held,
)
from lab.processes.namespaces import refused_namespaces
from lab.records import Case as Row
from lab.records import Failure, Options, Run, Verdict
from lab.scenario import Found, Operations, Scenario
from lab.scenario.base import VERDICTS

from .faults import CRASH, NONE, Fault, faults_for, judged
from .mailbox import failed_check
from .probe import Untaken, probe_within
from .summary import held_to, summarise
from .timed import FIRST_ROUNDS, RunTrial, sampled, timed_trials, until_broken, with_recording
from .trial import Result, run_trial
from .worker import Setting

MOST_LIMITS = 6
"""The number of time limits after which a trial ends whose workers still do rounds: on a busy machine they are slow."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row that will be raced: a scenario under a lock with so many workers."""

    found: Found
    setting: Setting

    @property
    def title(self) -> str:
        """Return the title of the case."""
        setting = self.setting
        fault = f", {setting.fault.name}" if setting.fault else ""
        if setting.alone:
            return f"{self.found.name}, {setting.copies} {'copies' if setting.copies > 1 else 'copy'}{fault}"
        where = "" if setting.backing == MAPPED.name else f", backing {setting.backing}"
        return (
            f"{self.found.name}, lock {setting.lock.name}{where}, "
            f"{setting.workers} worker{'s' if setting.workers > 1 else ''}"
            + (f", of them {setting.copies} {setting.program.name}" if setting.program else "")
            + fault
        )


def cases_of(scenarios: Sequence[Found], options: Options) -> list[Case]:
    """Return the cases, scenario x workers x backing x lock, in the order in which the table shows them.

    Each is followed by the same case with each fault (`with_faults`).

    Without locks each scenario is shown under those that it names itself, without backings in its own. Raises
    UsageError for an unknown lock or backing, for a scenario that cannot race, that cannot use a backing or
    expects what is no verdict, and for a leak without a lock.
    """
    cases = [
        each
        for found in scenarios
        for workers, backing, name in product(
            options.workers, _backings(found, options.backings), options.locks or found.kind.locks
        )
        for each in with_faults(Case(found, _setting(found, name, backing, workers, options)), options, name)
    ]
    if options.leak and not any(case.setting.lock.excludes for case in cases):
        raise UsageError("--leak: without a lock there is nothing to leak; add --locked or --lock NAME")
    if options.faults not in ("", NONE) and not any(case.setting.lock.excludes for case in cases):
        raise UsageError("--faults: without a lock nobody holds or waits; add --locked or --lock NAME, or leave it out")
    if options.crash and not any(case.setting.fault is CRASH for case in cases):
        raise UsageError("--crash: takes a lock and two workers or more; add --locked or --lock NAME, or --workers 4")
    return cases


def with_faults(case: Case, options: Options, lock: str = "") -> list[Case]:
    """Return the case, and after it the same with each fault that is asked for; `lock` is the name in the options.

    There are none where a lock is not available or excludes nobody, where nobody can wait, and for a scenario that is
    expected to hang or die.
    """
    setting = case.setting
    faults = faults_for("program" if setting.alone else "lock", options.faults, lock, crash=bool(options.crash))
    if not setting.alone:
        fits = setting.lock.excludes and setting.workers > 1 and not isinstance(setting.lock, Missing)
        expected = setting.scenario.expected(setting.lock.name, setting.backing)
        faults = faults if fits and expected in ("clean", "damaged") else []
    faults = [fault for fault in faults if not (setting.isolate and fault.what == "isolate")]
    return [case, *(replace(case, setting=_faulty(setting, fault, options)) for fault in faults)]


def _faulty(setting: Setting, fault: Fault, options: Options) -> Setting:
    """Return the setting with its fault; the rounds of a program follow the speed of its ordinary row."""
    if setting.alone:
        return replace(setting, fault=fault)
    rounds = FEW if fault is CRASH else EVENTS if fault.seconds else ONCE
    return replace(setting, fault=fault, rounds=rounds, pin=options.pin or "none", seed=f"{setting.seed}/{fault.name}")


def _backings(found: Found, names: Sequence[str]) -> list[Backing]:
    """Return each requested backing once; else the scenario's own. Raises UsageError where it cannot use one."""
    backings = [find_backing(name) for name in dict.fromkeys(names or [found.kind.backing])]
    for backing in backings:
        if found.kind.by_name and not backing.of_file:
            fit = ", ".join(each.name for each in BACKINGS.values() if each.of_file)
            raise UsageError(
                f"scenario {found.name}: saves its file by name, and the bytes of backing {backing.name} are no file; "
                f"choose another --backing ({fit}), or name other scenarios"
            )
    return list(dict.fromkeys(backings))


def _setting(found: Found, name: str, backing: Backing, workers: int, options: Options) -> Setting:
    kind = found.kind
    found.check_world("race")
    found.check_workers(workers)
    scenario = _make_scenario(found)
    expected = scenario.expected(name, backing.name)
    if expected not in VERDICTS:
        raise UsageError(f"scenario {found.name}: expects {expected!r}, which is no verdict; fix the file")
    return Setting(
        scenario=scenario,
        lock=_lock(name),
        backing=backing.name,
        workers=workers,
        rounds=options.rounds or kind.rounds,
        pin=options.pin or kind.pin,
        window_ns=options.window_ns or (scenario.window_ns if isinstance(scenario, Operations) else 0),
        leak=options.leak,
        time_limit_s=_time_limit(kind, expected, options),
        most_limits=MOST_LIMITS,
        seed=f"{options.seed}/{found.name}/{name}/{workers}",
        isolate=bool(options.isolate),
    )


def _lock(name: str) -> Lock:
    """Return the lock; a lock that is not available here keeps its row and does not end the others.

    A package may be missing that it needs.
    """
    try:
        return find_lock(name)
    except CannotRunError as error:
        return Missing(name, str(error))


def _make_scenario(found: Found) -> Scenario:
    """Return the scenario itself; an exception of its `__init__` is a mistake in the file."""
    try:
        return found.kind()
    except Exception as error:
        raise UsageError(f"scenario {found.name}: cannot be made: {error_line(error)}; fix the file") from error


def _time_limit(kind: type[Scenario], expected: str, options: Options) -> float:
    """Return the user's limit; the scenario's own, shorter one only where it says that it will hang."""
    hangs = expected == "timeout" and kind.time_limit
    return min(options.time_limit_s, hangs or options.time_limit_s)


def run_case(
    case: Case,
    trials: int,
    folders: Sequence[Path],
    seconds: float = inf,
    *,
    raise_rounds: bool = False,
    trial: RunTrial | None = None,
) -> Row:
    """Race the trials of one case in this folder, or in several that show one directory (`run_trial`).

    None is begun, after the first, that would end after so many seconds, if it takes as long as those before. With
    `raise_rounds` a case that should break and did not goes on with longer trials; the row has the rounds of the last.
    """
    results = _trials(case.setting, trials, folders, seconds, trial)
    if not raise_rounds or not _should_break(case.setting):
        return row_of(case, folders, results)
    rounds = [case.setting.rounds]
    row = row_of(case, folders, until_broken(case.setting, results, folders, rounds, trial))
    return replace(row, rounds=rounds[-1])


def _should_break(setting: Setting) -> bool:
    """Return True for a race of the lab's own workers that is to show damage."""
    return not setting.program and setting.scenario.expected(setting.lock.name, setting.backing) == "damaged"


def row_of(case: Case, folders: Sequence[Path], trials: Iterable[Result]) -> Row:
    """Return the row of a case from its trials, which run as they are requested, once the lock is known to answer.

    A case stops at the first trial in which a worker died or hung: what it left cannot be judged. Nor can a case
    whose scenario raises outside its workers, in `check` as a rule.
    """
    results: list[Result] = []
    trouble: tuple[Verdict, str] | None = None
    of_check: list[Failure] = []
    try:
        for folder in folders if case.setting.lock.excludes else ():
            probe_within(case.setting.lock, folder, case.setting.time_limit_s, silent=case.setting.stresses)
        for result in trials:
            results.append(result)
            if result.failures:
                break
    except Untaken as error:
        trouble = error.verdict, str(error)
    except CannotRunError as error:
        trouble = "unsupported", str(error)
    except (ScenarioError, LockFailed) as error:
        trouble = "died", str(error)
        of_check = list(failed_check(error, len(results)))
    except (MemoryError, OverflowError):
        asked = f"{case.setting.rounds:,} rounds of {case.setting.workers:,} workers"
        trouble = "unsupported", f"{case.found.name}: no memory for {asked}; lower --rounds or --workers"
    except OSError as error:
        trouble = "unsupported", f"{case.found.name}: {error.strerror or error}; raise the limit, or try another --dir"
    row = summarise(case.found, case.setting, results)
    row = _with_calls(row, results)
    if trouble is None:
        return row
    return replace(row, verdict=trouble[0], reason=anonymous_text(trouble[1]), failures=[*row.failures, *of_check])


def _with_calls(row: Row, results: Sequence[Result]) -> Row:
    """Return the row with what became of calls of operations, where there are some."""
    if not any(result.calls for result in results):
        return row
    from .calls import with_calls

    return with_calls(row, [result.calls.figures for result in results if result.calls])


PATIENCE_S = 2.0
"""After a fault somebody must be let in within this time."""

SLACK = 4
"""The factor for the longest wait of the ordinary race, where that makes the patience longer."""

EVENTS = 2000
ONCE = 20
FEW = 5
"""The most rounds of a trial in which every round has a fault, the rounds where one has, and those with a crash.

After a crash nothing more is learnt from a trial but whether it recovers: the next one counts for more.
"""


def run_faulty(case: Case, ordinary: Row, folders: Sequence[Path], patience_s: float = PATIENCE_S) -> Row:
    """Race a case while its fault is made, unless its `ordinary` row shows already that it does not work.

    In `patience_s`, or what the waits of the ordinary row make of it, somebody must be let in after a fault.
    """
    fault, setting = case.setting.fault, case.setting
    assert fault  # noqa: S101 - what `run` calls it for
    if not ordinary.as_expected:
        already = f"{ordinary.verdict} already without a fault"
        return untried(case, "unsupported", f"not tried: {already}" + f": {ordinary.reason}" * bool(ordinary.reason))
    if case.setting.alone:
        from .programs.crash import crash_trials
        from .programs.faulty import faulty_trials, setting_with_fault

        case = replace(case, setting=setting_with_fault(case.setting, ordinary))
        if fault.what == "crash":
            trials = crash_trials(case.setting, folders, ordinary, setting.time_limit_s)
            return judged(row_of(case, folders, trials), fault, case.setting.time_limit_s)
        return row_of(case, folders, faulty_trials(case.setting, folders, ordinary))
    longest_s = ordinary.wait_ns.max / 1e9 if ordinary.wait_ns else 0.0
    limit_s = min(max(patience_s, SLACK * longest_s), setting.time_limit_s)
    limits = ceil(setting.time_limit_s / limit_s)
    setting = replace(setting, time_limit_s=fault.stop_s + limit_s, most_limits=limits)
    case = replace(case, setting=setting)
    row = race_for(case, folders, fault.seconds) if fault.seconds else run_case(case, 1, folders)
    row = judged(row, fault, limit_s)
    if fault.what == "crash" and row.expected == "clean" and setting.scenario.after_crash.get("kill") == "damaged":
        row = replace(row, expected="damaged")
    return row


def _ordinary(rows: Sequence[Row]) -> Row:
    """Return the last row that was raced without a fault."""
    return next(row for row in reversed(rows) if not row.fault)


def untried(case: Case, verdict: Verdict, reason: str, failures: Sequence[Failure] = ()) -> Row:
    """Return the row of a case that is known beforehand to have no result."""
    row = summarise(case.found, case.setting, [])
    return replace(row, verdict=verdict, reason=anonymous_text(reason), failures=list(failures))


def _trials(
    setting: Setting, trials: int, folders: Sequence[Path], seconds: float, trial: RunTrial | None
) -> Iterator[Result]:
    trial = trial or run_trial
    if setting.alone:
        from .programs.cases import run_alone

        trial = run_alone
    begun = monotonic()
    for number in range(trials):
        if number and (monotonic() - begun) * (number + 1) / number > seconds:
            return
        yield trial(setting, number, folders)


def race_for(
    case: Case,
    folders: Sequence[Path],
    seconds: float,
    first_rounds: int = FIRST_ROUNDS,
    *,
    enough: float = inf,
    trial: RunTrial | None = None,
) -> Row:
    """Race trials of one case on fresh files until the time is used; return the row of all of them.

    It ends earlier once `enough` requests met a holder. It takes at least one trial, of `first_rounds`; none has more
    rounds than the case's setting says, and the row's `rounds` are those. Quantiles of waits and holds are those of an
    even sample of each trial, their maximum that of all. Like `run_case` it ends with the first trial in which a worker
    failed, and takes several folders for one directory seen through several mounts.
    """
    return row_of(case, folders, sampled(timed_trials(case.setting, folders, seconds, first_rounds, enough, trial)))


RaceCase = Callable[[Case, Sequence[Path]], Row]
"""A way to race an ordinary case in these folders."""


def run(cases: Sequence[Case], options: Options, tell: Callable[[str], None], race_case: RaceCase | None = None) -> Run:
    """Race every case, by trials or in the way given; `tell` gets the next case's title.

    The cases that are finished at an interrupt (Ctrl-C, SIGTERM) are kept, and the record says `interrupted`. Raises
    CannotRunError where the directory cannot be used at all.
    """
    if options.isolate and (refused := refused_namespaces()):
        raise CannotRunError(refused)
    rows: list[Row] = []
    begun, interrupted = RunStart(), False
    with GroupReaper(), workspaces([Path(each) for each in options.directories or [options.directory]]) as folders:
        try:
            with stop_on_sigterm():
                for case, following in zip_longest(cases, cases[1:]):
                    tell(case.title)
                    faults_follow = following and following.setting.fault
                    seconds = options.ordinary_s if options.ordinary_s and faults_follow else inf
                    if case.setting.fault:
                        rows.append(run_faulty(case, _ordinary(rows), folders))
                        continue
                    if race_case:
                        row = race_case(case, folders)
                    else:
                        row = run_case(case, options.trials, folders, seconds, raise_rounds=options.raise_rounds)
                    rows.append(held_to(options.detects, row))
                    if options.record:
                        rows[-1] = with_recording(rows[-1], case.setting, options.record, folders)
        except (KeyboardInterrupt, Terminated):
            interrupted = True
        with stops_held():
            where = environment(folders[0], begun.load, RECORDER, several=options.directories)
    return Run(
        **begun.header(where, interrupted=interrupted),
        options=anonymous_options(options),
        cases=rows,
    )


def anonymous_options(options: Options) -> Options:
    """Return the options without the user's name in their paths."""
    return replace(
        options,
        directory=anonymous_text(options.directory),
        directories=list(map(anonymous_text, options.directories)),
        program=anonymous_text(options.program),
        check=anonymous_text(options.check),
        prepare=anonymous_text(options.prepare),
        recover=anonymous_text(options.recover),
    )
