"""The guarantees that a check judges: the lines of the verdict, by the names that `--only` takes."""

from __future__ import annotations

from lab.locking.registry import FAMILIES

LOCKS = {
    "posix": "POSIX locks exclude",
    "ofd": "open file (OFD) locks exclude",
    "flock": "flock excludes",
    "ranges": "ranges kept apart and merged",
    "modes": "wrong requests refused",
    "ownership": "locks follow their owner",
    "blocking": "waiters woken, and fairly",
    "deadlock": "deadlocks noticed, none made up",
    "death": "released on death",
}
DATA = {
    "pread": "data by pread and pwrite",
    "mapping": "data by a mapping",
    "mixed": "data by a mapping and pread",
    "remapped": "data, remapped inside the lock",
    "remapped_pread": "data by pread, remapped in lock",
    "whole_file": "data, opened and synced in lock",
    "neighbours": "data of neighbours in one page",
}
GROWTH = {
    "append": "appends by several all arrive",
    "size": "sizes are true inside the lock",
}
NAMES = {
    "o_excl": "lock files by O_EXCL exclude",
    "mkdir": "lock directories exclude",
    "link": "lock files by link exclude",
    "rename": "rename replaces a file at once",
    "entries": "names are the same for all",
}

FILES = DATA | GROWTH | NAMES
"""These guarantees are about files, not about locks of the kernel: a few calls of a rule show too little of them."""

FENCING = {"fenced": "a cut-off holder is fenced off"}
"""The guarantee of several hosts that a user's command can test: takes --cut and --heal."""

GUARANTEES = LOCKS | FENCING | FILES

EXCLUSION = FAMILIES
"""The guarantees that a lock of the kernel excludes others, and the name of that lock."""

LOCK_FILES = {"o_excl": "lockfile", "mkdir": "lockdir", "link": "linkfile"}
"""The guarantees that a name, which only one can make, excludes others, and the name of that lock."""

HELD = EXCLUSION | LOCK_FILES
"""All guarantees of exclusion: races for them are judged by the holds, not by the data."""

GROUPS = {"exclusion": tuple(EXCLUSION), "data": tuple(DATA), "growth": tuple(GROWTH), "names": tuple(NAMES)}
"""Further words for `--only`, each for several guarantees."""

PART_NAMES = ("rules", "random", "stress", "faults")
"""The parts of a check, in the order of its report."""

UNCONTENDED = frozenset({"neighbours", "append", "rename"})
"""The guarantees whose workers never wait for each other: a fault can show in each round."""

PARTITION = "partition"
BETWEEN_HOSTS = ("probe", "turns", PARTITION)
"""Further parts, of a check on several hosts: two that come before the others, and one that comes last."""

RANDOM = (*EXCLUSION, "ranges", "ownership", "blocking", "deadlock", "death")
"""The guarantees that random programs of lock calls judge."""
