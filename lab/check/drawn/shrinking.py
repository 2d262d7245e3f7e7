"""A difference made shorter: first by Hypothesis, then by leaving out one call after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..actors.patience import Patience
from ..language import Call
from .promise_of import roughly
from .twins import Differs

DRAWING = 0.1
DRAWING_S = 1.0
LEAVING_OUT = 0.15
LEAVING_OUT_S = 2.0
"""Each difference may take this share of the whole time, or this long where that is longer, for either way."""

HURRY = 12
"""Meanwhile only one part in so many of the patience is had with who ought to be woken; the result is tried in full."""

Again = Callable[[Sequence[Call], float], Differs | None]
"""Performs the calls, waiting so many seconds for who ought to be woken; the difference, if it shows one."""


class Shrinking:
    """One difference, and the shortest program so far that shows it, or another one of its kind."""

    def __init__(self, first: Differs, seconds: float, patience: Patience) -> None:
        self._kind = roughly(first)
        self._first = self._best = first
        self._seconds = seconds
        self._wake_s = patience.wake_s
        self.hurry_s = patience.wake_s / HURRY
        self._deadline = time.monotonic() + max(DRAWING_S, DRAWING * seconds)

    def is_over(self) -> bool:
        """True when it has had its time; at once for a call that never answers, which would take its time again."""
        return self._best.unanswered or time.monotonic() >= self._deadline

    def takes(self, difference: Differs | None) -> bool:
        """True for a difference of this kind, which is kept if it is the shortest."""
        if difference is None or roughly(difference) != self._kind:
            return False
        if _length(difference) < _length(self._best):
            self._best = difference
        return True

    def shortest(self, again: Again) -> Differs:
        """The shortest program that shows it: no call of it can be left out, where there was time to try them all."""
        self._deadline = time.monotonic() + max(LEAVING_OUT_S, LEAVING_OUT * self._seconds)
        calls_less = len(self._best.made) // 2
        while calls_less and not self.is_over():
            if not self._is_shown_without(calls_less, again):
                calls_less //= 2
        return self._in_full(again)

    def _is_shown_without(self, number: int, again: Again) -> bool:
        """Try to leave out so many calls, the last ones first; True once it works."""
        made = self._best.made
        starts = (at for at in reversed(range(0, len(made), number)) if not self.is_over())
        return any(self.takes(again([*made[:at], *made[at + number :]], self.hurry_s)) for at in starts)

    def _in_full(self, again: Again) -> Differs:
        """What waited in a hurry for somebody counts only if it shows with all patience, too."""
        if self._best is self._first or self._best.call.verb != "returns":
            return self._best
        found = again(self._best.made, self._wake_s)
        return found if found and roughly(found) == self._kind else self._first


def _length(difference: Differs) -> tuple[int, int]:
    return len(difference.calls), sum(map(len, difference.calls))
