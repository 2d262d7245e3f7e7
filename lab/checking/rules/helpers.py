"""Calls, ranges and tables that the programs of many rules share; the tables say how an unlock cuts a lock."""

from __future__ import annotations

from collections.abc import Iterable

from lab.checking.language import MAX

DENIED = "EAGAIN | EACCES"
"""The result of F_SETLK when another process has the range: POSIX allows both."""

BOTH_OPEN = "A: open f; B: open f;"
THREE_OPEN = f"{BOTH_OPEN} C: open f;"

Held = tuple[str, int, int]
"""The type, start and length of one lock, as F_GETLK reports them."""

AT_ONCE = 12
"""The most bytes that are checked in one call, which has to be answered in time."""

OVERLAPS = {
    "the same": (100, 50),
    "over the left edge": (90, 20),
    "over the right edge": (140, 20),
    "inside": (110, 20),
    "around": (90, 70),
    "to the end": (149, 0),
    "whole": (0, 0),
}
"""Ranges that share a byte with the 50 from 100 on, by their position."""


def bytes_of(held: Iterable[Held], *, asked_by: str = "B", edges_only: bool = False) -> str:
    """Return calls by which `asked_by` finds exactly these locks: three bytes of each, and of each gap.

    The bytes are the first, the middle and the last. Whether neighbours of one type have become one lock is left open,
    by POSIX and therefore here. With `edges_only` it is the first byte of each.
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
    """Return calls that report exactly these locks: each asks for the first lock from the end of the last one."""
    lines, start = [], 0
    for kind, first, length in held:
        lines.append(f"{asked_by}: F_GETLK f write {start} 0 = {kind} {first} {length} by {by}")
        if not length:
            return "; ".join(lines)
        start = first + length
    return "; ".join([*lines, f"{asked_by}: F_GETLK f write {start} 0 = free"])


def each(template: str, **words: Iterable[object]) -> tuple[str, ...]:
    """Return the template once for each of the words in its one place."""
    ((place, values),) = words.items()
    return tuple(template.replace(f"<{place}>", str(value)) for value in values)


TYPES = ("read", "write")
OTHER = {"read": "write", "write": "read"}

CUTS: tuple[tuple[tuple[int, int], tuple[tuple[int, int], ...]], ...] = (
    ((5, 3), ((10, 20),)),
    ((5, 5), ((10, 20),)),
    ((5, 6), ((11, 19),)),
    ((5, 10), ((15, 15),)),
    ((10, 5), ((15, 15),)),
    ((15, 5), ((10, 5), (20, 10))),
    ((25, 5), ((10, 15),)),
    ((25, 10), ((10, 15),)),
    ((29, 1), ((10, 19),)),
    ((29, 5), ((10, 19),)),
    ((30, 5), ((10, 20),)),
    ((40, 5), ((10, 20),)),
    ((20, 0), ((10, 10),)),
    ((10, 20), ()),
    ((5, 40), ()),
    ((0, 0), ()),
)
"""Ranges, and what each leaves of the 20 bytes from 10 on: before it, on each of its bytes, inside, behind it, all."""

ENDLESS_CUTS: tuple[tuple[tuple[int, int], tuple[tuple[int, int], ...]], ...] = (
    ((15, 5), ((10, 5), (20, 0))),
    ((15, 0), ((10, 5),)),
    ((5, 10), ((15, 0),)),
    ((0, 0), ()),
)
"""The same for a lock from 10 to infinity."""

MERGED: tuple[tuple[str, str, int, int, list[Held]], ...] = (
    ("write", "write", 20, 10, [("write", 10, 20)]),
    ("write", "write", 5, 5, [("write", 5, 15)]),
    ("read", "read", 15, 10, [("read", 10, 15)]),
    ("read", "read", 20, 0, [("read", 10, 0)]),
    ("write", "write", 21, 5, [("write", 10, 10), ("write", 21, 5)]),
    ("read", "write", 20, 10, [("read", 10, 10), ("write", 20, 10)]),
    ("write", "read", 5, 5, [("read", 5, 5), ("write", 10, 10)]),
)
"""The type of a lock of 10 bytes from 10 on, the type and range of the next, and the locks that result."""

Place = tuple[int, int]
Cut = tuple[str, Place, Place, tuple[Place, ...]]


def cuts() -> list[Cut]:
    """Return the type of the lock, its range, the range that cuts it, and what is left, for each cut."""
    short = [(kind, (10, 20), cut, left) for kind in TYPES for cut, left in CUTS]
    return short + [(kind, (10, 0), cut, left) for kind in TYPES for cut, left in ENDLESS_CUTS]


def unlocked(kind: str, lock: Place, cut: Place, left: tuple[Place, ...]) -> str:
    """Return the program in which a lock is cut by an unlock."""
    return f"""{BOTH_OPEN}
        A: F_SETLK f {kind} {lock[0]} {lock[1]}
        A: F_SETLK f unlock {cut[0]} {cut[1]}
        {bytes_of((kind, *each) for each in left)}
    """


def retyped(kind: str, lock: Place, cut: Place, left: tuple[Place, ...]) -> str:
    """Return the program in which a lock is cut by one of the other type."""
    held: list[Held] = sorted([*((kind, *each) for each in left), (OTHER[kind], *cut)], key=lambda each: each[1])
    return f"""{BOTH_OPEN}
        A: F_SETLK f {kind} {lock[0]} {lock[1]}
        A: F_SETLK f {OTHER[kind]} {cut[0]} {cut[1]}
        {bytes_of(held)}
    """
