"""What a worker really held where it asked for one range inside another: less than its recorded holds say.

The recorder stamps each hold by itself. The kernel knows only what an owner has on each byte, so a request inside a
hold may end that hold: flock(2) removes a shared lock before it looks for a way to make it exclusive, and the unlock of
an inner byte range frees those bytes altogether (fcntl(2)).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum

from .holds import Row, Span


class Nested(Enum):
    """What a request inside a hold of the same owner does to it."""

    KEPT = "every hold lasts until it is given back, as far as is known"
    CONVERTED = "flock(2): an exclusive lock asked for inside a shared one ends that, whether it is granted or not"
    REPLACED = "fcntl(2): the inner lock takes the place of the outer one on its bytes, and its unlock frees them"


def as_held(rows: Sequence[Row], nested: Nested) -> list[Row]:
    """The holds, each released when it really ended; `rows` are those of one worker after the other, as it asked.

    A hold that is ended on some of its bytes ends here on all of them: the oracle may miss an overlap, never make one.
    A release of 0 is one that never came.
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
    """True where the second was asked for while the first was held."""
    return outer[3] == inner[3] and (inner[2] < outer[1] or not outer[1])


def _ended(outer: Span, inner: Span, row: Row, nested: Nested) -> int:
    """When the inner lock of this row ended the outer one; 0 where it does not."""
    granted, released, requested, _, _ = row
    if nested is Nested.CONVERTED:
        return requested if inner.write and not outer.write else 0
    if not granted or inner.start >= outer.end or outer.start >= inner.end:
        return 0
    return requested if outer.write and not inner.write else released
