"""How long a call has to sleep to be said to wait, where the kernel itself does not tell what it sleeps for."""

from __future__ import annotations

from collections.abc import Sequence

from .player import ANSWER_S

SETTLE_S = (0.01, 0.3)
"""Between these it is the time of USUAL_ANSWERS to calls that do not wait: a server answers as fast as it can."""

USUAL_ANSWERS = 10
REMEMBERED = 8
"""How many of the last answers make the usual one."""

DOUBT = 10
"""A call that may be waiting or not is given so many times longer than one that is to wait."""


class Patience:
    """With the calls on one filesystem."""

    def __init__(self) -> None:
        self._usual_s = 0.0

    def answered_in(self, seconds: float) -> None:
        """So long a lock call took that does not wait."""
        self._usual_s += (seconds - self._usual_s) / REMEMBERED

    def settle_s(self, expected: Sequence[str]) -> float:
        """The seconds that a call has to sleep; one that should not wait is given all the time there is."""
        shortest, longest = SETTLE_S
        usual_s = max(shortest, min(longest, USUAL_ANSWERS * self._usual_s))
        if "waits" in expected:
            return usual_s
        return DOUBT * usual_s if "(waits)" in expected else ANSWER_S
