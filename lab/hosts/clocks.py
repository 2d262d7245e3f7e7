"""Bound how far the clock of another host is ahead of this one, from the round trips of pings, and so its stamps.

The host stamped a ping after it was sent and before the answer came: so its clock was ahead by at most its stamp minus
the sending, and at least its stamp minus the coming. The quickest ping says most. Several are not intersected: clocks
drift apart meanwhile, and the intersection may be empty. Source: Cristian, "Probabilistic clock synchronization"
(1989).

A stamp that was made at another time is known less well: until then the two clocks may have drifted apart, by DRIFT at
most. That is as much as the kernel lets NTP slew one (adjtimex(2)).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import ceil
from operator import attrgetter
from typing import NamedTuple

Ping = tuple[int, int, int]
"""When it was sent and when the answer came, by this clock, and between them the stamp of the other: ns each."""

DRIFT = 500e-6
"""The most by which the rates of two clocks differ."""


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

    def when(self, stamp: int) -> Window:
        """Return when the other clock showed this stamp, by this clock: between the two, for sure."""
        away = abs(stamp - self.middle - self.at) + 2 * self.round_trip
        drifted = ceil(away * DRIFT / (1 - DRIFT)) + 1
        return Window(stamp - self.most - drifted, stamp - self.least + drifted)


class Window(NamedTuple):
    """The moment of a stamp, in ns of this machine's clock: it lies between the two."""

    earliest: int
    latest: int

    @property
    def middle(self) -> int:
        """Return the middle of the two."""
        return (self.earliest + self.latest) // 2


def offset(pings: Iterable[Ping]) -> Offset:
    """Return what the quickest of the pings says."""
    sent, stamp, received = min(pings, key=lambda ping: ping[2] - ping[0])
    return Offset(stamp - received, stamp - sent, received)


class Clock:
    """The clock of one host in the course of a trial, by several measurements, in the order of time."""

    def __init__(self, offsets: Sequence[Offset]) -> None:
        self._offsets = sorted(offsets, key=attrgetter("at"))
        self._shown = [each.at + each.middle for each in self._offsets]

    def when(self, stamp: int) -> Window:
        """Return when it showed this stamp: what the measurement before and the one after it say together."""
        after = bisect_left(self._shown, stamp)
        windows = [each.when(stamp) for each in self._offsets[max(0, after - 1) : after + 1]]
        return Window(max(each.earliest for each in windows), min(each.latest for each in windows))

    def shows(self, moment: int) -> int:
        """Return about what it shows at this moment of this machine's clock."""
        nearest = min(self._offsets, key=lambda each: abs(each.at - moment))
        return moment + nearest.middle
