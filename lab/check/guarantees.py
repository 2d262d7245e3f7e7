"""The guarantees that a check judges: the lines of the verdict, by the names that `--only` takes."""

from __future__ import annotations

from lab.locks.registry import FAMILIES

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
    "remapped": "data, remapped inside the lock",
    "remapped_pread": "data by pread, remapped in lock",
    "neighbours": "data of neighbours in one page",
}
NAMES = {"names": "re-created names lead anew"}
"""This guarantee is judged only where several directories are given."""

GUARANTEES = LOCKS | DATA | NAMES

EXCLUSION = FAMILIES
"""The guarantees that a lock excludes others, and the name of that lock."""

GROUPS = {"exclusion": tuple(EXCLUSION), "data": tuple(DATA)}
"""Further words for `--only`, each for several guarantees."""

RANDOM = (*EXCLUSION, "ranges", "ownership", "blocking", "deadlock", "death")
"""The guarantees that random programs of lock calls judge."""
