"""Carry what a worker reports beside its figures: damage that it saw, and how it failed.

A worker writes once, at its end, into a file in memory that all workers inherit (memfd_create(2)). The file is opened
for appending: each write finds the end of the file and moves it in one step (O_APPEND, open(2)). Without that, workers
that end together overwrite one another: write(2) says that processes which share an open file share its position
without a race, but this does not hold for the descriptor that memfd_create returns. A worker without a report writes
nothing. The traceback of a worker that raised is kept as far as it leads through the user's own code.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from traceback import TracebackException

from lab.errors import LabError, error_line, is_theirs, refusal
from lab.locking import LockFailed

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
