"""Rules 44 to 46, and 81: who waits for whom in a ring, and who does not."""

from __future__ import annotations

from itertools import pairwise

from ..rule import Rule
from .phrases import BOTH_OPEN, THREE_OPEN


def _ring(size: int, *, last: str) -> str:
    """Each of so many processes waits for the byte of the next; what the one that closes the ring gets."""
    names = [f"P{number}" for number in range(size)]
    held = "".join(f"{name}: open f; {name}: F_SETLK f write {at} 1; " for at, name in enumerate(names))
    waits = "".join(f"{name}: F_SETLKW f write {at} 1 = waits; " for at, name in enumerate(names[:-1], start=1))
    return f"{held}{waits}{names[-1]}: F_SETLKW f write 0 1 = {last}"


def _chain(size: int) -> str:
    """Each waits for the byte of the one before, the first for nobody."""
    names = [f"P{number}" for number in range(size)]
    held = "".join(f"{name}: open f; {name}: F_SETLK f write {at} 1; " for at, name in enumerate(names))
    waits = "".join(f"{name}: F_SETLKW f write {at} 1 = waits; " for at, name in enumerate(names[1:]))
    freed = "".join(f"{name}: F_SETLK f unlock 0 0; {later}: returns = granted; " for name, later in pairwise(names))
    return held + waits + freed


RULES = (
    Rule(
        44,
        "One of those who wait for one another gets EDEADLK: two, three, twelve, and where the ring closes late.",
        "POSIX fcntl(), EDEADLK; fcntl(2), F_SETLKW; LTP fcntl17, FreeBSD flock 5 and 6",
        "deadlock",
        (
            *(_ring(size, last="EDEADLK | (waits)") for size in (2, 3, 12)),
            f"""{THREE_OPEN}
            A: F_SETLK f write 1 1
            C: F_SETLK f write 3 1
            B: F_SETLK f write 2 1
            A: F_SETLKW f write 2 2 = waits
            B: F_SETLKW f write 1 1 = waits | (EDEADLK)
            C: F_SETLK f unlock 3 1
            A: returns = EDEADLK | (waits)
            A: F_SETLK f unlock 1 1
            B: returns
            """,
        ),
    ),
    Rule(
        45,
        "Of two readers who both want to write, one gets EDEADLK and the other the lock when that one gives up.",
        "POSIX fcntl(), EDEADLK",
        "deadlock",
        (
            f"""{BOTH_OPEN}
            A: F_SETLK f read 0 10
            B: F_SETLK f read 0 10
            A: F_SETLKW f write 0 10 = waits
            B: F_SETLKW f write 0 10 = EDEADLK | (waits)
            B: F_SETLK f unlock 0 10
            A: returns
            """,
        ),
    ),
    Rule(
        46,
        "Nobody gets EDEADLK who only waits for others that go on.",
        "POSIX fcntl(), EDEADLK; checked by no suite before",
        "deadlock",
        (
            _chain(8),
            f"""{THREE_OPEN}
            A: F_SETLK f write 0 1
            B: F_SETLK f write 1 1
            C: F_SETLK f write 2 1
            B: F_SETLKW f write 0 1 = waits
            C: F_SETLKW f write 0 1 = waits
            A: F_SETLKW f write 10 1
            A: F_SETLK f unlock 0 0
            """,
            f"""{BOTH_OPEN}
            A: F_SETLK f write 0 1
            B: F_SETLK f write 1 1
            A: F_SETLKW f write 1 1 = waits
            A: interrupted = EINTR
            B: F_SETLKW f write 0 1 = waits
            A: F_SETLK f unlock 0 1
            B: returns
            """,
        ),
    ),
    Rule(
        81,
        "A ring of thirteen is not noticed and hangs until one of them is interrupted.",
        "fs/locks.c of Linux, MAX_DEADLK_ITERATIONS; fcntl(2), Bugs",
        "deadlock",
        (_ring(13, last="waits") + "; P12: interrupted = EINTR",),
        unpromised="fcntl(2) speaks of limits of the search without naming them",
    ),
)
