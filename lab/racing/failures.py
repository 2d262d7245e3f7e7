"""Say in words why a worker failed: its exception, its signal, or what it was waiting for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from lab.analysis.holds import Span
from lab.errors import LOCK_CALLS
from lab.host.environment import anonymous_text
from lab.processes import Exit
from lab.records import CHECK, Failure

from .mailbox import Report
from .recorder import FINISHED_NS
from .worker import Job

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
            yield Failure(
                trial=trial,
                worker=index,
                round=done[index],
                how="refused" if report.refused else "raised",
                reason=f"lock {job.lock.name}: {error}" if error.startswith(LOCK_CALLS) else error,
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
