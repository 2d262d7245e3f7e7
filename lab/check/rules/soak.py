"""Rules 61 to 68: data and holds under a race. No program shows these; the soak judges them."""

from __future__ import annotations

from ..rule import Rule

RULES = (
    Rule(61, "Blocks appended under a lock are all there and whole.", "LTP fcntl34", "pread"),
    Rule(
        62,
        "Overlapping blocks written under locks never mix, and no other value appears.",
        "LTP fcntl36",
        "pread",
    ),
    Rule(63, "Two processes that take odd and even lines leave every line of the file exact.", "fcntl(2)", "pread"),
    Rule(
        64,
        "Bytes under a read lock never change, bytes under a write lock stay those of their holder.",
        "fcntl(2), F_RDLCK and F_WRLCK",
        "mapping",
    ),
    Rule(
        65,
        "A counter that every node adds to in every pass has grown by the number of nodes.",
        "ctdb, ping_pong -rw",
        "mapping",
    ),
    Rule(66, "Nobody who enters finds the mark of another inside.", "fcntl(2); flock(2)", "posix"),
    Rule(67, "No two holds that exclude each other overlap in time.", "fcntl(2), F_WRLCK", "posix"),
    Rule(
        68,
        "Each page of a sparse mapped file carries the marks of both its writers.",
        "mmap(2), MAP_SHARED",
        "neighbours",
    ),
)
