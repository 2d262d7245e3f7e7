"""How long a call may take here until something is said of it: slow is not hung.

A local lock passes from one process to the next within a millisecond. NFSv4 clients and GlusterFS's eager locks take
0.5 to 5 s for it, and ask again after longer and longer pauses. So a contended hand-off of each lock is measured
first (`lab.check.actors.handoff`), and whatever is waited for is given some such hand-offs, up to a ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ANSWER_S = 2.0
"""A call that never waits is answered within this time where locks are quick, or the mount hangs."""

WAKE_S = 3.0
"""A lock that has come free is given to one who waits for it within this time where locks are quick."""

HANDOFFS = 8
"""So many measured hand-offs are waited for somebody who ought to be woken: a waiter who polls backs off."""

LONGEST_ANSWER_S, LONGEST_WAKE_S = 10.0, 20.0
"""The ceilings of both, whatever was measured: a check has to end."""

SETTLE_S = (0.01, 0.3)
"""Between these it is the time of USUAL_ANSWERS to calls that do not wait: a server answers as fast as it can."""

USUAL_ANSWERS = 10
REMEMBERED = 8
"""How many of the last answers make the usual one."""

DOUBT = 10
"""A call that may be waiting or not is given so many times longer than one that is to wait."""


class Patience:
    """With the calls on one filesystem."""

    def __init__(self, handoffs: Mapping[str, float] | None = None) -> None:
        self.handoffs = dict(handoffs or {})
        """The slowest hand-off of each lock, in seconds."""
        self._usual_s = 0.0

    @property
    def handoff_s(self) -> float:
        """The slowest of all."""
        return max(self.handoffs.values(), default=0.0)

    @property
    def answer_s(self) -> float:
        """The seconds that a call is given which does not wait; one that is refused may first take the lock back."""
        return max(ANSWER_S, min(LONGEST_ANSWER_S, 2 * self.handoff_s))

    @property
    def wake_s(self) -> float:
        """The seconds that somebody is given who ought to be woken, since anybody was."""
        return max(WAKE_S, min(LONGEST_WAKE_S, HANDOFFS * self.handoff_s))

    def answered_in(self, seconds: float) -> None:
        """So long a lock call took that does not wait."""
        self._usual_s += (seconds - self._usual_s) / REMEMBERED

    def settle_s(self, expected: Sequence[str]) -> float:
        """The seconds that a call has to sleep; one that should not wait is given all the time there is."""
        shortest, longest = SETTLE_S
        usual_s = max(shortest, min(longest, USUAL_ANSWERS * self._usual_s))
        if "waits" in expected:
            return usual_s
        return DOUBT * usual_s if "(waits)" in expected else self.answer_s
