"""Read suppressions: accesses that are not judged, because a program is made to get along without their lock.

A file of suppressions has one on each line, and `#` begins a comment, which should say why:

    reads 0-99 *.db      # SQLite looks at the header when it opens a file, and again under the lock

The words are `reads`, `writes` or `accesses`, a range of bytes or `all`, and a pattern of names as in the shell. Those
of some libraries come with the lab, and are asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

from lab.analysis.lock_faults import Cause
from lab.analysis.watched import END, LOADS, STORES, Event, Kind
from lab.errors import UsageError, unknown

SHIPPED = {
    "sqlite": """
        reads 0-99 *    # the header, at open; read again under the lock before anything is taken from it
    """,
}
"""The suppressions of each library that the lab knows."""

KINDS = {"reads": LOADS, "writes": STORES, "accesses": (*LOADS, *STORES)}


@dataclass(frozen=True, slots=True)
class Suppression:
    """One line: which accesses, to which bytes of which files. The range runs up to, not including, `end`."""

    kinds: frozenset[Kind]
    start: int
    end: int
    glob: str

    def names(self, path: str) -> bool:
        """Tell whether it is about this file."""
        return fnmatch(path, self.glob) or fnmatch(Path(path).name, self.glob)

    def covers(self, event: Event) -> bool:
        """Tell whether an access to such a file lies in it entirely."""
        return event.kind in self.kinds and self.start <= event.start and event.end <= self.end


def suppressions(names: Iterable[str]) -> list[Suppression]:
    """Return the suppressions of files, or of libraries by name. Raises UsageError, with the line, for what is none."""
    found = []
    for name in names:
        try:
            text = SHIPPED[name] if name in SHIPPED else Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            known = ", ".join(SHIPPED)
            raise UsageError(
                f"--suppress {name}: cannot be read; give a file, or a name that is known: {known}"
            ) from error
        for number, line in enumerate(text.splitlines(), start=1):
            if words := line.partition("#")[0].split():
                found.append(_parsed(words, f"--suppress {name}, line {number}"))
    return found


def check_causes(names: Iterable[str]) -> None:
    """Raise UsageError for a name that is no cause of a finding."""
    for name in names:
        if name not in (known := get_args(Cause)):
            raise unknown("cause", name, list(known))


def _parsed(words: list[str], where: str) -> Suppression:
    expected = f"{where}: give such as reads 0-99 *.db"
    if len(words) != 3 or words[0] not in KINDS:
        raise UsageError(expected)
    kind, span, glob = words
    first, dash, last = span.partition("-")
    if span != "all" and not (dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
        raise UsageError(expected)
    start, end = (0, END) if span == "all" else (int(first), int(last) + 1)
    return Suppression(frozenset(KINDS[kind]), start, end, glob)
