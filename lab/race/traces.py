"""The traceback of a worker that raised, as far as it leads through the user's own code."""

from __future__ import annotations

from traceback import TracebackException

from lab.errors import LabError, is_theirs
from lab.locks import LockFailed


def trace_of(error: BaseException) -> str:
    """Of what a lock raised, the lock's own frames; of an error of the lab that no such frame led to, nothing.

    An exception that the lab did not mean to raise is told in full.
    """
    raised = error.__cause__ if isinstance(error, LockFailed) else error
    if raised is None:
        return ""
    told = TracebackException.from_exception(raised)
    if not _kept(told):
        return "" if isinstance(error, LabError) else "".join(TracebackException.from_exception(raised).format())
    return "".join(told.format())


def _kept(told: TracebackException | None) -> int:
    """Take the lab's frames out of it and of those that it came from; how many are left."""
    if told is None:
        return 0
    told.stack[:] = [frame for frame in told.stack if is_theirs(frame.filename)]
    return len(told.stack) + _kept(told.__cause__) + _kept(told.__context__)
