"""Rules 93 to 95, 101 and 102: appends by several processes, and the size of a file that others change."""

from __future__ import annotations

from lab.checking.language import REQUESTS
from lab.checking.runner import Rule

from .helpers import BOTH_OPEN

APPENDING = "A: open f append; B: open f append;"

RULES = (
    Rule(
        93,
        "A write with O_APPEND goes to the end of the file, wherever another process has moved that.",
        "open(2), O_APPEND; write(2); POSIX write()",
        "append",
        (
            f"{APPENDING} A: append f one; B: append f two; A: append f six; B: read f 0 9 = onetwosix",
            f"{APPENDING} A: append f one; B: truncate f 0; A: append f two; B: append f six; A: read f 0 9 = twosix",
            "A: open f append; A: append f one; A: seek f 0; A: append f two; A: read f 0 9 = onetwo",
        ),
    ),
    Rule(
        94,
        "Once a lock is granted, fstat tells the size that the holder before left.",
        "fstat(2), st_size; fcntl(2), F_SETLK; nfs(5), Data and metadata coherence",
        "size",
        tuple(
            f"""{BOTH_OPEN}
            A: {take}
            A: write f 0 text
            A: {unlock}
            B: {take}
            B: size f = 4
            B: truncate f 2
            B: {unlock}
            A: {take}
            A: size f = 2
            A: write f 6 more
            A: {unlock}
            B: {take}
            B: size f = 10
            """
            for take, _, unlock in REQUESTS.values()
        ),
    ),
    Rule(
        95,
        "Bytes that were cut off are zeros when the file is made longer again.",
        "ftruncate(2); POSIX ftruncate()",
        "size",
        ("A: open f; A: write f 0 text; A: truncate f 0; A: truncate f 4; A: size f = 4; A: read f 0 4 = ....",),
    ),
)

STRESS_RULES = (
    Rule(
        101,
        "Records that several processes append with O_APPEND are all there, once and whole.",
        "open(2), O_APPEND; POSIX write()",
        "append",
        part="stress",
    ),
    Rule(
        102,
        "Under a lock fstat tells the size that the holder before left, whether it wrote at the end or truncated.",
        "fstat(2), st_size; ftruncate(2)",
        "size",
        part="stress",
    ),
)
