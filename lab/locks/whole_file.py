"""flock(2): one lock for the whole file, owned by the open file description."""

from __future__ import annotations

import fcntl
from collections import defaultdict
from functools import partial

from .nesting import Nesting
from .protocol import Abilities, Action


class Flock:
    """flock(2) without ranges: every range that a scenario asks for is the whole file.

    Ranges that one worker holds together are counted. A write range asked for inside a read range converts the lock,
    which flock(2) does not do atomically.
    """

    name = "flock"
    summary = "flock: the whole file, it has no ranges; owned by the open file"
    has_ranges = False
    excludes = True
    abilities = Abilities(ranges=False, readers=True, threads=True, fork=False, survives_kill=True)

    def __init__(self) -> None:
        self._nestings: defaultdict[int, Nesting] = defaultdict(Nesting)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """flock(2) LOCK_EX or LOCK_SH, and LOCK_UN once the last range is given back."""
        lock = partial(fcntl.flock, descriptor, fcntl.LOCK_EX if write else fcntl.LOCK_SH)
        unlock = partial(fcntl.flock, descriptor, fcntl.LOCK_UN)
        return self._nestings[descriptor].around(lock, unlock, exclusive=write)
