"""The rows to be of a race with programs: of a program alone, or of a program beside a scenario's workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.errors import UsageError
from lab.locks import Lock
from lab.locks.none import Unlocked
from lab.regions import MAPPED
from lab.results import ITS_OWN, Options
from lab.scenario import Found
from lab.scenario.checked_file import CheckedFile

from ..matrix import Case, cases_of
from ..setting import Setting
from .command import Program, program_of

SHARED = ("mapped", "stream")
"""The regions whose bytes and locks are those of the file that the program is given."""


class ItsOwn(Unlocked):
    """The program's lock, whatever it is: the lab takes none."""

    name = ITS_OWN
    summary = "what the program does"


def cases_of_program(options: Options) -> list[Case]:
    """One row a number of copies. Raises UsageError for a program or a check file that is not there or not right."""
    program = program_of(options.program)
    scenario = CheckedFile(Path(options.check))
    found = Found(program.name, CheckedFile, f"copies of {program.name}", Path(options.check))
    return [Case(found, _setting(scenario, program, copies, options)) for copies in options.workers]


def _setting(scenario: CheckedFile, program: Program, copies: int, options: Options) -> Setting:
    lock: Lock = ItsOwn()
    return Setting(
        scenario=scenario,
        lock=lock,
        region=MAPPED.name,
        workers=copies,
        rounds=options.rounds or scenario.rounds,
        pin=options.pin or scenario.pin,
        window_ns=0,
        leak=0.0,
        time_limit_s=options.time_limit_s,
        seed=f"{options.seed}/{program.name}/{copies}",
        program=program,
        copies=copies,
    )


def cases_beside_program(scenarios: Sequence[Found], options: Options) -> list[Case]:
    """The scenarios' rows, with so many copies of the program more in each, which do as many rounds as the others do.

    The lab's workers take fcntl locks where none is asked for. Raises UsageError as `cases_of` and `program_of` do.
    """
    program = program_of(options.program)
    copies = options.program_workers
    wider = replace(options, workers=[own + copies for own in options.workers], locks=options.locks or ["fcntl"])
    cases = cases_of(scenarios, wider)
    for case in cases:
        if case.setting.region not in SHARED:
            raise UsageError(
                f"scenario {case.found.name}: region {case.setting.region} is not the file that --program is given; "
                f"choose another --region ({', '.join(SHARED)})"
            )
    return [replace(case, setting=replace(case.setting, program=program, copies=copies)) for case in cases]
