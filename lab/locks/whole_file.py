"""flock(2): one lock for the whole file, owned by the open file description."""

from __future__ import annotations

import fcntl
from collections import defaultdict
from functools import partial

from .protocol import Action


class _Depth:
    """How many ranges of one open file are held: only the first locks, only the last unlocks."""

    __slots__ = ("count", "exclusive")

    def __init__(self) -> None:
        self.count = 0
        self.exclusive = False


class Flock:
    """flock(2) without ranges: every range that a scenario asks for is the whole file.

    Ranges that one worker holds together are counted, since the first unlock would give up all of them. A
    write range asked for inside a read range converts the lock, which flock(2) does not do atomically.
    """

    name = "flock"
    summary = "flock: the whole file, it has no ranges; owned by the open file"
    has_ranges = False
    excludes = True

    def __init__(self) -> None:
        self._depths: defaultdict[int, _Depth] = defaultdict(_Depth)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """flock(2) LOCK_EX or LOCK_SH, and LOCK_UN once the last range is given back."""
        depth = self._depths[descriptor]
        lock = partial(fcntl.flock, descriptor, fcntl.LOCK_EX if write else fcntl.LOCK_SH)
        unlock = partial(fcntl.flock, descriptor, fcntl.LOCK_UN)

        def acquire() -> None:
            if not depth.count or (write and not depth.exclusive):
                lock()
                depth.exclusive = write
            depth.count += 1

        def release() -> None:
            depth.count -= 1
            if not depth.count:
                unlock()

        return acquire, release
