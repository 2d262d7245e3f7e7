"""Rules 49 to 60: locks of open file descriptions, flock, and what locks do not do."""

from __future__ import annotations

from itertools import product

from lab.checking.runner import Rule

from .helpers import BOTH_OPEN, DENIED, each

HELD = f"{BOTH_OPEN} A: F_OFD_SETLK f write 0 10; "

RULES = (
    Rule(
        49,
        "Two opens of a file exclude each other, also within one process.",
        "fcntl(2), Open file description locks; LTP fcntl34, xfstests generic/478",
        "ofd",
        (
            f"{HELD} A: open f as g; A: F_OFD_SETLK g write 5 1 = {DENIED}; A: F_OFD_SETLK g write 10 1",
            f"{HELD} B: F_OFD_SETLK f read 0 0 = {DENIED}; A: F_OFD_SETLK f unlock 0 0; B: F_OFD_SETLK f read 0 0",
            f"{HELD} B: F_OFD_SETLKW f write 9 1 = waits; A: F_OFD_SETLK f unlock 9 1; B: returns",
            f"{BOTH_OPEN} A: F_OFD_SETLK f read 0 0; B: F_OFD_SETLK f read 0 0; B: F_OFD_SETLK f write 0 1 = {DENIED}",
        ),
    ),
    Rule(
        50,
        "A lock stays until the last descriptor of its open is closed, whoever has it, or somebody unlocks it there.",
        "fcntl(2), Open file description locks",
        "ofd",
        (
            f"""{HELD}
            A: dup f as g
            A: open f as h
            A: close h
            A: close f
            B: F_OFD_SETLKW f write 0 1 = waits
            A: close g
            B: returns
            """,
            f"""{HELD}
            A: fork C
            C: F_OFD_SETLK f write 0 20
            A: exit
            B: F_OFD_SETLKW f write 0 1 = waits
            C: exit
            B: returns
            """,
            f"{HELD} A: fork C; C: F_OFD_SETLK f unlock 0 0; B: F_OFD_SETLK f write 0 1",
        ),
    ),
    Rule(
        51,
        "Locks of open file descriptions and POSIX locks exclude each other, also within one process.",
        "fcntl(2), Open file description locks; LTP fcntl36",
        "ofd",
        (
            f"{HELD} B: F_SETLK f write 0 1 = {DENIED}; A: F_SETLK f write 0 1 = {DENIED}; B: F_SETLK f write 10 1",
            f"""{BOTH_OPEN}
            A: F_SETLK f write 0 10
            B: F_OFD_SETLK f write 0 1 = {DENIED}
            A: F_OFD_SETLK f write 0 1 = {DENIED}
            B: F_OFD_SETLK f write 10 1
            """,
            f"{HELD} B: F_SETLKW f write 0 1 = waits; A: F_OFD_SETLK f unlock 0 10; B: returns",
            f"{HELD} B: F_GETLK f read 5 1 = write 0 10 by description | write 0 10 by A",
        ),
    ),
    Rule(
        52,
        "A process id other than 0 in the request is refused.",
        "fcntl(2), EINVAL",
        "ofd",
        each(
            f"{BOTH_OPEN} A: <command> f write 0 1 pid=1 = EINVAL",
            command=("F_OFD_SETLK", "F_OFD_SETLKW", "F_OFD_GETLK"),
        ),
    ),
    Rule(
        53,
        "F_OFD_GETLK with F_UNLCK finds the locks of the descriptor's own open.",
        "fs/locks.c of Linux since 6.5; kernel selftests (ofdlocks)",
        "ofd",
        (
            """
            A: open f
            A: F_OFD_SETLK f write 10 5
            A: F_OFD_SETLK f read 20 5
            A: F_OFD_GETLK f unlock 0 10 = free
            A: F_OFD_GETLK f unlock 0 0 = write 10 5 by description
            A: F_OFD_GETLK f unlock 15 0 = read 20 5 by description
            """,
        ),
        unguaranteed="fcntl(2) does not tell of it, and kernels before 6.5 do not do it",
    ),
    Rule(
        54,
        "Nobody looks for deadlocks among these locks: a ring of waiters hangs.",
        'fcntl(2), "no deadlock detection is performed for open file description locks"',
        "ofd",
        (
            f"""{HELD}
            B: F_OFD_SETLK f write 10 10
            A: F_OFD_SETLKW f write 10 1 = waits
            B: F_OFD_SETLKW f write 0 1 = waits
            B: interrupted = EINTR
            """,
        ),
        unguaranteed="fcntl(2) says so of the current implementation only",
    ),
    Rule(
        82,
        "F_GETLK tells -1 for the process of an open file description's lock, F_OFD_GETLK the process of a POSIX lock.",
        "fcntl(2), l_pid",
        "ownership",
        (
            f"{HELD} B: F_GETLK f read 5 1 = write 0 10 by description | (write 0 10 by A)",
            f"{HELD} B: F_OFD_GETLK f read 5 1 = write 0 10 by description | (write 0 10 by A)",
            f"{BOTH_OPEN} A: F_SETLK f write 0 10; "
            "B: F_OFD_GETLK f read 5 1 = write 0 10 by A | (write 0 10 by description)",
        ),
        unguaranteed="a filesystem with a server of its own cannot tell the two kinds of locks apart",
    ),
)


MODES = ("shared", "exclusive")
EITHER = f"granted | {DENIED}"
"""The results of a lock that is independent of fcntl locks, or in one domain with them as over NFS."""


def _outcome(held: str, asked: str) -> str:
    return "granted" if held == asked == "shared" else "EAGAIN"


WHOLE_FILE_RULES: tuple[Rule, ...] = (
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
        unguaranteed="flock(2) leaves it open: converting is not guaranteed to be atomic",
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
