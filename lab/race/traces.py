"""The traceback of a worker that raised, as far as it leads through the user's own code."""

from __future__ import annotations

from pathlib import Path
from traceback import FrameSummary, TracebackException

from lab.errors import LabError
from lab.locks import LockFailed

LAB = f"{Path(__file__).parents[1]}/"
GALLERY = f"{LAB}scenarios/"
"""Where the built-in scenarios lie in an installation: they are read as a user's are."""


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
    told.stack[:] = [frame for frame in told.stack if not _is_the_labs(frame)]
    return len(told.stack) + _kept(told.__cause__) + _kept(told.__context__)


def _is_the_labs(frame: FrameSummary) -> bool:
    return frame.filename.startswith(LAB) and not frame.filename.startswith(GALLERY)
