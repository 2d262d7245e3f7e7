"""What the programs of many rules have in common."""

from __future__ import annotations

from collections.abc import Iterable

from ..language import MAX

DENIED = "EAGAIN | EACCES"
"""What F_SETLK comes to when somebody else has the range: POSIX allows both."""

BOTH_OPEN = "A: open f; B: open f;"
THREE_OPEN = f"{BOTH_OPEN} C: open f;"

Held = tuple[str, int, int]
"""Type, start and length of one lock, as F_GETLK tells them."""

AT_ONCE = 12
"""So many bytes are looked at in one call, which has to be answered in time."""

OVERLAPS = {
    "the same": (100, 50),
    "over the left edge": (90, 20),
    "over the right edge": (140, 20),
    "inside": (110, 20),
    "around": (90, 70),
    "to the end": (149, 0),
    "whole": (0, 0),
}
"""Ranges that share a byte with the 50 from 100 on, by where they lie."""


def bytes_of(held: Iterable[Held], *, asked_by: str = "B", edges_only: bool = False) -> str:
    """Calls by which another finds exactly these locks: the first, middle and last byte of each, and of each gap.

    Whether neighbours of one type have become one lock, POSIX leaves open, and so does this. With `edges_only` it is
    the first byte of each.
    """
    found: dict[int, str] = {}
    start = 0
    for kind, first, length in held:
        segments = [("free", start, first)] * (start < first) + [(kind, first, first + length if length else MAX + 1)]
        for what, begin, end in segments:
            places = [begin] if edges_only else [begin, (begin + end) // 2, end - 1]
            found |= dict.fromkeys(places, what)
        start = segments[-1][2]
    if start <= MAX:
        found |= dict.fromkeys((start, MAX), "free")
    every = list(found)
    parts = [every[at : at + AT_ONCE] for at in range(0, len(every), AT_ONCE)]
    return "; ".join(
        f"{asked_by}: held f {' '.join(map(str, part))} = {' '.join(found[place] for place in part)}" for part in parts
    )


def listing(held: Iterable[Held], *, by: str = "A", asked_by: str = "B") -> str:
    """Calls by which the other is told exactly these locks: each asks for the first from where the last one ended."""
    lines, start = [], 0
    for kind, first, length in held:
        lines.append(f"{asked_by}: F_GETLK f write {start} 0 = {kind} {first} {length} by {by}")
        if not length:
            return "; ".join(lines)
        start = first + length
    return "; ".join([*lines, f"{asked_by}: F_GETLK f write {start} 0 = free"])


def each(template: str, **words: Iterable[object]) -> tuple[str, ...]:
    """The template once for each of the words in its one place."""
    ((place, values),) = words.items()
    return tuple(template.replace(f"<{place}>", str(value)) for value in values)
