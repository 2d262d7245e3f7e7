"""Rules 55 to 60: flock, and what locks do not do."""

from __future__ import annotations

from itertools import product

from ..rule import Rule
from .phrases import BOTH_OPEN, DENIED

MODES = ("shared", "exclusive")
EITHER = f"granted | {DENIED}"
"""On its own from fcntl locks, or in one domain with them as over NFS."""


def _outcome(held: str, asked: str) -> str:
    return "granted" if held == asked == "shared" else "EAGAIN"


RULES = (
    Rule(
        55,
        "Shared flocks go together, an exclusive one is alone; separate opens exclude each other, duplicates do not.",
        "flock(2); LTP flock04 and flock06",
        "flock",
        (
            *(
                f"{BOTH_OPEN} A: flock f {held}; B: flock f {asked} = {_outcome(held, asked)}; A: flock f unlock; "
                f"B: flock f {asked}"
                for held, asked in product(MODES, MODES)
            ),
            *(
                f"A: open f; A: open f as g; A: flock f {held}; A: flock g {asked} = {_outcome(held, asked)}"
                for held, asked in product(MODES, MODES)
            ),
            f"{BOTH_OPEN} A: flock f exclusive; B: flock f exclusive wait = waits; A: flock f unlock; B: returns",
            f"{BOTH_OPEN} A: dup f as g; A: flock f exclusive; A: flock g exclusive; A: close f; "
            "B: flock f shared wait = waits; A: close g; B: returns",
            f"{BOTH_OPEN} A: flock f exclusive; A: fork C; A: close f; B: flock f shared = EAGAIN; "
            "C: flock f unlock; B: flock f shared",
        ),
    ),
    Rule(
        56,
        "An upgrade that is not granted has lost the shared lock.",
        'flock(2), "the existing lock is first removed"',
        "flock",
        (f"{BOTH_OPEN} A: flock f shared; B: flock f shared; A: flock f exclusive = EAGAIN; B: flock f exclusive",),
        unpromised="flock(2) leaves it open: converting is not guaranteed to be atomic",
    ),
    Rule(
        57,
        "flock and fcntl locks are independent, or exclude each other as over NFS; unlocking one keeps the other.",
        "flock(2), Notes and NFS details",
        "flock",
        (
            f"{BOTH_OPEN} A: flock f exclusive; B: F_SETLK f write 0 0 = {EITHER}; B: flock f shared = EAGAIN",
            f"{BOTH_OPEN} A: flock f exclusive; A: F_SETLK f write 0 0 = {EITHER}; A: F_SETLK f unlock 0 0; "
            "B: flock f shared = EAGAIN",
            f"{BOTH_OPEN} A: F_SETLK f write 0 0; A: flock f exclusive = {EITHER}; A: flock f unlock; "
            f"B: F_SETLK f read 0 1 = {DENIED}",
        ),
    ),
    Rule(
        58,
        "A lock of an open that was handed on stays, listed in /proc/locks, when the process that took it has gone.",
        "flock(2); proc(5), /proc/locks; xfstests generic/504",
        "flock",
        (
            f"{BOTH_OPEN} A: flock f exclusive; A: fork C; A: exit; C: listed f = 1 | 0; "
            "B: flock f shared wait = waits; C: exit; B: returns",
        ),
    ),
    Rule(
        59,
        "Locks are advisory: a write to a range that another has locked succeeds.",
        "fcntl(2), Mandatory locking (gone since Linux 5.15); cthon04 tlock 9 has it the old way",
        "posix",
        (
            f"{BOTH_OPEN} A: F_SETLK f write 0 10; B: write f 0 text; B: read f 0 4 = text",
            f"{BOTH_OPEN} A: flock f exclusive; B: write f 0 text; B: read f 0 4 = text",
        ),
    ),
    Rule(
        60,
        "A file that is partly locked can be mapped.",
        "mmap(2); cthon04 tlock 13",
        "mapping",
        (
            """
            A: open f
            A: truncate f 8192
            A: F_SETLK f write 0 10
            B: open f
            B: map f 8192
            A: map f 8192
            A: store f 0 text
            A: load f 0 4 = text
            """,
        ),
    ),
)
