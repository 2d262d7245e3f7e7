"""The trial of a program and a check file: a folder of its own, the copies, one check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time_ns

from lab.model.holds import sweep
from lab.regions import Folder, create
from lab.results import Failure
from lab.scenario import Outcome
from lab.scenario.checked_file import CheckedFile
from lab.scenario.faults import listed_damage

from ..reports import Mailbox
from ..setting import Setting
from ..trial import Result, mended_by_its_author
from .failures import explain_programs
from .watch import Ran, run_programs

NAME = "data"
"""Of the file, in the folder of its trial."""


def run_alone(setting: Setting, number: int, folder: Path) -> Result:
    """Race the copies of a program on a new file.

    Raises CannotRunError or OSError where the file, the processes or their pipes are refused, ScenarioError where the
    check file raises.
    """
    scenario = setting.scenario
    assert isinstance(scenario, CheckedFile)  # noqa: S101 - what `cases` makes
    with _trial_folder(folder, number) as own:
        file = own / NAME
        create(file, b"", sparse=True)
        with mended_by_its_author("prepare", setting.time_limit_s):
            scenario.first_content(file)
        mailbox = Mailbox()
        try:
            ran = run_programs(setting, file, mailbox, f"{setting.seed}/{number}")
            refused = {report.worker: report.error for report in mailbox.read()}
        finally:
            mailbox.close()
        result = _result(setting, ran, list(explain_programs(setting, number, ran, refused)))
        if not result.failures:
            with mended_by_its_author("check", setting.time_limit_s):
                outcome = Outcome(rounds=result.operations, by_worker=result.rounds_done)
                found = listed_damage(scenario.judge(file, outcome), scenario.written_check)
            result.judge(found)
        return result


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
    """A new folder, removed with all that the programs make in it."""
    own = Folder.make(folder / f"{time_ns():x}-trial-{number}")
    try:
        with own.kept_open():
            yield own.path
    finally:
        own.remove()
