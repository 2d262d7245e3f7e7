"""The recorder: a lock over one byte range, entered and left with every interval written down.

Written twice. `lab/locks/_native.c` is built where a compiler is found; `PurePythonHold` does the same everywhere, and
takes about twice as long for a lock and an unlock. A test holds the two to the same records.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from time import monotonic_ns
from types import TracebackType
from typing import NoReturn, Protocol

from lab.locks import NATIVE, Action, typed
from lab.model.histogram import BUCKETS, bucket

from .log import CURSOR, HEADER, RECORD, UNRECORDED, Segment

Held = AbstractContextManager[object]


class MakeHold(Protocol):
    """What makes the recorder of one lock over one range."""

    def __call__(
        self, acquire: Action, release: Action, log: Segment, span: int, histogram: Segment | None = None
    ) -> Held:
        """See `PurePythonHold`."""


class PurePythonHold:
    """A context manager that acquires, records, and releases; not reentrant.

    `span` is the packed span that each record carries. A hold that finds the log full is only counted there, and its
    wait, in ns, in the `histogram` (`lab.model.histogram`), if one is given. Raises what `acquire` raises, EDEADLK as
    `Deadlock`; ValueError for a log or a histogram that is too short.
    """

    __slots__ = ("_acquire", "_histogram", "_log", "_release", "_slot", "_span")

    def __init__(
        self, acquire: Action, release: Action, log: Segment, span: int, histogram: Segment | None = None
    ) -> None:
        if len(log) < HEADER:
            raise ValueError(f"a log has at least {HEADER} words")
        if histogram is not None and (len(histogram) != BUCKETS or histogram.readonly):
            raise ValueError(f"a histogram has {BUCKETS} words, to be written to")
        self._acquire = acquire
        self._release = release
        self._log = log
        self._span = span
        self._histogram = histogram
        self._slot = 0

    def __enter__(self) -> None:
        log = self._log
        slot = log[CURSOR]
        try:
            log[slot + 3] = self._span
            log[slot + 1] = 0
            log[slot] = monotonic_ns()
        except IndexError:
            return self._enter_unrecorded()
        try:
            self._acquire()
        except BaseException as error:
            log[slot] = 0
            _raise(error)
        log[slot + 1] = monotonic_ns()
        self._slot = slot
        log[CURSOR] = slot + RECORD
        return None

    def _enter_unrecorded(self) -> None:
        requested_ns = monotonic_ns()
        try:
            self._acquire()
        except OSError as error:
            _raise(error)
        if self._histogram is not None:
            self._histogram[bucket(monotonic_ns() - requested_ns)] += 1
        self._slot = 0
        self._log[UNRECORDED] += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._slot:
            self._log[self._slot + 2] = monotonic_ns()
        self._release()


def _raise(error: BaseException) -> NoReturn:
    """The error, EDEADLK as `Deadlock`; any other keeps its cause."""
    raised = typed(error)
    if raised is error:
        raise error
    raise raised from None


class Unlocked:
    """What `write_lock` gives where no lock was chosen: nothing is acquired and nothing recorded."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


CompiledHold: MakeHold | None = NATIVE.Hold if NATIVE else None
Hold: MakeHold = CompiledHold or PurePythonHold
