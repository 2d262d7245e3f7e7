"""Make the cases of a race with programs: of a program alone, or of a program beside a scenario's workers.

The trial of a program and a check file is here too: it has a folder of its own, the copies, and one check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import time_ns
from typing import Protocol

from lab.analysis.holds import sweep
from lab.errors import UsageError
from lab.locking import Lock
from lab.locking.control import Unlocked
from lab.memory import MAPPED, Folder, create
from lab.memory.folder import status
from lab.racing.cases import Case, cases_of, with_faults
from lab.racing.faults import NONE
from lab.racing.mailbox import Mailbox
from lab.racing.trial import Result, check_shown
from lab.racing.worker import Setting
from lab.records import ITS_OWN, Failure, Options
from lab.scenario import Found, Outcome

from .check import CommandCheck, FileCheck, check_of
from .explain import explain_programs
from .launch import PLACEHOLDERS, Program, command_of, program_of
from .meddle import Meddler
from .recorded import Watcher
from .watch import Ran, run_programs

SHARED = ("mapped", "stream")
"""The backings whose bytes and locks are those of the file that the program is given."""


class ItsOwn(Unlocked):
    """The program's own lock, whatever it is: the lab acquires none."""

    name = ITS_OWN
    summary = "what the program does"


def cases_of_program(options: Options) -> list[Case]:
    """Return one row for each number of copies, and after it one for each fault.

    Raises UsageError for a missing or wrong program or check file.
    """
    program = program_of(options.program)
    scenario = check_of(options.check, options.prepare)
    recover = command_of("--recover", options.recover, PLACEHOLDERS) if options.recover else None
    if options.crash and isinstance(scenario, CommandCheck) and "rounds" in scenario.used and not _is_told(scenario):
        raise UsageError(f"--check: {COUNTS}")
    found = Found(program.name, type(scenario), f"copies of {program.name}", Path(options.check))
    cases = [
        Case(found, replace(_setting(scenario, program, copies, options), recover=recover))
        for copies in options.workers
    ]
    return [each for case in cases for each in with_faults(case, options)]


COUNTS = "a killed copy does fewer than {rounds}; count at least {finished}, at most {begun}, the rounds of all copies"


def _is_told(check: CommandCheck) -> bool:
    """Return whether a command that checks is told how many rounds may count after a kill."""
    return "finished" in check.used and "begun" in check.used


def _setting(scenario: FileCheck, program: Program, copies: int, options: Options) -> Setting:
    lock: Lock = ItsOwn()
    return Setting(
        scenario=scenario,
        lock=lock,
        backing=MAPPED.name,
        workers=copies,
        rounds=options.rounds or scenario.rounds,
        pin=options.pin or scenario.pin,
        window_ns=0,
        leak=0.0,
        time_limit_s=options.time_limit_s,
        seed=f"{options.seed}/{program.name}/{copies}",
        program=program,
        copies=copies,
        isolate=bool(options.isolate),
        watcher=Watcher(options.suppress, options.ignore) if options.watch else None,
    )


def cases_beside_program(scenarios: Sequence[Found], options: Options) -> list[Case]:
    """Return the scenarios' rows, each with so many copies of the program, which do as many rounds as the workers.

    The lab's workers acquire fcntl locks where none is requested. Raises UsageError as `cases_of` and `program_of` do.
    """
    program = program_of(options.program)
    copies = options.program_workers
    if options.faults not in ("", NONE):
        raise UsageError("--faults: is for a program alone, or a scenario alone; leave out one of them, or --faults")
    workers = [own + copies for own in options.workers]
    wider = replace(options, faults=NONE, workers=workers, locks=options.locks or ["fcntl"])
    cases = cases_of(scenarios, wider)
    for case in cases:
        if case.setting.backing not in SHARED:
            raise UsageError(
                f"scenario {case.found.name}: backing {case.setting.backing} is not the file that --program is given; "
                f"choose another --backing ({', '.join(SHARED)})"
            )
    return [replace(case, setting=replace(case.setting, program=program, copies=copies)) for case in cases]


NOT_LET_IN = "was not let in after a death: it"
NAME = "data"
"""The name of the file, in the folder of its trial."""


class Then(Protocol):
    """What follows a trial in which a copy was killed for good; it returns the result with what it adds."""

    def __call__(self, setting: Setting, number: int, result: Result, file: Path, killed: int) -> Result:
        """Do it."""


def run_alone(
    setting: Setting,
    number: int,
    folders: Sequence[Path],
    *,
    meddle: Callable[[Path], Meddler] | None = None,
    then: Then | None = None,
) -> Result:
    """Race the copies of a program on a new file in this folder; several folders are as for `run_trial`.

    Meanwhile what `meddle` makes for this file makes its faults. Where a copy was killed for good, `then` follows
    instead of the check.

    Raises CannotRunError or OSError where the file, the processes or their pipes are refused, or a folder does not show
    the file, and ScenarioError where the check fails.
    """
    scenario = setting.scenario
    assert isinstance(scenario, FileCheck)  # noqa: S101 - what `cases` makes
    watcher = setting.watcher
    with _trial_folder(folders[0], number) as own, watcher.trial() if watcher else nullcontext() as logs:
        file = own / NAME
        create(file, b"", sparse=True)
        scenario.first_content(file, setting.time_limit_s)
        files = [folder / own.name / NAME for folder in folders]
        for each in files[1:]:
            check_shown(each, status(file).st_size, file)
        mailbox = Mailbox()
        seed = f"{setting.seed}/{number}"
        meddler = meddle(file) if meddle else Meddler(seed, file)
        try:
            variables = logs.variables() if logs else {}
            ran = run_programs(setting, files, mailbox, seed, meddler=meddler, variables=variables)
            refused = {report.worker: report.error for report in mailbox.read()}
        finally:
            mailbox.close()
        kills = setting.fault is not None and setting.fault.kills
        killed = None if ran.unready else meddler.killed
        failures = list(explain_programs(setting, number, ran, refused))
        failures = _after_death(failures) if (kills or killed is not None) and not ran.unready else failures
        result = replace(
            _result(setting, ran, failures),
            faults_made=meddler.made,
            fault_note=meddler.note,
            kills_inside=int(meddler.inside),
        )
        if watcher and logs:
            result = watcher.judge(result, logs, file, ran.pids)
        if then and killed is not None:
            return result if result.failures else then(setting, number, result, files[killed % len(files)], killed)
        if not result.failures and not kills:
            outcome = Outcome(rounds=result.operations, by_worker=result.rounds_done)
            result.judge(scenario.judge(file, outcome, setting.time_limit_s))
        return result


def _after_death(failures: Sequence[Failure]) -> list[Failure]:
    """Return the failures of copies that were not let in after a death.

    The copy that was killed has not failed, and one that ends by itself may have found the file half written: that is
    no fault of its lock.
    """
    late = [each for each in failures if each.how == "late"]
    return [replace(each, reason=each.reason.replace("(program) ", f"(program) {NOT_LET_IN} ", 1)) for each in late]


def _result(setting: Setting, ran: Ran, failures: list[Failure]) -> Result:
    ends = [ran.ended_ns.get(index, ran.released_ns) for index in range(setting.workers)]
    return Result(
        wall_ns=max(ends) - ran.released_ns,
        rounds_done=[setting.rounds if ran.well(index) else 0 for index in range(setting.workers)],
        running_ns=[end - ran.released_ns for end in ends],
        exits=ran.exits,
        holds=[],
        unrecorded=0,
        exclusion=sweep([]),
        private_bytes=0,
        failures=failures,
        sampled=ran.samples.result([]),
        orphans=ran.orphans,
    )


@contextmanager
def _trial_folder(folder: Path, number: int) -> Iterator[Path]:
    """Make a new folder, removed with all that the programs make in it."""
    own = Folder.make(folder / f"{time_ns():x}-trial-{number}")
    try:
        with own.kept_open():
            yield own.path
    finally:
        own.remove()
