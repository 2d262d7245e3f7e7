"""Rules 24 to 29: open modes, and requests that make no sense."""

from __future__ import annotations

from ..rule import Rule
from .phrases import BOTH_OPEN, each

COMMANDS = ("F_SETLK", "F_SETLKW")
EVERY = ("F_SETLK", "F_SETLKW", "F_GETLK")

RULES = (
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
