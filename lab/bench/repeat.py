"""One repeat of a case: fresh files, fresh workers, released together and stopped after a slice of time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import CannotRunError
from lab.processes import Crew, Exit, cpus_for
from lab.race.failures import late
from lab.race.log import FINISHED_NS, Log
from lab.race.reports import Mailbox, Report
from lab.regions import anonymous

from .cases import Case
from .member import APART, Work, files_to_be_had, places_of

MOST_RECORDS = 1 << 19
"""Of all workers together: 16 MiB; what comes after is known from the histogram."""

PAIRS_PER_S = 1_500_000
TIME_LIMIT_S = 30.0


class Failed(Exception):  # noqa: N818 - a finding
    """A worker died or hung, and how."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one repeat left; `added` is the sum of the additions that its files show."""

    case: Case
    released_ns: int
    ended_ns: int
    exits: list[Exit]
    log: Log
    added: int

    @property
    def wall_ns(self) -> int:
        """From the release of the start barrier to the end of the last worker."""
        return self.ended_ns - self.released_ns


def run_repeat(case: Case, folder: Path, slice_s: float) -> Ran:
    """Measure once. Raises Failed where a worker did not end well, CannotRunError where region or fork is refused."""
    with files_to_be_had(), places_of(case, folder) as places:
        records = int(min(MOST_RECORDS / case.workers, PAIRS_PER_S * slice_s + 1000))
        log = Log(case.workers, records, histograms=True)
        stop = memoryview(anonymous(8)).cast("Q")
        mailbox = Mailbox()
        try:
            work = Work(case, places, log, stop, mailbox)
            with Crew(case.workers + bool(case.held), work.prepare, cpus_for(case.pin)) as crew:
                crew.gather(TIME_LIMIT_S)
                released_ns = crew.release()
                time.sleep(slice_s)
                stop[0] = 1
                exits = crew.wait(TIME_LIMIT_S)
            _check(case, exits, list(mailbox.read()), log)
        finally:
            mailbox.close()
        added = sum(_counted(place.shared.read_back()) for place in places) if case.region else 0
        return Ran(case, released_ns, max(log.header(FINISHED_NS)), exits[: case.workers], log, added)


def _counted(content: bytearray) -> int:
    """The sum of the counters."""
    return sum(int.from_bytes(content[at : at + 8], "little") for at in range(0, len(content), APART))


def how_it_failed(exits: Sequence[Exit], limit_s: float) -> str:
    """How one that did not end well ended, rather than one that waited for it; empty where all ended well."""
    for ended in sorted(exits, key=lambda each: (each.late, not each.stopped)):
        if ended.late or ended.code:
            return f"worker {ended.index} {late(ended, limit_s) if ended.late else f'ended with {ended.code}'}"
    return ""


def _check(case: Case, exits: list[Exit], reports: list[Report], log: Log) -> None:
    """Raises Failed for one that did not end well, rather than for who waited for it; CannotRunError for a refusal."""
    for report in reports:
        if report.kind == CannotRunError.__name__:
            raise CannotRunError(report.error.partition(": ")[2])
        raise Failed(f"worker {report.worker} raised {report.error}")
    if how := how_it_failed(exits, TIME_LIMIT_S):
        raise Failed(how)
    for ended in exits:
        if ended.index < case.workers and not log.header(FINISHED_NS)[ended.index]:
            raise Failed(f"worker {ended.index} ended before its time")
