"""Bound how far the clock of another host is ahead of this one, from the round trips of pings.

The host stamped a ping after it was sent and before the answer came: so its clock was ahead by at most its stamp minus
the sending, and at least its stamp minus the coming. The quickest ping says most. Several are not intersected: clocks
drift apart meanwhile, and the intersection may be empty. Source: Cristian, "Probabilistic clock synchronization"
(1989).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Ping = tuple[int, int, int]
"""When it was sent and when the answer came, by this clock, and between them the stamp of the other: ns each."""


class Offset(NamedTuple):
    """How far the other clock is ahead, in ns: between `least` and `most`, for sure, when it was measured (`at`)."""

    least: int
    most: int
    at: int

    @property
    def middle(self) -> int:
        """Return the middle of the two."""
        return (self.least + self.most) // 2

    @property
    def uncertainty(self) -> int:
        """Return how far from the middle it can be."""
        return (self.most - self.least + 1) // 2

    @property
    def round_trip(self) -> int:
        """Return the time from the sending to the answer."""
        return self.most - self.least


def offset(pings: Iterable[Ping]) -> Offset:
    """Return what the quickest of the pings says."""
    sent, stamp, received = min(pings, key=lambda ping: ping[2] - ping[0])
    return Offset(stamp - received, stamp - sent, received)
