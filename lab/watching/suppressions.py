"""Read suppressions: accesses that are not judged, because a program is made to get along without their lock.

A file of suppressions has one on each line, and `#` begins a comment, which should say why:

    reads 0-99 *.db                      # SQLite looks at the header when it opens a file, and again under the lock
    accesses all *.log function:log_*    # lines of a log; nobody relies on them
    function:peek                        # any access in this function, or in one that it calls
    orders 0-7 *.ring                    # words of a mapping that order processes: a store releases, a load acquires

The words are `reads`, `writes`, `accesses` or `orders`, a range of bytes or `all`, a pattern of names as in the shell,
and a pattern of functions. Files for some libraries come with the lab, and are asked for by name: those beside this
module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

from lab.analysis.lock_faults import Cause
from lab.analysis.watched import END, LOADS, STORES, Event, Kind
from lab.errors import UsageError, unknown

KINDS = {"reads": LOADS, "writes": STORES, "accesses": (*LOADS, *STORES), "orders": ()}
FUNCTION = "function:"
SHIPPED = ".supp"

Functions = Callable[[Event], Sequence[str]]
"""It returns the functions of the stack of an access."""


def shipped() -> dict[str, Path]:
    """Return the files of suppressions that come with the lab, by the names of the libraries."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob(f"*{SHIPPED}"))}


@dataclass(slots=True, eq=False)
class Suppression:
    """One line: which accesses, to which bytes of which files, in which functions; how many it has left out.

    The range runs up to, not including, `end`. `source` is the argument of --suppress that it came from.
    """

    text: str
    source: str
    kinds: frozenset[Kind]
    start: int = 0
    end: int = END
    glob: str = "*"
    function: str = ""
    used: int = field(default=0)

    def names(self, path: str) -> bool:
        """Tell whether it is about this file."""
        return fnmatch(path, self.glob) or fnmatch(Path(path).name, self.glob)

    def word(self) -> tuple[int, int]:
        """Return the bytes by which processes order themselves, where it is about those, and count it."""
        self.used += 1
        return self.start, self.end

    def covers(self, event: Event, functions: Functions) -> bool:
        """Tell whether an access to such a file lies in it entirely, and count it."""
        covered = event.kind in self.kinds and self.start <= event.start and event.end <= self.end
        if covered and self.function:
            covered = any(fnmatch(name, self.function) for name in functions(event))
        self.used += covered
        return covered


def unused(rules: Sequence[Suppression]) -> list[str]:
    """Return the lines that left nothing out; of a library's file its name, where no line of it did.

    Such a file is for all versions and modes of the library.
    """
    libraries = shipped()
    idle = [rule.text for rule in rules if not rule.used and rule.source not in libraries]
    named = dict.fromkeys(rule.source for rule in rules if rule.source in libraries)
    return idle + [name for name in named if not any(rule.used for rule in rules if rule.source == name)]


def suppressions(names: Iterable[str]) -> list[Suppression]:
    """Return the suppressions of files, of libraries by name, or of lines that are given themselves.

    Raises UsageError, with the line, for what is none.
    """
    libraries, found = shipped(), []
    for name in names:
        if name.startswith(FUNCTION) or name.split(" ")[0] in KINDS:
            found.append(_parsed(name.split(), f"--suppress '{name}'", name))
            continue
        try:
            text = libraries.get(name, Path(name)).read_text()
        except (OSError, UnicodeDecodeError) as error:
            known = ", ".join(libraries)
            raise UsageError(
                f"--suppress {name}: cannot be read; give a file, a line such as 'reads 0-99 *.db', or a name that is "
                f"known: {known}"
            ) from error
        for number, line in enumerate(text.splitlines(), start=1):
            if words := line.partition("#")[0].split():
                found.append(_parsed(words, f"--suppress {name}, line {number}", name))
    return found


def check_causes(names: Iterable[str]) -> None:
    """Raise UsageError for a name that is no cause of a finding."""
    for name in names:
        if name not in (known := get_args(Cause)):
            raise unknown("cause", name, list(known))


def _parsed(words: list[str], where: str, source: str) -> Suppression:
    expected = f"{where}: give such as reads 0-99 *.db, and perhaps function:NAME"
    function = words.pop().removeprefix(FUNCTION) if words[-1].startswith(FUNCTION) else ""
    text = " ".join([*words, *[f"{FUNCTION}{function}"] * bool(function)])
    if function and not words:
        return Suppression(text, source, frozenset(KINDS["accesses"]), function=function)
    if len(words) != 3 or words[0] not in KINDS:
        raise UsageError(expected)
    kind, span, glob = words
    first, dash, last = span.partition("-")
    if span != "all" and not (dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
        raise UsageError(expected)
    start, end = (0, END) if span == "all" else (int(first), int(last) + 1)
    return Suppression(text, source, frozenset(KINDS[kind]), start, end, glob, function)
