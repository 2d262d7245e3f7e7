"""Rules 1 to 17, and 83: the ranges of one owner, as it locks and unlocks them and another process sees them."""

from __future__ import annotations

from lab.checking.language import MAX
from lab.checking.runner import Rule

from .helpers import BOTH_OPEN, DENIED, MERGED, TYPES, bytes_of, cuts, each, listing, retyped, unlocked


def _many(kinds: tuple[str, str], step: int) -> str:
    """Return a program with 128 locks of 8 bytes, of alternating types, `step` bytes apart, and a check of each."""
    held = [(kinds[index % 2], index * step, 8) for index in range(128)]
    locks = "; ".join(f"A: F_SETLK f {kind} {start} {length}" for kind, start, length in held)
    return f"{BOTH_OPEN} {locks}; {bytes_of(held, edges_only=True)}"


RULES = (
    Rule(
        1,
        "F_GETLK on a range that nobody else has locked finds it free.",
        "fcntl(2), F_GETLK; cthon04 tlock 1, FreeBSD flock 1, LTP fcntl05",
        "ranges",
        (
            """
            A: open f
            A: F_GETLK f write 0 0 = free
            A: F_GETLK f read 10 5 = free
            """,
            """
            A: open f
            B: open f
            A: F_SETLK f write 10 5
            A: F_GETLK f write 0 0 = free
            B: F_GETLK f write 0 10 = free
            B: F_GETLK f write 15 0 = free
            """,
        ),
    ),
    Rule(
        2,
        "F_GETLK on a conflict tells type, start, length and process of the lock in the way.",
        "fcntl(2), F_GETLK; FreeBSD flock 4",
        "ranges",
        (
            f"{BOTH_OPEN} A: F_SETLK f write 10 20; B: F_GETLK f read 15 1 = write 10 20 by A",
            f"{BOTH_OPEN} A: F_SETLK f read 10 20; B: F_GETLK f write 0 0 = read 10 20 by A",
            f"{BOTH_OPEN} A: F_SETLK f read 10 0; B: F_GETLK f write 50 1 = read 10 0 by A",
            f"{BOTH_OPEN} A: F_SETLK f read 10 20; B: F_GETLK f read 0 0 = free",
        ),
    ),
    Rule(
        3,
        "A lock on the whole file denies every part of it, the last possible byte included.",
        "fcntl(2), l_len; cthon04 tlock 2",
        "ranges",
        each(
            f"{BOTH_OPEN} A: F_SETLK f write 0 0; B: F_SETLK f write <range> = {DENIED}",
            range=("0 1", "1 1", "4096 1", "0 0", "max-1 1", "max 1", "max 0"),
        ),
    ),
    Rule(
        4,
        "A lock on one byte denies the ranges that touch this byte, and no others.",
        "fcntl(2), l_start and l_len; cthon04 tlock 3 and 4",
        "ranges",
        (
            *each(
                f"{BOTH_OPEN} A: F_SETLK f write 10 1; B: F_SETLK f write <range> = {DENIED}",
                range=("10 1", "9 2", "10 2", "0 0", "10 0"),
            ),
            *each(
                f"{BOTH_OPEN} A: F_SETLK f write 10 1; B: F_SETLK f write <range>",
                range=("9 1", "11 1", "0 10", "11 0"),
            ),
        ),
    ),
    Rule(
        5,
        "A lock of length 0 reaches beyond the end of the file, however long the file becomes.",
        "fcntl(2), l_len; cthon04 tlock 2",
        "ranges",
        (
            f"{BOTH_OPEN} A: F_SETLK f write 10 0; B: F_SETLK f write 1000000000000 1 = {DENIED}",
            f"{BOTH_OPEN} A: F_SETLK f write 10 0; B: F_SETLK f write max 1 = {DENIED}; B: F_SETLK f write 0 10",
            f"""{BOTH_OPEN}
            A: write f 0 text
            A: F_SETLK f read 2 0
            A: truncate f 10000
            B: F_SETLK f write 9000 1 = {DENIED}
            B: F_GETLK f write 9000 1 = read 2 0 by A
            """,
        ),
    ),
    Rule(
        6,
        "The last byte that an offset can name can be locked, and none behind it.",
        "POSIX fcntl(), EOVERFLOW and EINVAL; cthon04 tlock 6",
        "ranges",
        (
            f"{BOTH_OPEN} A: F_SETLK f write max 1; B: F_SETLK f write max 1 = {DENIED}",
            f"{BOTH_OPEN} A: F_SETLK f write max 1; B: F_SETLK f write max-1 1",
            f"{BOTH_OPEN} A: F_SETLK f write max 1; B: F_GETLK f write 0 0 = write {MAX} 0 by A",
            *each("A: open f; A: F_SETLK f write <range> = EOVERFLOW | EINVAL", range=("max 2", "2 max", "max max")),
            f"{BOTH_OPEN} A: F_SETLK f write 1 max; B: F_SETLK f write max 1 = {DENIED}; B: F_SETLK f write 0 1",
        ),
    ),
    Rule(
        7,
        "A range that begins before the start of the file is refused.",
        "POSIX fcntl(), EINVAL; fcntl(2), l_start",
        "ranges",
        each(
            "A: open f; A: F_SETLK f write <range> = EINVAL; A: F_SETLKW f read <range> = EINVAL; "
            "A: F_GETLK f write <range> = EINVAL",
            range=("-1 1", "-1 0", "0 -1", "4 -5", "-1 5 cur", "-1 5 end"),
        ),
    ),
    Rule(
        8,
        "A negative length locks the bytes before the start.",
        "POSIX fcntl(), l_len; checked by no suite before",
        "ranges",
        (
            f"{BOTH_OPEN} A: F_SETLK f write 30 -20; {bytes_of([('write', 10, 20)])}",
            f"{BOTH_OPEN} A: F_SETLK f write 20 -20; {bytes_of([('write', 0, 20)])}",
            f"{BOTH_OPEN} A: F_SETLK f read 10 20; A: F_SETLK f unlock 20 -5; "
            f"{bytes_of([('read', 10, 5), ('read', 20, 10)])}",
        ),
    ),
    Rule(
        9,
        "Ranges counted from the position or from the end of the file mean the same bytes for everybody.",
        "fcntl(2), l_whence; LTP fcntl14",
        "ranges",
        (
            f"{BOTH_OPEN} A: seek f 100; A: F_SETLK f write 5 10 cur; {bytes_of([('write', 105, 10)])}",
            f"{BOTH_OPEN} A: seek f 100; A: F_SETLK f write -5 10 cur; {bytes_of([('write', 95, 10)])}",
            f"{BOTH_OPEN} A: truncate f 1000; A: F_SETLK f write -10 5 end; {bytes_of([('write', 990, 5)])}",
            f"{BOTH_OPEN} A: truncate f 1000; A: F_SETLK f write 0 -100 end; {bytes_of([('write', 900, 100)])}",
            f"{BOTH_OPEN} A: truncate f 1000; A: F_SETLK f write 0 0 end; {bytes_of([('write', 1000, 0)])}",
        ),
    ),
    Rule(
        10,
        "Unlocking the middle of a lock leaves two.",
        "POSIX fcntl(), F_UNLCK; cthon04 tlock 10, LTP fcntl19 and fcntl20",
        "ranges",
        (
            f"""{BOTH_OPEN}
            A: F_SETLK f write 10 20
            A: F_SETLK f unlock 15 5
            {bytes_of([("write", 10, 5), ("write", 20, 10)])}
            B: F_SETLK f write 15 5
            B: F_SETLK f write 14 1 = {DENIED}
            B: F_SETLK f write 20 1 = {DENIED}
            """,
        ),
    ),
    Rule(
        11,
        "An unlock frees exactly the bytes it names, wherever they lie to the lock.",
        "POSIX fcntl(), F_UNLCK; LTP fcntl19 and fcntl20",
        "ranges",
        tuple(unlocked(*cut) for cut in cuts()),
    ),
    Rule(
        12,
        "A lock of the other type replaces exactly the bytes it names, and what is left keeps its type.",
        "POSIX fcntl(), F_SETLK; LTP fcntl11 and fcntl21",
        "ranges",
        tuple(retyped(*cut) for cut in cuts()),
    ),
    Rule(
        13,
        "Ranges that touch or overlap leave each byte locked as it was locked last, be they one lock then or several.",
        "fcntl(2), F_SETLK; LTP fcntl11 and fcntl21",
        "ranges",
        (
            *(
                f"{BOTH_OPEN} A: F_SETLK f {first} 10 10; A: F_SETLK f {second} {start} {length}; {bytes_of(held)}"
                for first, second, start, length, held in MERGED
            ),
            f"{BOTH_OPEN} A: F_SETLK f write 10 5; A: F_SETLK f write 20 5; A: F_SETLK f write 15 5; "
            f"{bytes_of([('write', 10, 15)])}",
        ),
    ),
    Rule(
        14,
        "Locking again what one has is granted: the same range, more of it, or less.",
        "POSIX fcntl(), F_SETLK",
        "ranges",
        tuple(
            f"{BOTH_OPEN} A: F_SETLK f {kind} 10 20; A: F_SETLK f {kind} {again}; {bytes_of([(kind, *held)])}"
            for kind in TYPES
            for again, held in (("10 20", (10, 20)), ("5 40", (5, 40)), ("15 5", (10, 20)), ("0 0", (0, 0)))
        ),
    ),
    Rule(
        15,
        "Unlocking what was never locked is granted and changes nothing.",
        "POSIX fcntl(), F_UNLCK",
        "ranges",
        (
            "A: open f; A: F_SETLK f unlock 0 0",
            f"{BOTH_OPEN} A: F_SETLK f write 10 5; B: F_SETLK f unlock 0 0; {bytes_of([('write', 10, 5)])}",
        ),
    ),
    Rule(
        16,
        "A lock can be upgraded and downgraded in place, and one that cannot be upgraded is kept.",
        "fcntl(2), F_SETLK; LTP fcntl11 and fcntl21",
        "ranges",
        (
            f"""{BOTH_OPEN}
            A: F_SETLK f read 10 5
            B: F_SETLK f read 10 5
            B: F_SETLK f unlock 10 5
            A: F_SETLK f write 10 5
            B: F_SETLK f read 10 5 = {DENIED}
            A: F_SETLK f read 10 5
            B: F_SETLK f read 10 5
            B: F_SETLK f write 10 5 = {DENIED}
            A: F_GETLK f write 10 5 = read 10 5 by B
            B: F_GETLK f write 10 5 = read 10 5 by A
            """,
        ),
    ),
    Rule(
        17,
        "128 small locks of one process are all held, with gaps between them or without.",
        "fcntl(2), F_SETLK and F_GETLK",
        "ranges",
        (_many(("write", "write"), 16), _many(("read", "write"), 8)),
    ),
    Rule(
        83,
        "F_GETLK reports ranges of one type that touch or overlap as one lock, and those of different types apart.",
        "fs/locks.c of Linux; LTP fcntl11 and fcntl21",
        "ranges",
        tuple(
            f"{BOTH_OPEN} A: F_SETLK f {first} 10 10; A: F_SETLK f {second} {start} {length}; {listing(held)}"
            for first, second, start, length, held in MERGED
        ),
        unguaranteed="POSIX lets F_GETLK report any lock that is in the way, and fcntl(2) does not tell of merging",
    ),
)
