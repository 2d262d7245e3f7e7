"""What a mount is asked to guarantee: the lines of the verdict, by the names that `--only` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import UsageError

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
"""Asked only where several directories are given."""

GUARANTEES = LOCKS | DATA | NAMES

EXCLUSION = {"posix": "fcntl", "ofd": "ofd", "flock": "flock"}
"""The guarantees that a lock keeps others out, and the name of that lock."""

GROUPS = {"exclusion": tuple(EXCLUSION), "data": tuple(DATA)}
"""Further words for `--only`, each for several guarantees."""

PARTS: dict[str, tuple[str, ...]] = {
    "rules": (*LOCKS, *NAMES),
    "random": (*EXCLUSION, "ranges", "ownership", "blocking", "deadlock", "death"),
    "stress": (*EXCLUSION, *DATA),
    "faults": ("posix", "blocking", "death"),
}
"""The parts of a check, and the guarantees about which each says enough to call them safe."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The guarantees that are judged, the parts that run for them, and the guarantees that were named one by one."""

    guarantees: tuple[str, ...]
    parts: tuple[str, ...]
    named: frozenset[str]

    def told_by(self, guarantee: str) -> list[str]:
        """The parts run that have to say something before this guarantee may be called safe."""
        return [part for part in self.parts if guarantee in PARTS[part]]


def asked_for(only: Sequence[str], directories: int) -> Asked:
    """What `only` (guarantees, groups, parts; empty for all) comes to on so many directories.

    Parts alone ask for every guarantee that they can judge; guarantees alone have every part run that can judge one of
    them. Raises UsageError for an unknown word, and where a name asks for more directories than there are.
    """
    words = list(dict.fromkeys(word for each in only for word in _guarantees_of(each)))
    named = [word for word in words if word not in PARTS]
    if directories < 2 and any(name in NAMES for name in named):
        raise UsageError("--only names: is about two mounts of one filesystem; give another DIR that shows the same")
    parts = [word for word in PARTS if word in words] or [
        part for part, judges in PARTS.items() if not named or part in ("rules", "faults") or {*named} & {*judges}
    ]
    possible = [name for name in GUARANTEES if directories > 1 or name not in NAMES]
    wanted = named or [name for part in parts for name in PARTS[part]]
    return Asked(
        tuple(name for name in possible if name in wanted), tuple(parts), frozenset(only) & frozenset(GUARANTEES)
    )


def _guarantees_of(word: str) -> tuple[str, ...]:
    """The guarantees or the part that a word of `--only` stands for."""
    if word in GUARANTEES or word in PARTS:
        return (word,)
    if word in GROUPS:
        return GROUPS[word]
    if not word:
        raise UsageError("--only: an empty name; give guarantees or parts, as in --only posix,mapping")
    raise UsageError(
        f"--only {word}: there is no such guarantee or part; guarantees are {', '.join(GUARANTEES)}, "
        f"{' and '.join(GROUPS)} stand for several, parts are {', '.join(PARTS)}"
    )
