"""The exclusion oracle: from the holds that workers recorded, who was let in beside whom.

A hold is recorded from the inside: its grant is stamped after the lock call returned and its release
before the unlock call starts. Two recorded holds that overlap in time were therefore truly inside together;
nothing that a lock does correctly can be reported here. The price is that a request counts as contended
only while a recorded interval runs, a little less than the real one: the detection power is understated,
never overstated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

END = 1 << 62
"""Where a range of length 0 ends: further than any file reaches (fcntl(2): "to the end of file")."""


class Span(NamedTuple):
    """The byte range of a lock and whether it excludes readers too. Length 0 runs to infinity."""

    start: int
    length: int
    write: bool

    def conflicts(self, other: Span) -> bool:
        """True when the two may not be held together: they share a byte and one of them writes."""
        return (self.write or other.write) and self.start < other.end and other.start < self.end

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.start + self.length if self.length else END

    def pack(self) -> int:
        """This span in one 64-bit word: start 32 bits, length 31 bits, write 1 bit."""
        if self.start >> 32 or self.length >> 31:
            raise ValueError(f"{self} does not fit a record: start is limited to 4 GiB, length to 2 GiB")
        return self.start << 32 | self.length << 1 | self.write

    @classmethod
    def unpack(cls, word: int) -> Span:
        """The span that `pack` made this word from."""
        return cls(word >> 32, word >> 1 & 0x7FFF_FFFF, bool(word & 1))


class Hold(NamedTuple):
    """One lock held by one worker; times in ns of CLOCK_MONOTONIC, from the grant to the release."""

    granted_ns: int
    released_ns: int
    requested_ns: int
    worker: int
    word: int


class Overlap(NamedTuple):
    """Two holds that were in progress together although their spans conflict."""

    first: Hold
    second: Hold


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What the sweep found: every overlapping pair, and how many requests met a conflicting hold."""

    overlaps: list[Overlap]
    contended: int


def sweep(holds: Iterable[Hold]) -> Exclusion:
    """Every pair of holds that overlapped and may not, and the number of contended requests.

    Holds of spans that cannot conflict never meet: they are swept apart, which makes the usual case, one
    range written by all, a sort and one pass. Workers are told apart by number; one worker's own holds never
    conflict, as POSIX locks of one process do not (fcntl(2)).
    """
    overlaps: list[Overlap] = []
    contended = 0
    for spans, members in _apart(holds):
        members.sort()
        if len(spans) == 1 and next(iter(spans)).write and _one_at_a_time(members):
            contended += _waited_for_the_only_one(members)
        else:
            found = _sweep_mixed(members)
            overlaps += found.overlaps
            contended += found.contended
    return Exclusion(overlaps, contended)


def _apart(holds: Iterable[Hold]) -> list[tuple[set[Span], list[Hold]]]:
    """The holds in groups whose byte ranges do not touch one another's."""
    by_word: dict[int, list[Hold]] = defaultdict(list)
    for hold in holds:
        by_word[hold.word].append(hold)
    groups: list[tuple[set[Span], list[Hold]]] = []
    end = -1
    for span, members in sorted((Span.unpack(word), members) for word, members in by_word.items()):
        if span.start >= end:
            groups.append((set(), []))
        groups[-1][0].add(span)
        groups[-1][1].extend(members)
        end = max(end, span.end)
    return groups


def _one_at_a_time(ordered: Sequence[Hold]) -> bool:
    return all(before.released_ns <= after.granted_ns for before, after in pairwise(ordered))


def _waited_for_the_only_one(ordered: Sequence[Hold]) -> int:
    """How many requests arrived during another worker's hold, where holds follow one another."""
    grants = [hold.granted_ns for hold in ordered]
    count = 0
    for hold in ordered:
        at = bisect_right(grants, hold.requested_ns) - 1
        if at >= 0:
            holder = ordered[at]
            count += holder.released_ns > hold.requested_ns and holder.worker != hold.worker
    return count


def _sweep_mixed(ordered: Sequence[Hold]) -> Exclusion:
    """The general sweep, over grants and requests in the order of time, with the holds then in progress."""
    overlaps: list[Overlap] = []
    contended = 0
    spans = {word: Span.unpack(word) for word in {hold.word for hold in ordered}}
    clash = {(a, b): spans[a].conflicts(spans[b]) for a in spans for b in spans}
    events = sorted(
        [(hold.requested_ns, 0, hold) for hold in ordered] + [(hold.granted_ns, 1, hold) for hold in ordered]
    )
    active: list[Hold] = []
    for time, grant, hold in events:
        active = [other for other in active if other.released_ns > time]
        against = [
            other for other in active if other.worker != hold.worker and clash[other.word, hold.word]
        ]
        if grant:
            overlaps += [Overlap(other, hold) for other in against if hold.released_ns > hold.granted_ns]
            active.append(hold)
        else:
            contended += bool(against)
    return Exclusion(overlaps, contended)
