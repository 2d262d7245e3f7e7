"""What the programs of many rules have in common."""

from __future__ import annotations

from collections.abc import Iterable

DENIED = "EAGAIN | EACCES"
"""What F_SETLK comes to when somebody else has the range: POSIX allows both."""

BOTH_OPEN = "A: open f; B: open f;"
THREE_OPEN = f"{BOTH_OPEN} C: open f;"

Held = tuple[str, int, int]
"""Type, start and length of one lock, as F_GETLK tells them."""

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


def listing(held: Iterable[Held], *, by: str = "A", asked_by: str = "B") -> str:
    """Calls by which the other finds exactly these locks: each asks for the first from where the last one ended."""
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
