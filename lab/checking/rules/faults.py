"""Rules 61 to 75: data and holds under a race, holders and waiters that die, files that fail."""

from __future__ import annotations

from lab.checking.language import REQUESTS
from lab.checking.runner import Rule

from .helpers import BOTH_OPEN, DENIED, THREE_OPEN

STRESS_RULES: tuple[Rule, ...] = (
    Rule(61, "Blocks appended under a lock are all there and whole.", "LTP fcntl34", "pread", part="stress"),
    Rule(
        62,
        "Overlapping blocks written under locks never mix, and no other value appears.",
        "LTP fcntl36",
        "pread",
        part="stress",
    ),
    Rule(
        63,
        "Two processes that take odd and even lines leave every line of the file exact.",
        "fcntl(2)",
        "pread",
        part="stress",
    ),
    Rule(
        64,
        "Bytes under a read lock never change, bytes under a write lock stay those of their holder.",
        "fcntl(2), F_RDLCK and F_WRLCK",
        "mapping",
        part="stress",
    ),
    Rule(
        65,
        "A counter that every node adds to in every pass has grown by the number of nodes.",
        "ctdb, ping_pong -rw",
        "mapping",
        part="stress",
    ),
    Rule(66, "Nobody who enters finds the mark of another inside.", "fcntl(2); flock(2)", "posix", part="stress"),
    Rule(67, "No two holds that exclude each other overlap in time.", "fcntl(2), F_WRLCK", "posix", part="stress"),
    Rule(
        68,
        "Each page of a sparse mapped file carries the marks of both its writers.",
        "mmap(2), MAP_SHARED",
        "neighbours",
        part="stress",
    ),
)


RULES = (
    Rule(
        69,
        "Who waits gets the lock when its holder is killed.",
        "fcntl(2); flock(2); POSIX _exit()",
        "death",
        tuple(
            f"{BOTH_OPEN} A: {take}; B: {wait} = waits; A: killed; B: returns" for take, wait, _ in REQUESTS.values()
        ),
        part="faults",
    ),
    Rule(
        70,
        "A stopped holder keeps its lock and F_GETLK names it; continued, it goes on and gives it back.",
        "fcntl(2), F_GETLK; signal(7), SIGSTOP",
        "death",
        (
            f"""{THREE_OPEN}
            A: F_SETLK f write 0 10
            A: stopped
            B: F_SETLK f write 0 1 = {DENIED}
            B: F_GETLK f write 0 0 = write 0 10 by A
            C: F_SETLKW f write 0 10 = waits
            A: continued
            C: waits
            A: F_SETLK f unlock 0 10
            C: returns
            """,
        ),
        part="faults",
    ),
    Rule(
        71,
        "Whoever waits when a signal ends another's wait gets the lock next, be it of any kind.",
        "fcntl(2), EINTR; flock(2), EINTR",
        "blocking",
        tuple(
            f"""{THREE_OPEN}
            A: {take}
            B: {wait} = waits
            C: {wait} = waits
            B: interrupted = EINTR
            C: waits
            A: {unlock}
            C: returns
            """
            for take, wait, unlock in REQUESTS.values()
        ),
        part="faults",
    ),
    Rule(
        72,
        "A waiter that is killed leaves nothing queued.",
        "fcntl(2); flock(2)",
        "death",
        tuple(
            f"""{THREE_OPEN}
            A: {take}
            B: {wait} = waits
            C: {wait} = waits
            B: killed
            C: waits
            A: {unlock}
            C: returns
            """
            for take, wait, unlock in REQUESTS.values()
        ),
        part="faults",
    ),
    Rule(
        73,
        "Who touches a mapping of what was cut off the file dies of SIGBUS, and its lock is free.",
        "mmap(2), SIGBUS; ftruncate(2)",
        "mapping",
        (
            f"""{BOTH_OPEN}
            A: truncate f 8192
            A: map f 8192
            A: F_SETLK f write 0 10
            A: store f 4096 text
            A: truncate f 0
            B: F_SETLK f write 0 1 = {DENIED}
            A: load f 4096 4 = SIGBUS
            B: F_SETLK f write 0 1
            """,
        ),
        part="faults",
    ),
    Rule(
        74,
        "A write that finds no room fails and leaves the lock as it is.",
        "write(2), EFBIG; setrlimit(2), RLIMIT_FSIZE",
        "posix",
        (
            f"""{BOTH_OPEN}
            A: limit size 100
            A: F_SETLK f write 0 300
            A: write f 0 text
            A: write f 200 text = EFBIG
            A: read f 0 4 = text
            B: F_SETLK f write 200 1 = {DENIED}
            A: F_SETLK f unlock 0 300
            B: F_SETLK f write 200 1
            """,
        ),
        part="faults",
    ),
    Rule(
        75,
        "A process that has run out of descriptors keeps its lock.",
        "open(2), EMFILE; setrlimit(2), RLIMIT_NOFILE",
        "posix",
        (
            f"""{BOTH_OPEN}
            A: F_SETLK f write 0 10
            A: limit files 1
            A: open h
            A: open f as g = EMFILE
            A: dup f as g = EMFILE
            B: F_SETLK f write 0 1 = {DENIED}
            A: F_SETLK f unlock 0 10
            B: F_SETLK f write 0 1
            """,
        ),
        part="faults",
    ),
)
