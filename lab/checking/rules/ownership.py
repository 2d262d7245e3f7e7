"""Rules 30 to 38: the owner of a POSIX lock, and when the lock ends."""

from __future__ import annotations

from lab.checking.runner import Rule

from .helpers import DENIED, each

HELD = """
    A: open f
    B: open f
    A: F_SETLK f write 0 10
    A: F_SETLK f read 20 10
"""

RULES = (
    Rule(
        30,
        "Closing any descriptor of a file gives up all locks that the process has on it, and on no other file.",
        'fcntl(2), "Record locks are automatically released"; POSIX close(); LTP fcntl15, cthon04 tlock 11',
        "ownership",
        (
            *each(
                "A: open f; B: open f; A: <second>; A: F_SETLK f write 0 10; A: F_SETLK f write 20 0; "
                f"B: F_SETLK f write 5 1 = {DENIED}; A: close g; B: F_SETLK f write 0 0",
                second=("dup f as g", "open f as g", "open f as g r"),
            ),
            f"{HELD} A: open h; A: close h; B: F_SETLK f write 0 1 = {DENIED}",
            f"{HELD} A: close f; B: F_SETLK f write 0 0",
        ),
    ),
    Rule(
        31,
        "Two descriptors, or two threads, of one process never exclude each other.",
        "fcntl(2), F_SETLK; POSIX fcntl()",
        "ownership",
        (
            f"{HELD} A: open f as g; A: F_GETLK g write 0 0 = free; A: F_SETLK g write 0 30; "
            f"B: F_SETLK f read 20 1 = {DENIED}",
            f"{HELD} A: thread F_SETLK f write 0 30; A: thread F_GETLK f write 0 0 = free; "
            f"B: F_SETLK f read 20 1 = {DENIED}",
            f"{HELD} A: thread F_SETLK f unlock 0 10; B: F_SETLK f write 0 10",
        ),
    ),
    Rule(
        32,
        "A forked child has none of its parent's locks, and its closes and its end leave them alone.",
        "fork(2); fcntl(2); POSIX fork()",
        "ownership",
        (
            f"""{HELD}
            A: fork C
            C: F_GETLK f write 0 1 = write 0 10 by A
            C: F_SETLK f write 0 1 = {DENIED}
            C: F_SETLK f unlock 0 0
            B: F_SETLK f write 0 1 = {DENIED}
            C: close f
            B: F_SETLK f write 0 1 = {DENIED}
            """,
            *each(f"{HELD} A: fork C; C: <ends>; B: F_SETLK f write 0 1 = {DENIED}", ends=("exit", "killed")),
        ),
    ),
    Rule(
        33,
        "A child that shares its parent's descriptors is the same owner: its close gives up the parent's locks.",
        "clone(2), CLONE_FILES",
        "ownership",
        (
            f"{HELD} A: clone C; C: F_SETLK f write 0 30; A: F_SETLK f write 0 30",
            f"{HELD} A: clone C; B: F_SETLK f write 0 1 = {DENIED}; C: close f; B: F_SETLK f write 0 0",
            f"{HELD} A: clone C; C: exit; B: F_SETLK f write 0 1 = {DENIED}; A: exit; B: F_SETLK f write 0 0",
        ),
    ),
    Rule(
        34,
        "Locks survive execve on the same descriptor, and go with one that execve closes.",
        "execve(2); fcntl(2), FD_CLOEXEC; checked by no suite before",
        "ownership",
        (
            f"{HELD} A: exec; B: F_SETLK f write 0 1 = {DENIED}; A: F_SETLK f unlock 0 10; B: F_SETLK f write 0 10",
            f"A: open f cloexec; B: open f; A: F_SETLK f write 0 1; B: F_SETLK f write 0 1 = {DENIED}; "
            "A: exec; B: F_SETLK f write 0 1",
        ),
    ),
    Rule(
        35,
        "A process that ends, by itself or by a signal, gives up all its locks.",
        "fcntl(2); POSIX _exit(); cthon04 tlock 12",
        "death",
        each(f"{HELD} B: F_SETLK f write 5 1 = {DENIED}; A: <ends>; B: F_SETLK f write 0 0", ends=("exit", "killed")),
    ),
    Rule(
        36,
        "A close gives up the locks also after a write, after one beyond the lock, and after a truncate.",
        "fcntl(2); POSIX close(); cthon04 tlock 11",
        "ownership",
        each(
            f"{HELD} A: <call>; B: F_SETLK f write 0 1 = {DENIED}; A: close f; B: F_SETLK f write 0 0",
            call=("write f 0 text", "write f 8 longer-than-the-lock", "truncate f 5"),
        ),
    ),
    Rule(
        37,
        "After locking, writing and closing, the file can be opened again, read and written.",
        "close(2); cthon04 tlock 15",
        "ownership",
        (
            f"""{HELD}
            A: write f 0 first
            A: close f
            A: open f as g
            A: F_SETLK g write 0 10
            A: read g 0 5 = first
            A: write g 0 second
            A: read g 0 6 = second
            B: F_SETLK f write 0 1 = {DENIED}
            """,
        ),
    ),
    Rule(
        38,
        "Who locks a file by a name that was removed and made again does not meet those who lock the old file.",
        "unlink(2); open(2); checked by no suite before",
        "ownership",
        (
            f"""
            A: open f
            A: fork B
            A: F_SETLK f write 0 0
            A: unlink f
            B: open f as g
            B: F_GETLK g write 0 0 = free
            B: F_SETLK g write 0 0
            B: F_SETLK f write 0 0 = {DENIED}
            """,
        ),
    ),
)
