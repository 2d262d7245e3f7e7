"""Rules 39 to 48, and 81: waiting with F_SETLKW, waking of waiters, turns, and rings of waiters."""

from __future__ import annotations

from itertools import pairwise

from lab.checking.runner import Rule

from .helpers import BOTH_OPEN, DENIED, THREE_OPEN, each

WRITERS = 10
READERS = 64


def _crowd(size: int, kind: str, call: str) -> str:
    """Return a program in which this many wait for one lock and all get it in the end, in whatever order."""
    names = [f"W{number}" for number in range(size)]
    waits = "".join(f"{name}: open f; {name}: {call} f {kind} 0 1 = waits; " for name in names)
    return f"A: open f; A: F_SETLK f write 0 1; {waits} A: F_SETLK f unlock 0 1; " + "".join(
        f"{name}: returns = granted; " for name in names
    )


RULES = (
    Rule(
        39,
        "F_SETLKW waits until the lock is given up, and what the holder wrote stays as it is meanwhile.",
        "fcntl(2), F_SETLKW; cthon04 tlock 7, FreeBSD flock 12",
        "blocking",
        (
            *each(
                f"{BOTH_OPEN} A: F_SETLK f write 0 10; B: F_SETLKW f <kind> 0 10 = waits; B: waits; "
                "A: F_SETLK f unlock 0 10; B: returns",
                kind=("read", "write"),
            ),
            *each(
                f"{BOTH_OPEN} A: F_SETLK f write 0 10; B: F_SETLKW f write 0 10 = waits; A: <ends>; B: returns",
                ends=("close f", "exit"),
            ),
            f"""{BOTH_OPEN}
            A: F_SETLK f write 4090 12
            B: F_SETLKW f write 4090 12 = waits
            A: write f 4090 twelve-bytes
            B: waits
            A: read f 4090 12 = twelve-bytes
            A: F_SETLK f unlock 4090 12
            B: returns
            B: write f 4090 other-twelve
            B: read f 4090 12 = other-twelve
            """,
        ),
    ),
    Rule(
        40,
        "F_SETLKW does not wait where nothing is in its way.",
        "fcntl(2), F_SETLKW",
        "blocking",
        (
            f"{BOTH_OPEN} A: F_SETLK f read 0 10; B: F_SETLKW f read 0 10",
            f"{BOTH_OPEN} A: F_SETLK f write 0 10; B: F_SETLKW f write 10 0",
            f"{BOTH_OPEN} A: F_SETLK f write 0 10; A: F_SETLKW f read 0 5; A: F_SETLKW f write 0 20",
        ),
    ),
    Rule(
        41,
        "Waiters wake when the holder downgrades or unlocks what they wait for, and otherwise go on waiting.",
        "fcntl(2), F_SETLKW; LTP fcntl16",
        "blocking",
        (
            f"""{THREE_OPEN}
            A: F_SETLK f write 0 10
            B: F_SETLKW f read 0 10 = waits
            C: F_SETLKW f write 0 10 = waits
            A: F_SETLK f read 0 10
            B: returns
            C: waits
            """,
            f"""{THREE_OPEN}
            A: F_SETLK f write 0 10
            B: F_SETLKW f write 0 5 = waits
            C: F_SETLKW f write 4 2 = waits
            A: F_SETLK f unlock 5 5
            B: waits
            C: waits
            A: F_SETLK f unlock 0 4
            B: waits
            """,
            f"""{BOTH_OPEN}
            A: F_SETLK f write 0 10
            B: F_SETLKW f write 0 5 = waits
            A: F_SETLK f unlock 5 5
            B: waits
            A: F_SETLK f read 2 2
            B: waits
            A: F_SETLK f unlock 0 5
            B: returns
            """,
        ),
    ),
    Rule(
        42,
        "A signal ends a wait with EINTR and leaves nothing queued.",
        "fcntl(2), EINTR; signal(7); FreeBSD flock 3",
        "blocking",
        (
            f"""{THREE_OPEN}
            A: F_SETLK f write 0 10
            B: F_SETLKW f write 0 10 = waits
            B: interrupted = EINTR
            A: F_SETLK f unlock 0 10
            C: F_GETLK f write 0 0 = free
            C: F_SETLK f write 0 10
            B: F_SETLK f write 0 10 = {DENIED}
            """,
            f"{BOTH_OPEN} A: F_SETLK f write 0 10; B: F_SETLKW f write 0 10 = waits; B: interrupted = EINTR; "
            "B: F_SETLKW f write 0 10 = waits; A: F_SETLK f unlock 0 10; B: returns",
        ),
    ),
    Rule(
        43,
        "A waiter whom a signal and the holder's end reach together gets the lock or EINTR, and nothing else.",
        "fcntl(2), EINTR; FreeBSD flock 13",
        "blocking",
        each(
            f"{THREE_OPEN} A: F_SETLK f write 0 10; B: F_SETLKW f write 0 10 = waits; A: <ends>; "
            "B: interrupted = EINTR | granted; B: F_SETLK f write 0 10; B: F_SETLK f unlock 0 0; "
            "C: F_SETLK f write 0 10",
            ends=("exit", "killed", "close f", "F_SETLK f unlock 0 0") * 2,
        ),
        part="faults",
        risk="it signals waiters while the lock is given up, which has deadlocked a network filesystem's client",
    ),
    Rule(
        47,
        "Waiters are granted the lock in the order in which they came.",
        "fs/locks.c of Linux; checked by no suite before",
        "blocking",
        (
            f"""{THREE_OPEN}
            D: open f
            A: F_SETLK f write 0 1
            B: F_SETLKW f write 0 1 = waits
            C: F_SETLKW f write 0 1 = waits
            D: F_SETLKW f write 0 1 = waits
            A: F_SETLK f unlock 0 1
            B: returns
            C: waits
            D: waits
            B: F_SETLK f unlock 0 1
            C: returns
            D: waits
            C: F_SETLK f unlock 0 1
            D: returns
            """,
        ),
        unguaranteed="neither fcntl(2) nor POSIX guarantees an order",
    ),
    Rule(
        48,
        "Ten waiting writers all get their turn, and 64 waiting readers are granted it together.",
        "fcntl(2), F_SETLKW",
        "blocking",
        (_crowd(WRITERS, "write", "last F_SETLKW"), _crowd(READERS, "read", "F_SETLKW")),
    ),
)


def _ring(size: int, *, last: str) -> str:
    """Return a program in which each process waits for the byte of the next; the one closing the ring gets `last`."""
    names = [f"P{number}" for number in range(size)]
    held = "".join(f"{name}: open f; {name}: F_SETLK f write {at} 1; " for at, name in enumerate(names))
    waits = "".join(f"{name}: F_SETLKW f write {at} 1 = waits; " for at, name in enumerate(names[:-1], start=1))
    return f"{held}{waits}{names[-1]}: F_SETLKW f write 0 1 = {last}"


def _chain(size: int) -> str:
    """Return a program in which each waits for the byte of the one before, and the first for none."""
    names = [f"P{number}" for number in range(size)]
    held = "".join(f"{name}: open f; {name}: F_SETLK f write {at} 1; " for at, name in enumerate(names))
    waits = "".join(f"{name}: F_SETLKW f write {at} 1 = waits; " for at, name in enumerate(names[1:]))
    freed = "".join(f"{name}: F_SETLK f unlock 0 0; {later}: returns = granted; " for name, later in pairwise(names))
    return held + waits + freed


DEADLOCK_RULES: tuple[Rule, ...] = (
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
        unguaranteed="fcntl(2) speaks of limits of the search without naming them",
    ),
)
