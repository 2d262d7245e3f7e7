"""How a lock without ranges serves a scenario that asks for ranges: they are counted."""

from __future__ import annotations

import os

from .protocol import Action


class Nesting:
    """How many ranges one open file holds: the first locks, the last unlocks.

    Without the count the first range given back would give up the others. A write range asked for inside a read range
    locks once more, to convert. A forked child that asks has counted nothing: whether it is let in beside its parent,
    the lock itself says. One that gives back what it has inherited gives back its parent's too, as flock(2) has it.
    """

    __slots__ = ("_count", "_exclusive", "_pid")

    def __init__(self) -> None:
        self._count = 0
        self._exclusive = False
        self._pid = os.getpid()

    def around(self, lock: Action, unlock: Action, *, exclusive: bool) -> tuple[Action, Action]:
        """The acquire and the release of one range, over these two calls that take and give up the whole."""

        def acquire() -> None:
            if self._pid != os.getpid():
                self._count, self._pid = 0, os.getpid()
            if not self._count or (exclusive and not self._exclusive):
                lock()
                self._exclusive = exclusive
            self._count += 1

        def release() -> None:
            self._count -= 1
            if not self._count:
                unlock()

        return acquire, release
