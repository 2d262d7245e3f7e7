"""Widen the race window (`--window`), and make a stress test meet as many conflicts as it can.

With `--window` a pause comes before every store of the scenario, whose text stays as it is: `memory.value += 1` loads,
pauses, and stores. Bulk bytes are stored in two halves with the pause between them.

In a stress test a worker yields before each request and before each store, so that the others arrive while a lock is
held, on a single processor too. On a filesystem that keeps its locks elsewhere a mere sched_yield(2) is over long
before the request of another is: there a worker sleeps, for about as long as such a request takes. It repeats its
request where it was refused without a conflict: after EAGAIN, from a lock that does not wait, and after EDEADLK, which
is never justified for a lock of one range. Both are counted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from itertools import count
from time import monotonic_ns, sleep
from types import TracebackType

from lab.locking import NATIVE, Action
from lab.memory.protocol import Held
from lab.memory.struct_proxy import ByteAccess

from .recorder import DEADLOCKS, REFUSED, Segment

Pause = Callable[[], None]


def spin(window_ns: int) -> Pause:
    """Pause for this long: spinning, not sleeping, so that it is as long as requested, to a microsecond."""

    def pause() -> None:
        until = monotonic_ns() + window_ns
        while monotonic_ns() < until:
            pass

    return pause


class PausedStores:
    """Shared bytes with the pause before every store."""

    __slots__ = ("_access", "_pause", "load")

    def __init__(self, access: ByteAccess, pause: Pause) -> None:
        self._access = access
        self._pause = pause
        self.load = access.load

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Pause, then store."""
        self._pause()
        self._access.store(start, data)


class HalvedStores(PausedStores):
    """Shared bytes whose stores come in two halves, the pause between them."""

    __slots__ = ()

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store a half, pause, and store the rest."""
        half = len(data) // 2
        whole = memoryview(data)
        self._access.store(start, whole[:half])
        self._pause()
        self._access.store(start + half, whole[half:])


COUNTED = {errno.EAGAIN: REFUSED, errno.EACCES: REFUSED, errno.EDEADLK: DEADLOCKS}
"""The errors that are counted, each with its counter; POSIX lets F_SETLK answer either of the first two."""


REQUESTS_A_TURN = 8
"""A request is refused so often before its worker yields: a switch to another worker costs as much as some requests.

Each of them meets the holder and may be granted falsely. On a busy machine the worker that yields comes back late.
"""


def yielding(window_ns: int) -> Pause:
    """Return a pause in which others run: a sleep of so long, or a mere sched_yield(2) where that is 0."""
    if not window_ns:
        return os.sched_yield
    window_s = window_ns / 1e9

    def pause() -> None:
        sleep(window_s)

    return pause


def insisting(acquire: Action, log: Segment) -> Action:
    """Return the request, made again until it is granted; refusals are counted, other errors are raised.

    A call of `lab/locking/_native.c` is repeated there: most of a polled race is refusals.
    """
    if NATIVE and isinstance(acquire, NATIVE.Call):
        insistent: Action = NATIVE.Insisting(acquire, log, REQUESTS_A_TURN)
        return insistent

    def granted() -> None:
        for number in count(1):
            try:
                acquire()
            except OSError as error:
                if error.errno not in COUNTED:
                    raise
                log[COUNTED[error.errno]] += 1
                if number % REQUESTS_A_TURN == 0:
                    os.sched_yield()
            else:
                return

    return granted


class AfterWay:
    """A lock that is requested after a pause; the record of the request begins when it is made."""

    __slots__ = ("_held", "_pause")

    def __init__(self, held: Held, pause: Pause) -> None:
        self._held = held
        self._pause = pause

    def __enter__(self) -> None:
        self._pause()
        self._held.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)
