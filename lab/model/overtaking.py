"""Waiting as a result: who had to wait while requests that came later were granted.

Equal numbers of rounds say nothing of it: a worker that is let in last, once all others are done, does as many.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass

from .holds import Row, Span

STARVED_GRANTS = 10
STARVED_SHARE = 0.5
STARVED_NS = 100_000_000
"""A request has starved that more than 10 later grants a worker overtook, while it waited for longer than half of the
trial and longer than 0.1 s. Fewer grants, or a shorter time, are what a scheduler does to a process that is to wake up.
"""


@dataclass(frozen=True, slots=True)
class Overtaking:
    """Of the requests of one trial: the `most` conflicting grants that overtook one, though requested later than it.

    `starved` is how many starved; the longest waits are in ns, None where nobody asked for such a lock.
    """

    most: int = 0
    starved: int = 0
    longest_read_ns: int | None = None
    longest_write_ns: int | None = None


def overtaking(holds: Iterable[Row], workers: int, trial_ns: int) -> Overtaking:
    """What the requests of a trial of this length met, in n log n of the holds.

    Of two requests that do not conflict, as of two readers, neither overtakes the other.
    """
    rows = sorted(holds)
    spans = {word: Span.unpack(word) for word in {row[4] for row in rows}}
    clash = {word: [other for other in spans if spans[other].conflicts(spans[word])] for word in spans}
    earlier: dict[int, list[int]] = {word: [] for word in spans}
    longest: dict[bool, int] = {}
    long_ns, many = max(STARVED_NS, STARVED_SHARE * trial_ns), STARVED_GRANTS * workers
    most = starved = 0
    newest = -1
    for granted, _, requested, _, word in rows:
        wait = granted - requested
        write = bool(word & 1)
        if wait > longest.get(write, -1):
            longest[write] = wait
        if requested > newest:
            newest = requested
            earlier[word].append(requested)
            continue
        later = sum(len(earlier[other]) - bisect_right(earlier[other], requested) for other in clash[word])
        most = max(most, later)
        starved += later > many and wait > long_ns
        insort(earlier[word], requested)
    return Overtaking(most, starved, longest.get(False), longest.get(True))
