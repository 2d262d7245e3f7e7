"""Carry what a worker reports beside its figures, damage that it saw and how it failed; say why it failed in words.

`Pace` says whether workers that are late are only slow.

A worker writes once, at its end, into a file in memory that all workers inherit (memfd_create(2)). The file is opened
for appending: each write finds the end of the file and moves it in one step (O_APPEND, open(2)). Without that, workers
that end together overwrite one another: write(2) says that processes which share an open file share its position
without a race, but this does not hold for the descriptor that memfd_create returns. A worker without a report writes
nothing. The traceback of a worker that raised is kept as far as it leads through the user's own code.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from traceback import TracebackException
from typing import TYPE_CHECKING

from lab.analysis.holds import Span
from lab.errors import LOCK_CALLS, LabError, error_line, is_theirs, refusal
from lab.host.environment import anonymous_text
from lab.locking import LockFailed
from lab.processes import Exit
from lab.records import CHECK, Failure

from .recorder import FINISHED_NS, ROUNDS_DONE, Log

if TYPE_CHECKING:
    from .worker import Job

EVIDENCE_KEPT = 3


@dataclass(slots=True)
class Seen:
    """The damage of one kind that one worker saw."""

    count: int = 0
    evidence: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """The report of one worker; `error` is empty where it ended well, else the exception in one line.

    `refused` says what the system refused to the lab's own code; empty where the user's code raised.
    """

    worker: int
    seen: dict[str, Seen]
    error: str = ""
    kind: str = ""
    trace: str = ""
    refused: str = ""


class Reports:
    """The reports that one worker collects while it runs."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def damaged(self, kind: str, evidence: str) -> None:
        """Count one damaged operation, and keep the first few pieces of evidence."""
        seen = self.seen.setdefault(kind, Seen())
        seen.count += 1
        if len(seen.evidence) < EVIDENCE_KEPT:
            seen.evidence.append(evidence)


class Mailbox:
    """The file in memory; the parent makes it and reads it, the workers write to it."""

    def __init__(self) -> None:
        made = os.memfd_create("lab-reports")
        self._descriptor = os.open(f"/proc/self/fd/{made}", os.O_RDWR | os.O_APPEND)
        os.close(made)

    def send(self, report: Report) -> None:
        """Send one report, in the worker."""
        import json  # most workers have nothing to report

        told = b"\n" + json.dumps(asdict(report)).encode() + b"\n"  # apart from the half report of a killed worker
        if os.write(self._descriptor, told) != len(told):
            raise OSError(errno.ENOSPC, "only a part of the report could be written")

    def read(self) -> Iterator[Report]:
        """Return all whole reports, in the parent, once; a worker killed while it wrote leaves none."""
        import json

        size = os.fstat(self._descriptor).st_size
        for line in os.pread(self._descriptor, size, 0).splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            yield Report(**{**told, "seen": {kind: Seen(**seen) for kind, seen in told["seen"].items()}})

    def close(self) -> None:
        """Close the file, which frees its memory."""
        os.close(self._descriptor)


def report_of(worker: int, error: BaseException, seen: dict[str, Seen] | None = None) -> Report:
    """Return the report of a worker that raised."""
    return Report(worker, seen or {}, error_line(error), type(error).__name__, trace_of(error), refusal(error))


def trace_of(error: BaseException) -> str:
    """Return the traceback of an exception, without the lab's frames.

    Of an exception of a lock only the lock's own frames are kept; of an error of the lab to which no such frame led,
    nothing. An exception that the lab did not mean to raise is reported in full.
    """
    raised = error.__cause__ if isinstance(error, LockFailed) else error
    if raised is None:
        return ""
    told = TracebackException.from_exception(raised)
    if not _kept(told):
        return "" if isinstance(error, LabError) else "".join(TracebackException.from_exception(raised).format())
    return "".join(told.format())


def _kept(told: TracebackException | None) -> int:
    """Remove the lab's frames from it and from those that it came from; return how many are left."""
    if told is None:
        return 0
    told.stack[:] = [frame for frame in told.stack if is_theirs(frame.filename)]
    return len(told.stack) + _kept(told.__cause__) + _kept(told.__context__)


READ_AT_MOST = 1 << 28
"""The most bytes of a file that is read again to find out why a page of it was missing."""


def explain(
    job: Job, trial: int, time_limit_s: float, exits: list[Exit], reports: list[Report], done: list[int]
) -> Iterator[Failure]:
    """Return one failure for each worker that raised, was killed, or was late."""
    raised = {report.worker: report for report in reports if report.error}
    finished = job.log.header(FINISHED_NS)
    for ended in exits:
        index = ended.index
        if index in raised:
            report = raised[index]
            error = anonymous_text(report.refused or f"raised {report.error}")
            if error.startswith(LOCK_CALLS):
                error = f"lock {job.lock.name}: {error}"
            elif report.refused:
                error = f"stopped: {error}"
            yield Failure(
                trial=trial,
                worker=index,
                round=done[index],
                how="refused" if report.refused else "raised",
                reason=error,
                trace=anonymous_text(report.trace),
            )
        elif ended.late and not finished[index]:
            reason = late(ended, time_limit_s) + _stuck(job, index)
            yield Failure(
                trial=trial,
                worker=index,
                round=done[index],
                how="late",
                reason=reason,
                pid=ended.pid or None,
                where=ended.where,
            )
        elif not finished[index] or (ended.code and not ended.late):
            code = ended.code or 0
            reason = f"was killed by {_signal(job, -code)}" if code < 0 else f"exited with {code} before its end"
            yield Failure(trial=trial, worker=index, round=done[index], how="killed", reason=reason)


class Pace:
    """The time limits that the workers of a trial get: one more, as long as they do rounds or `stalled`, up to `most`.

    What they did before the first `look`, at half of the first limit, is no sign that they still do rounds at its end;
    there is no such look under a fault and in a stress, where a worker may stand still for about a limit.
    """

    def __init__(self, log: Log, most: int, stalled: Callable[[], bool] = bool) -> None:
        self.limits = 1
        self._log = log
        self._most = most
        self._stalled = stalled
        self._done = 0

    def look(self) -> int:
        """Return how many rounds they did since the last look."""
        before, self._done = self._done, sum(self._log.header(ROUNDS_DONE))
        return self._done - before

    def goes_on(self) -> bool:
        """Return True where they did rounds since the last look, or could not, and give them another limit."""
        slow = (self.look() > 0 or self._stalled()) and self.limits < self._most
        self.limits += slow
        return slow


def late(ended: Exit, time_limit_s: float) -> str:
    """Return the reason of a worker that was still there at the time limit."""
    if ended.stopped:
        return f"was stopped by a signal (SIGSTOP) and still was after {time_limit_s:g} s"
    if ended.code is not None:
        return f"still at work after {time_limit_s:g} s"
    where = f" in {ended.where}" if ended.where else ""
    return f"did not end on SIGKILL: process {ended.pid} hangs{where} and was left behind"


def _signal(job: Job, number: int) -> str:
    name = signal.Signals(number).name if number in {each.value for each in signal.Signals} else str(number)
    if number != signal.SIGBUS:
        return name
    if not job.backing.of_file:
        return f"{name}: there was no room for a page of the shared memory (no space)"
    path = Path(job.path)
    try:
        size = path.stat().st_size
    except OSError:
        return f"{name}: it touched a page that the file does not have, and the file is gone"
    if size < job.layout.size:
        return f"{name}: the file was truncated under the mapping, to {size:,} of the {job.layout.size:,} bytes mapped"
    left = os.statvfs(path)
    if left.f_bavail * left.f_frsize < job.layout.size:
        return f"{name}: the filesystem had no room for a page of the file (no space)"
    if size > READ_AT_MOST or _is_unreadable(path):
        return f"{name}: the filesystem could not give a page of the mapped file (I/O error)"
    return f"{name}: the file was truncated under the mapping; it has grown again since"


def _is_unreadable(path: Path) -> bool:
    """Return True where some of the file cannot be read: its pages are all there, so the filesystem failed."""
    try:
        path.read_bytes()
    except OSError:
        return True
    return False


def _stuck(job: Job, index: int) -> str:
    """Return what the log says that the worker held and waited for."""
    stuck = job.log.stuck(index)
    text = "".join(f", holding {_words(span)}" for span in stuck.holding)
    return text + (f", waiting for {_words(stuck.waiting)}" if stuck.waiting else "")


def _words(span: Span) -> str:
    mode = "write" if span.write else "read"
    where = f"bytes {span.start} to {span.end - 1}" if span.length else f"bytes from {span.start} on"
    return f"the {mode} lock on {where}"


def failed_check(error: Exception, trial: int) -> Iterator[Failure]:
    """Yield the failure of a check that is a command, with the last of its output; none for another error."""
    trace = anonymous_text(getattr(error, "trace", ""))
    if trace:
        yield Failure(trial, CHECK, 0, "raised", anonymous_text(str(error)), trace)
