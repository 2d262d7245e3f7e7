"""A limit on how long a call may take in this process: for code of the user's that runs where the lab itself does.

The alarm clock (setitimer(2), SIGALRM) breaks into whatever Python is at, a sleep or an endless loop too, and rings
again where that is caught. It is the main thread's; in another thread nothing is limited.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType, TracebackType
from typing import Any

from lab.errors import UsageError

_quick = import_module("_signal")
"""The calls without their enumerations: the explorer limits a hundred thousand calls."""

ALARM, REAL = int(_quick.SIGALRM), int(_quick.ITIMER_REAL)
AGAIN_S = 0.5
SHORTEST_S = 1e-6


class TooLong(BaseException):
    """The time is over; no Exception, so that only who catches everything catches it."""


class Limited:
    """Within the block TooLong is raised after so many seconds; a clock that was set before it goes on after it."""

    __slots__ = ("_before", "_begun", "_handler", "_limit_s", "_set")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._set = False

    def __enter__(self) -> None:
        try:
            self._handler: Any = _quick.signal(ALARM, _rings)
        except ValueError:  # not the main thread
            return
        self._set = True
        self._begun = time.monotonic()
        self._before: tuple[float, float] = _quick.setitimer(REAL, self._limit_s, AGAIN_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._set:
            return
        _quick.setitimer(REAL, 0)
        _quick.signal(ALARM, self._handler or _quick.SIG_DFL)
        left, interval = self._before
        if left:
            passed = time.monotonic() - self._begun
            _quick.setitimer(REAL, max(SHORTEST_S, left - passed), interval)


def _rings(number: int, frame: FrameType | None) -> None:
    if frame is None or frame.f_code not in SETTING:
        raise TooLong


LOADING_S = 30.0
"""How long a file of the user's may take to be imported."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """The limit within which a file of the user's is imported: a loop in it would go on for ever.

    Raises UsageError, which says of `what`.
    """
    try:
        with Limited(LOADING_S):
            yield
    except TooLong:
        raise UsageError(f"{what}: is still being imported after {LOADING_S:g} s; mend the file") from None


SETTING = (Limited.__enter__.__code__, Limited.__exit__.__code__)
"""Where the clock is set and put away: a ring that comes there comes too late."""
