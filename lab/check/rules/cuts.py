"""How an unlock, or a lock of the other type, cuts a lock: the tables and templates of rules 11 to 13."""

from __future__ import annotations

from .phrases import BOTH_OPEN, Held, bytes_of

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
"""A range, and what it leaves of the 20 bytes from 10 on: before it, on each of its bytes, inside, behind it, all."""

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
"""Type of a lock of 10 bytes from 10 on, the type and range of the next, and what the two come to."""

Place = tuple[int, int]
Cut = tuple[str, Place, Place, tuple[Place, ...]]


def cuts() -> list[Cut]:
    """Type of the lock, its range, the range that cuts it, and what is left."""
    short = [(kind, (10, 20), cut, left) for kind in TYPES for cut, left in CUTS]
    return short + [(kind, (10, 0), cut, left) for kind in TYPES for cut, left in ENDLESS_CUTS]


def unlocked(kind: str, lock: Place, cut: Place, left: tuple[Place, ...]) -> str:
    """The program in which a lock is cut by an unlock."""
    return f"""{BOTH_OPEN}
        A: F_SETLK f {kind} {lock[0]} {lock[1]}
        A: F_SETLK f unlock {cut[0]} {cut[1]}
        {bytes_of((kind, *each) for each in left)}
    """


def retyped(kind: str, lock: Place, cut: Place, left: tuple[Place, ...]) -> str:
    """The program in which a lock is cut by one of the other type."""
    held: list[Held] = sorted([*((kind, *each) for each in left), (OTHER[kind], *cut)], key=lambda each: each[1])
    return f"""{BOTH_OPEN}
        A: F_SETLK f {kind} {lock[0]} {lock[1]}
        A: F_SETLK f {OTHER[kind]} {cut[0]} {cut[1]}
        {bytes_of(held)}
    """
