"""Rules 18 to 29: which locks of two processes exclude each other, open modes, and requests that make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

from lab.analysis.holds import Span
from lab.checking.runner import Rule

from .helpers import BOTH_OPEN, DENIED, OVERLAPS, TYPES, each

MODES = {"read": ("r", "rw"), "write": ("w", "rw")}
"""The modes in which a file has to be open for a lock of the type."""

SEED = 20
PAIRS = 32


def _outcome(held: str, asked: str, denied: str) -> str:
    return "granted" if held == asked == "read" else denied


def _asked_once(held: str, asked: str, mode: str, span: tuple[int, int]) -> str:
    return f"""
        A: open f
        B: open f {mode}
        A: F_SETLK f {held} 100 50
        B: F_SETLK f {asked} {span[0]} {span[1]} = {_outcome(held, asked, DENIED)}
    """


def _waited_for(held: str, asked: str, mode: str, span: tuple[int, int]) -> str:
    request = f"B: F_SETLKW f {asked} {span[0]} {span[1]}"
    opened = f"A: open f; B: open f {mode}; A: F_SETLK f {held} 100 50"
    if held == asked == "read":
        return f"{opened}; {request} = granted"
    return f"{opened}; {request} = waits; A: F_SETLK f unlock 100 50; B: returns = granted"


def _overlapping() -> Iterator[str]:
    """Yield each overlap, open mode and pair of types: not waiting, and waiting."""
    for span, held, asked in product(OVERLAPS.values(), TYPES, TYPES):
        for mode in MODES[asked]:
            yield _asked_once(held, asked, mode, span)
        yield _waited_for(held, asked, "rw", span)
    for held, asked in product(TYPES, TYPES):
        yield _waited_for(held, asked, MODES[asked][0], (100, 50))


def _numbers(seed: int) -> Iterator[int]:
    """Yield numbers below 32,768 that look random, by the generator that the C standard gives for rand()."""
    while True:
        seed = (seed * 1103515245 + 12345) % (1 << 31)
        yield seed >> 16


def _random_pairs() -> Iterator[str]:
    """Yield two ranges among 40 bytes, with the result that the rule of overlaps demands."""
    numbers = _numbers(SEED)
    for _ in range(PAIRS):
        start, length, other_start, other_length, kinds = (next(numbers) for _ in range(5))
        held = Span(start % 40, length % 12, bool(kinds & 64))
        asked = Span(other_start % 40, other_length % 12, bool(kinds & 128))
        yield f"""{BOTH_OPEN}
            A: F_SETLK f {TYPES[held.write]} {held.start} {held.length}
            B: F_SETLK f {TYPES[asked.write]} {asked.start} {asked.length} = {_expected(held, asked)}
        """


def _expected(held: Span, asked: Span) -> str:
    return DENIED if held.conflicts(asked) else "granted"


RULES = (
    Rule(
        18,
        "Two processes may read-lock the same bytes together; a write lock is alone.",
        "POSIX fcntl(), EACCES or EAGAIN; FreeBSD flock 2 and 7 to 9",
        "posix",
        tuple(
            f"""{BOTH_OPEN}
            A: F_SETLK f {held} 0 10
            B: F_SETLK f {asked} 0 10 = {_outcome(held, asked, DENIED)}
            A: F_SETLK f unlock 0 10
            B: F_SETLK f {asked} 0 10
            """
            for held, asked in product(TYPES, TYPES)
        ),
    ),
    Rule(
        19,
        "Ranges that touch and do not overlap are granted; one byte in common is enough to be denied.",
        "fcntl(2); cthon04 tlock 3 to 5, xfstests locktest",
        "posix",
        (
            *each(f"{BOTH_OPEN} A: F_SETLK f write 10 20; B: F_SETLK f write <range>", range=("0 10", "30 5", "30 0")),
            *each(
                f"{BOTH_OPEN} A: F_SETLK f write 10 20; B: F_SETLK f write <range> = {DENIED}",
                range=("0 11", "29 5", "29 0"),
            ),
        ),
    ),
    Rule(
        20,
        "Overlapping ranges conflict however they lie, whatever mode the file is open in, waiting or not.",
        "fcntl(2); nfstest_lock, xfstests locktest",
        "posix",
        tuple(_overlapping()),
    ),
    Rule(
        21,
        "Ranges beyond the end of the file conflict as those within it do.",
        "fcntl(2), l_start; nfstest_lock",
        "posix",
        (
            *(
                f"""{BOTH_OPEN}
                A: write f 0 text
                A: F_SETLK f write 100 50
                B: F_SETLK f {asked} {start} {length} = {DENIED}
                """
                for (start, length), asked in product(OVERLAPS.values(), TYPES)
            ),
            f"{BOTH_OPEN} A: write f 0 text; A: F_SETLK f write 100 50; B: F_SETLK f write 150 0",
        ),
    ),
    Rule(
        22,
        "Any two ranges conflict when they share a byte and one of them is written, and only then.",
        "fcntl(2); LTP fcntl14, nfs-ganesha multilock",
        "posix",
        tuple(islice(_random_pairs(), PAIRS)),
    ),
    Rule(
        23,
        "Two waiters for different parts of a lock are both granted theirs when it is released.",
        "fcntl(2), F_SETLKW; LTP fcntl16",
        "blocking",
        (
            f"""{BOTH_OPEN}
            C: open f
            A: F_SETLK f write 0 100
            B: F_SETLKW f write 0 10 = waits
            C: F_SETLKW f write 50 10 = waits
            A: F_SETLK f unlock 0 100
            B: returns
            C: returns
            """,
        ),
    ),
)


COMMANDS = ("F_SETLK", "F_SETLKW")
EVERY = ("F_SETLK", "F_SETLKW", "F_GETLK")

MODE_RULES: tuple[Rule, ...] = (
    Rule(
        24,
        "A write lock needs a file open for writing, a read lock one open for reading.",
        "fcntl(2), EBADF; POSIX fcntl()",
        "modes",
        (
            *each("A: open f r; A: <command> f write 0 1 = EBADF; A: <command> f read 0 1", command=COMMANDS),
            *each("A: open f w; A: <command> f read 0 1 = EBADF; A: <command> f write 0 1", command=COMMANDS),
        ),
    ),
    Rule(
        25,
        "F_GETLK may ask for a write lock on a file that is open for reading only.",
        "POSIX fcntl(), F_GETLK",
        "modes",
        (
            """
            A: open f
            B: open f r
            B: F_GETLK f write 0 0 = free
            A: F_SETLK f write 10 5
            B: F_GETLK f write 0 0 = write 10 5 by A
            """,
        ),
    ),
    Rule(
        26,
        "flock takes an exclusive lock on a file that is open for reading only, except over NFS.",
        "flock(2), NFS details",
        "flock",
        (
            """
            A: open f r
            B: open f
            A: flock f exclusive = granted | EBADF
            A: flock f shared
            B: flock f exclusive = EAGAIN
            """,
        ),
    ),
    Rule(
        27,
        "A whence, a type, a command or a descriptor that does not exist is refused.",
        "fcntl(2), EINVAL and EBADF; LTP fcntl13",
        "modes",
        (
            *each("A: open f; A: <command> f write 0 1 7 = EINVAL", command=EVERY),
            *each("A: open f; A: <command> f 9 0 1 = EINVAL", command=EVERY),
            *each("A: open f; A: <command> g write 0 1 = EBADF", command=EVERY),
            "A: open f; A: F_UNKNOWN f write 0 1 = EINVAL; A: F_UNKNOWN g write 0 1 = EBADF",
            "A: open f; A: close f; A: F_SETLK f unlock 0 0 = EBADF",
            "A: flock f exclusive = EBADF",
        ),
    ),
    Rule(
        28,
        "The process id that a caller of F_SETLK fills in is ignored.",
        "fcntl(2), l_pid; FreeBSD flock 10",
        "modes",
        (f"{BOTH_OPEN} A: F_SETLK f write 0 1 pid=7; B: F_GETLK f write 0 1 = write 0 1 by A",),
    ),
    Rule(
        29,
        "flock with an operation that does not exist is refused.",
        "flock(2), EINVAL; LTP flock02",
        "modes",
        ("A: open f; A: flock f 64 = EINVAL; A: flock f 11 = EINVAL",),
    ),
)
