"""Judge holds that were recorded on several hosts, whose clocks are known to within bounds only.

Two holds of one host are compared by their stamps as they are: they share a clock. Of two hosts only what is certain
counts: a hold lasted at least from the latest moment at which it can have been granted to the earliest at which it can
have been released. So a lock that excludes is never accused, whatever the clocks show; a hold for which nothing is left
between the two, being shorter than the clocks are uncertain, is counted as short.

Tickets need no clock. Inside the lock a hold draws one number after its grant and another before its release, all from
one counter. A number that another hold drew lies between the two only if it was drawn meanwhile, inside both holds.

A hand-off between hosts is a grant on another host than the grant before it, on the same bytes. Without hand-offs a
race says nothing about the hosts: the lock stayed on one of them. By tickets their order is known. By clocks those are
counted that are certain: the longest chain found of grants that surely followed one another, each on another host.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import NamedTuple

from .holds import Exclusion, Hold, Overlap, Row, Span, groups_apart, sweep

ENOUGH = 20
"""Fewer hand-offs between hosts, or fewer requests that met a holder on another host, show nothing."""


class Stamped(NamedTuple):
    """One hold of a worker on a host: its row by the clock of that host, and what is certain by this machine's.

    Each pair has the earliest and the latest moment, in ns. `tickets` are both that it drew; None where it drew none,
    or one only.
    """

    row: Row
    host: int
    requested: tuple[int, int]
    granted: tuple[int, int]
    released: tuple[int, int]
    tickets: tuple[int, int] | None = None

    @property
    def certain(self) -> Row:
        """Return the hold as it lasted at least."""
        return self.granted[1], self.released[0], self.requested[1], self.row[3], self.row[4]

    @property
    def is_short(self) -> bool:
        """Return True where nothing of it is certain."""
        return self.released[0] <= self.granted[1]


@dataclass(frozen=True, slots=True)
class Share:
    """What the workers of one host did in a trial; `met` are requests that met a holder on another host.

    The times are in ns. `uncertainties` are by how much the moments of grants may be wrong either way.
    """

    host: str
    workers: range
    operations: int = 0
    met: int = 0
    waits: Sequence[int] = ()
    lengths: Sequence[int] = ()
    uncertainties: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class BetweenHosts:
    """What the holds of several hosts say beside the overlaps: hand-offs, and how strong the comparison was.

    `holds` is how many were compared, of which `short` were too short for the clocks and `ticketed` had both tickets.
    `met` are the numbers of the hosts of those requests that met a holder on another host. `by_tickets` says that the
    order of the grants is that of tickets. `cut_short` says that the trial was ended before all rounds were done.
    """

    hand_offs: int
    by_tickets: bool
    holds: int
    short: int
    ticketed: int
    met: Sequence[int] = ()
    shares: Sequence[Share] = ()
    cut_short: bool = False


Pairs = dict[tuple[int, int], tuple[bool, Overlap]]
"""Overlaps by the identities of their holds, and whether both were on one host."""


def judge(holds: Sequence[Stamped]) -> tuple[Exclusion, BetweenHosts]:
    """Return the overlaps between hosts and then those within them, and what can be said between them.

    The contended requests are those that met a holder on another host.
    """
    pairs: Pairs = {}
    lasting = [hold for hold in holds if not hold.is_short]
    between = [(*hold.certain[:3], hold.host, hold.row[4]) for hold in lasting]
    found = _overlapping(pairs, lasting, between)
    for host in sorted({hold.host for hold in holds}):
        own = [hold for hold in holds if hold.host == host]
        found += _overlapping(pairs, own, [hold.row for hold in own])
    drawn = [hold for hold in holds if hold.tickets]
    by_ticket = [(*hold.tickets, hold.tickets[0], hold.row[3], hold.row[4]) for hold in drawn if hold.tickets]
    by_tickets = _overlapping(pairs, drawn, by_ticket, proved=True)
    total = max(found, by_tickets, len(pairs))
    asked = [hold.host for hold in met(holds)]
    overlaps = [overlap for _, overlap in sorted(pairs.values(), key=itemgetter(0))]
    exclusion = Exclusion(overlaps, len(asked), total - len(pairs))
    has_order = len(drawn) == len(holds) and bool(holds)
    count = sum(_hand_offs(group, by_tickets=has_order) for group in _same_bytes(holds))
    short = sum(hold.is_short and hold.row[1] > hold.row[0] for hold in holds)
    return exclusion, BetweenHosts(count, has_order, len(holds), short, len(drawn), asked)


def _overlapping(pairs: Pairs, holds: Sequence[Stamped], rows: Sequence[Row], *, proved: bool = False) -> int:
    """Add the pairs of holds whose rows overlap, by their identities; return how many there are."""
    exclusion = sweep(rows)
    if exclusion.overlaps:
        by_row = dict(zip(rows, holds, strict=True))
        for first, second, _ in exclusion.overlaps:
            one, other = by_row[first], by_row[second]
            key = (id(one), id(other)) if id(one) < id(other) else (id(other), id(one))
            same = one.host == other.host
            ends = [Hold(*(each.row if same else each.certain)) for each in (one, other)]
            proof = f"it drew ticket {second[0]}, between {first[0]} and {first[1]} of the other" if proved else ""
            pairs.setdefault(key, (same, Overlap(ends[0], ends[1], proof)))
    return exclusion.overlapping


def met(holds: Sequence[Stamped]) -> list[Stamped]:
    """Return the holds that surely waited while another host held a lock that conflicts.

    By the clocks: what is certain of such a hold has a moment in common with what is certain of the wait. By tickets
    too, of holds that do not overlap: those of other hosts between a hold and the next of the same worker take longer,
    by their own clocks, than the worker was away, by its own; so it had come back before the last of them was over.
    """
    spans = {word: Span.unpack(word) for word in {hold.row[4] for hold in holds}}
    known: dict[tuple[int, int], _Others] = {}
    before: dict[int, Stamped] = {}
    found = []
    for hold in sorted(holds, key=lambda hold: hold.row[2]):
        key = hold.host, hold.row[4]
        if key not in known:
            mine = spans[hold.row[4]]
            known[key] = _Others([o for o in holds if o.host != hold.host and spans[o.row[4]].conflicts(mine)])
        last = before.get(hold.row[3])
        before[hold.row[3]] = hold
        if known[key].held(hold.requested[1], max(hold.requested[0], hold.granted[0])) or (
            last and known[key].held_between(last, hold)
        ):
            found.append(hold)
    return found


class _Others:
    """The holds of other hosts that conflict with one, in the order of their grants and of their tickets."""

    def __init__(self, holds: Sequence[Stamped]) -> None:
        lasting = sorted(hold.certain[:2] for hold in holds if not hold.is_short)
        self._granted = [granted for granted, _ in lasting]
        self._released = list(accumulate((released for _, released in lasting), max, initial=0))
        drawn = sorted((hold.tickets[0], hold.row[1] - hold.row[0]) for hold in holds if hold.tickets)
        self._tickets = [ticket for ticket, _ in drawn]
        self._lengths = list(accumulate((length for _, length in drawn), initial=0))

    def held(self, start: int, end: int) -> bool:
        """Return True where one of them surely began before the end and was released after the start."""
        return self._released[bisect_left(self._granted, end)] > start

    def held_between(self, last: Stamped, hold: Stamped) -> bool:
        """Return True where those between two holds of one worker took longer than it was away."""
        if not last.tickets or not hold.tickets:
            return False
        first, end = (bisect_left(self._tickets, each) for each in (last.tickets[1], hold.tickets[0]))
        return self._lengths[end] - self._lengths[first] > hold.row[2] - last.row[1] if end > first else False


def _same_bytes(holds: Sequence[Stamped]) -> Iterable[list[Stamped]]:
    """Return the holds in groups whose byte ranges do not touch one another's."""
    by_word: dict[int, list[Stamped]] = defaultdict(list)
    for hold in holds:
        by_word[hold.row[4]].append(hold)
    return ([hold for word in words for hold in by_word[word]] for words in groups_apart(by_word))


def _hand_offs(holds: Sequence[Stamped], *, by_tickets: bool) -> int:
    """Return how many grants were on another host than the grant before, or surely were at least."""
    if by_tickets:
        order = [hold.host for hold in sorted(holds, key=lambda hold: hold.tickets or (0, 0))]
        return sum(one != other for one, other in pairwise(order))
    count, host, latest = -1, -1, 0
    for hold in sorted(holds, key=lambda hold: hold.granted[1]):
        if count < 0 or (hold.host != host and hold.granted[0] > latest):
            count, host, latest = count + 1, hold.host, hold.granted[1]
    return max(0, count)
