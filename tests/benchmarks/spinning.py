"""F_SETLKW, and so many ns at work behind each grant: `--lock spinning:Spinning`, a lock that is slower than it was.

SPIN_NS in the environment says how long; without it the lock costs what this wrapper costs.
"""

from __future__ import annotations

import os
from time import monotonic_ns

from lab.locking.kernel import Fcntl
from lab.locking.protocol import Action

TURNS = 200_000


def _turn(turns: int) -> None:
    for _ in range(turns):
        pass


def _turns_in(ns: int) -> int:
    """How often to turn, by the fastest of some tries: finer than any clock that could be read meanwhile."""
    taken = []
    for _ in range(5 if ns else 0):
        begun = monotonic_ns()
        _turn(TURNS)
        taken.append(monotonic_ns() - begun)
    return round(TURNS * ns / min(taken)) if ns else 0


class Spinning(Fcntl):
    """Called `spinning`, however long it spins: so that two runs pair up."""

    name = "spinning"
    summary = "F_SETLKW, and some work behind each grant"

    def __init__(self) -> None:
        self._turns = _turns_in(int(os.environ.get("SPIN_NS", "0")))

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Those of F_SETLKW; the acquire returns late."""
        acquire, release = super().actions(descriptor, start, length, write=write)
        turns = self._turns

        def late() -> None:
            acquire()
            _turn(turns)

        return late, release
