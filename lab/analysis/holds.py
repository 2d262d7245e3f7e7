"""Find recorded holds that overlap though they conflict, and requests that were overtaken.

A hold is recorded from the inside: its grant is stamped after the lock call returned and its release
before the unlock call starts. Two recorded holds that overlap in time were therefore really held at the same time;
nothing that a lock does correctly can be reported here. Of holds inside one another, `nested` gives how long each was
really kept. The cost is that a request counts as contended only while a recorded interval runs, which for very short
holds is much less than the real one: the detection limit is understated, never overstated.

The recorder stamps each hold by itself. The kernel knows only what an owner has on each byte, so a request inside a
hold may end that hold: flock(2) removes a shared lock before it tries to make it exclusive, and the unlock of
an inner byte range frees those bytes altogether (fcntl(2)). A worker then held less than its recorded holds say.

`overtaking` reports how long requests waited while later ones were granted. Equal numbers of rounds do not show this:
a worker that gets the lock last, after all others are done, does as many.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import Enum
from operator import le
from typing import NamedTuple

KEPT = 1000
"""The number of overlapping pairs that are kept as evidence; a lock that fails altogether makes millions."""

END = 1 << 63
"""The end of a range of length 0: one past the last byte that off_t can name (fcntl(2): "to the end of file")."""


class Span(NamedTuple):
    """The byte range of a lock and whether it excludes readers too. Length 0 runs to infinity."""

    start: int
    length: int
    write: bool

    def conflicts(self, other: Span) -> bool:
        """Tell whether the two may not be held together: they share a byte and one of them writes."""
        return (self.write or other.write) and self.start < other.end and other.start < self.end

    @property
    def end(self) -> int:
        """Return one past the last byte."""
        return self.start + self.length if self.length else END

    def pack(self) -> int:
        """Return the span in one 64-bit word: start 32 bits, length 31 bits, write 1 bit."""
        if self.start >> 32 or self.length >> 31:
            raise ValueError(f"{self} does not fit a record: start is limited to 4 GiB, length to 2 GiB")
        return self.start << 32 | self.length << 1 | self.write

    @classmethod
    def unpack(cls, word: int) -> Span:
        """Return the span that `pack` made this word from."""
        return cls(word >> 32, word >> 1 & 0x7FFF_FFFF, bool(word & 1))


class Hold(NamedTuple):
    """One lock held by one worker; times in ns of CLOCK_MONOTONIC, from the grant to the release.

    The sweep takes plain tuples of this shape as well: half a million of them are made in a tenth of the time.
    """

    granted_ns: int
    released_ns: int
    requested_ns: int
    worker: int
    word: int


Row = tuple[int, int, int, int, int]
"""A `Hold` without its names."""


class Overlap(NamedTuple):
    """Two holds that were in progress together although their spans conflict; `proof` says how that is known.

    It is empty where the stamps of the two show it.
    """

    first: Hold
    second: Hold
    proof: str = ""


class Exclusion(NamedTuple):
    """The result of the sweep: pairs that overlapped, how many more were not kept, and how many requests met a hold."""

    overlaps: list[Overlap]
    contended: int
    unkept: int = 0

    @property
    def overlapping(self) -> int:
        """Return the number of pairs of holds that overlapped."""
        return len(self.overlaps) + self.unkept


def sweep(holds: Iterable[Row]) -> Exclusion:
    """Return the pairs of holds that overlapped and may not, and the number of contended requests.

    Holds of spans that cannot conflict never meet: they are swept apart, which makes the usual case, one
    range written by all, a sort and one pass. Workers are distinguished by number; one worker's own holds never
    conflict, as POSIX locks of one process do not (fcntl(2)).
    """
    overlaps: list[Overlap] = []
    contended = unkept = 0
    for spans, members in _apart(holds):
        members.sort()
        if len(spans) == 1 and spans[0].write and _one_at_a_time(members):
            contended += _met_the_only_one(members)
        else:
            found = _sweep_mixed(members)
            overlaps += found.overlaps
            unkept += found.unkept
            contended += found.contended
    return Exclusion(overlaps, contended, unkept)


def _apart(holds: Iterable[Row]) -> list[tuple[list[Span], list[Row]]]:
    """Return the holds in groups whose byte ranges do not touch one another's."""
    by_word: dict[int, list[Row]] = defaultdict(list)
    for hold in holds:
        by_word[hold[4]].append(hold)
    return [
        ([Span.unpack(word) for word in words], [hold for word in words for hold in by_word[word]])
        for words in groups_apart(by_word)
    ]


def groups_apart(words: Iterable[int]) -> list[list[int]]:
    """Return these packed spans in groups whose byte ranges do not touch one another's."""
    groups: list[list[int]] = []
    end = -1
    for span, word in sorted((Span.unpack(word), word) for word in words):
        if span.start >= end:
            groups.append([])
        groups[-1].append(word)
        end = max(end, span.end)
    return groups


def _one_at_a_time(ordered: Sequence[Row]) -> bool:
    grants = [hold[0] for hold in ordered]
    releases = [hold[1] for hold in ordered]
    return all(map(le, releases, grants[1:]))


def _met_the_only_one(ordered: Sequence[Row]) -> int:
    """Return the number of requests that arrived during another worker's hold, where holds follow one another."""
    grants = [hold[0] for hold in ordered]
    count = before = 0
    for _, ended, requested, worker, _ in ordered:
        if requested < before:  # else nobody held it then: most requests of a worker that races alone
            at = bisect_right(grants, requested) - 1
            if at >= 0:
                _, released, _, holder, _ = ordered[at]
                count += released > requested and holder != worker
        before = ended
    return count


def _sweep_mixed(ordered: Sequence[Row]) -> Exclusion:
    """Return the result of the general sweep, over grants and requests in order of time, with the holds in progress."""
    overlaps: list[Overlap] = []
    contended = unkept = 0
    spans = {word: Span.unpack(word) for word in {hold[4] for hold in ordered}}
    clash = {(a, b) for a in spans for b in spans if spans[a].conflicts(spans[b])}
    events = sorted([(hold[0], 0, hold) for hold in ordered] + [(hold[2], 1, hold) for hold in ordered])
    active: list[Row] = []
    for time, is_request, hold in events:
        active = [other for other in active if other[1] > time]
        against = [other for other in active if other[3] != hold[3] and (other[4], hold[4]) in clash]
        if is_request:
            contended += bool(against)
        elif hold[1] > hold[0]:
            if len(overlaps) < KEPT:
                overlaps += [Overlap(Hold(*other), Hold(*hold)) for other in against]
            else:
                unkept += len(against)
            active.append(hold)
    return Exclusion(overlaps, contended, unkept)


class Nested(Enum):
    """The effect of a request inside a hold of the same owner."""

    KEPT = "every hold lasts until it is released, as far as is known"
    CONVERTED = "flock(2): an exclusive lock asked for inside a shared one ends that, whether it is granted or not"
    REPLACED = "fcntl(2): the inner lock takes the place of the outer one on its bytes, and its unlock frees them"


def as_held(rows: Sequence[Row], nested: Nested) -> list[Row]:
    """Return the holds, each released when it really ended; `rows` has those of each worker in order of request.

    A hold that is ended on some of its bytes ends here on all of them: the oracle may miss an overlap, but never
    invents one. A release of 0 is one that never came.
    """
    if nested is Nested.KEPT or not any(map(_within, rows, rows[1:])):
        return list(rows)
    held = list(rows)
    outer_ones: dict[int, list[int]] = defaultdict(list)
    for place, (granted, _, requested, worker, word) in enumerate(rows):
        still = outer_ones[worker] = [at for at in outer_ones[worker] if not held[at][1] or held[at][1] > requested]
        for at in still:
            end = _ended(Span.unpack(held[at][4]), Span.unpack(word), rows[place], nested)
            if end and (not held[at][1] or end < held[at][1]):
                held[at] = (held[at][0], end, *held[at][2:])
        if granted:
            still.append(place)
    return held


def _within(outer: Row, inner: Row) -> bool:
    """Tell whether the second was requested while the first was held."""
    return outer[3] == inner[3] and (inner[2] < outer[1] or not outer[1])


def _ended(outer: Span, inner: Span, row: Row, nested: Nested) -> int:
    """Return the time when the inner lock of this row ended the outer one; 0 where it does not."""
    granted, released, requested, _, _ = row
    if nested is Nested.CONVERTED:
        return requested if inner.write and not outer.write else 0
    if not granted or inner.start >= outer.end or outer.start >= inner.end:
        return 0
    return requested if outer.write and not inner.write else released


STARVED_GRANTS = 10
STARVED_SHARE = 0.5
STARVED_NS = 100_000_000
"""The least wait of a starved request, in ns.

A request has starved that more than 10 later grants of a worker overtook, while it waited for longer than half of the
trial and longer than 0.1 s. Fewer grants, or a shorter time, are what a scheduler does to a process that is to wake up.
"""


class Overtaking(NamedTuple):
    """The unfairness to the requests of one trial: the `most` later requests that were granted before one.

    `starved` is how many starved; the longest waits are in ns, None where no such lock was requested.
    """

    most: int = 0
    starved: int = 0
    longest_read_ns: int | None = None
    longest_write_ns: int | None = None


def overtaking(holds: Iterable[Row], workers: int, trial_ns: int) -> Overtaking:
    """Return how the requests of a trial of this length were overtaken, in n log n of the holds.

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
