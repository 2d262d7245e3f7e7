"""Define options that commands share, and the readers of all values on the command line."""

from __future__ import annotations

import argparse
import os
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from math import nan
from pathlib import Path
from typing import Any

from lab.errors import UsageError

RAREST = 1e-9
"""The smallest rate that may be asked for: it takes three thousand million requests that meet a holder."""


MOST = 1_000_000_000
"""The largest number on the command line: more would run for years, or need more memory than there is."""

MOST_WORKERS = 4096
"""So many processes can be asked for; most systems have room for fewer."""

MOST_BYTES = 1 << 40
LONGEST = 40
"""So many characters of a value are shown."""


def at_least(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to MOST."""
    return between(least, MOST)


def between(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to `most`; underscores may group the digits."""

    def read(text: str) -> int:
        number = _whole(text)
        if number < least:
            raise ArgumentTypeError(f"{_shortened(text)} is too few: at least {least}")
        if number > most:
            raise ArgumentTypeError(f"{_shortened(text)} is too many: at most {most:,}")
        return number

    return read


def seed(text: str) -> int:
    """Read a whole number of 64 bits with its sign."""
    number = _whole(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ArgumentTypeError(f"{_shortened(text)} is no seed: a whole number from -2^63, below 2^63")
    return number


def _whole(text: str) -> int:
    try:
        return int(text if text.isascii() else "")
    except ValueError:
        raise ArgumentTypeError(f"{_shortened(text)!r} is no whole number") from None


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def several(least: int, most: int = MOST) -> Callable[[str], list[int]]:
    """Return a reader of a comma-separated list of whole numbers from `least` to `most`."""
    one = between(least, most)

    def read(text: str) -> list[int]:
        return list(dict.fromkeys(one(part) for part in text.split(",")))

    return read


def several_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader of a comma-separated list of these words."""

    def read(text: str) -> list[str]:
        for word in text.split(","):
            if word not in known:
                raise ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return list(dict.fromkeys(text.split(",")))

    return read


def names(text: str) -> list[str]:
    """Read a comma-separated list of names; refuse an empty one."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ArgumentTypeError(f"an empty name in {_shortened(text)!r}; separate names by one comma")
    return found


class Listed(argparse.Action):
    """A list: its values are separated by commas, and the option may be repeated; each value counts once.

    The first that is given replaces the default.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add the values to those given before."""
        before = getattr(namespace, self.dest)
        before = [] if before is self.default else before
        setattr(namespace, self.dest, list(dict.fromkeys([*before, *values])))


def microseconds(text: str) -> int:
    """Read a time of 0 us or more, below a second; return it in ns."""
    number = _real(text)
    if not 0 <= number < 1e6:
        raise ArgumentTypeError(f"{_shortened(text)} is no such time: from 0 us, below 1,000,000 us")
    return round(1000 * number)


def percent(text: str) -> float:
    """Read a share above 0 % and below 1,000 %, written with its sign; return it as a fraction."""
    if not text.endswith("%"):
        raise ArgumentTypeError(f"{_shortened(text)!r} has no sign: give it in per cent, as in 10%")
    number = _real(text.removesuffix("%").rstrip())
    if not 0 < number < 1000:
        raise ArgumentTypeError(f"{_shortened(text)} is no such share: above 0 %, below 1,000 %")
    return number / 100


def directory(text: str) -> Path:
    """Read a directory's name; refuse an empty or a blank one, which comes from a variable that is not set."""
    if not text.strip():
        raise ArgumentTypeError("an empty name; give a directory")
    return Path(text)


def file_name(text: str) -> Path:
    """Read a file's name; refuse an empty one, and -, which elsewhere means standard output."""
    if text in ("", "-"):
        raise ArgumentTypeError(f"{text or 'an empty name'} is no file; give its name")
    return Path(text)


def path_or_dash(text: str) -> str:
    """Read a path, or - for standard output; refuse an empty one."""
    if not text:
        raise ArgumentTypeError("an empty path; give a file name, or - for standard output")
    return text


def _real(text: str) -> float:
    try:
        return float(text if text.isascii() else "")
    except ValueError:
        raise ArgumentTypeError(f"{_shortened(text)!r} is no number") from None


def probability(text: str) -> float:
    """Read a number from 0 to 1."""
    number = _real(text)
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"{_shortened(text)} is no probability: from 0 to 1")
    return number


def rare(text: str) -> float:
    """Read a rate above 0 and below 1, as a number or as 1/N: how rarely the event to be detected may happen."""
    above, stroke, below = text.partition("/")
    rate = _real(above)
    if stroke:
        many = _real(below)
        rate = rate / many if many else nan
    if not RAREST <= rate < 1:
        raise ArgumentTypeError(f"{text} is no rate: from {RAREST:g}, below 1, as in 1e-3 or 1/1000")
    return rate


def positive(text: str) -> float:
    """Read a number above 0, in seconds."""
    number = _real(text)
    if not 0 < number < 1e6:
        raise ArgumentTypeError(f"{_shortened(text)} is no time: above 0 seconds, below a million")
    return number


def temporary_directory() -> Path:
    """Return $TMPDIR, or /tmp; `tempfile` would know more places, and cost every fork the reseeding of `random`."""
    return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - a default; the workspace in it is private


Options = argparse.ArgumentParser | argparse._ArgumentGroup


class _OneDirectory(argparse.Action):
    """Stores a directory; refuses a second one, which would otherwise silently replace the first."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not self.default:
            parser.error(f"{option}: given twice, and this command uses one directory; race and bench take several")
        setattr(namespace, self.dest, values)


DIRECTORY: dict[str, Any] = {
    "type": directory,
    "metavar": "DIR",
    "help": "where the files lie: the filesystem in question (the system's temporary directory)",
}


def add_directories(group: Options) -> None:
    """Add `--dir` for a command whose workers can be dealt out over several mounts of one directory."""
    more = "; repeatable: the same directory by other mounts, and worker i uses number i modulo their number"
    group.add_argument("--dir", **{**DIRECTORY, "help": DIRECTORY["help"] + more}, action="append")


def directories_of(arguments: argparse.Namespace, most_workers: int) -> list[Path]:
    """Return the directories of `add_directories`. Raise UsageError for more than workers: some would not be used."""
    directories: list[Path] = arguments.dir or [temporary_directory()]
    if len(directories) > most_workers:
        workers = "one worker, which uses" if most_workers == 1 else f"{most_workers} workers, of which each uses"
        raise UsageError(f"--dir: {len(directories)} directories for {workers} one; add workers, or give fewer")
    return directories


SAVE_ELSEWHERE = "--no-save keeps nothing, --save DIR names another folder"


def add_shared(group: Options, *names: str) -> None:
    """Add these options, which are the same in every command that has them."""
    options: dict[str, dict[str, Any]] = {
        "dir": {**DIRECTORY, "action": _OneDirectory, "default": temporary_directory()},
        "json": {
            "type": path_or_dash,
            "metavar": "PATH",
            "help": "also write the document there; - prints it instead of the report",
        },
        "save": {"type": directory, "metavar": "DIR", "help": "keep the document in this folder"},
        "verbose": {"action": "store_true", "help": "of a check: all rules with their calls and sources, all races"},
        "seed": {"type": seed, "default": 0, "metavar": "N", "help": "of all random draws (0)"},
    }
    for name in names:
        group.add_argument(*["-v"] * (name == "verbose"), f"--{name}", **options[name])


def add_tables(group: Options) -> None:
    """Add how the tables of a report are shown, and where they are written too; `Documents` reads these options."""
    add = group.add_argument
    add(
        "--format",
        default="simple",
        metavar="NAME",
        help="of the tables: github, any other that tabulate has; csv or tsv: one table with plain numbers (simple)",
    )
    add("--wide", action="store_true", help="all columns of the tables (the important ones, and what the width allows)")
    add("--export-markdown", type=file_name, metavar="PATH", help="also write there what --format github prints")


def add_scenarios(parser: argparse.ArgumentParser) -> None:
    """Add the names of scenarios."""
    help_of_names = "a name, or the path of a scenario file; default: all built in"
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=help_of_names)


def add_locks(group: Options, help_of_lock: str) -> None:
    """Add `--lock`, and the short forms for two of them."""
    group.add_argument("--lock", action=Listed, type=names, metavar="NAME[,NAME...]", help=help_of_lock)
    for name, lock in (("--locked", "fcntl"), ("--unlocked", "none")):
        group.add_argument(name, dest="lock", action="append_const", const=lock, help=f"short for --lock {lock}")


def add_workers(
    group: Options, kind: Callable[[str], list[int]], default: list[int] | None, help_of_workers: str
) -> None:
    """Add `--workers`, a list of numbers of processes: each makes a case of its own."""
    group.add_argument(
        "-w", "--workers", action=Listed, type=kind, default=default, metavar="N[,N...]", help=help_of_workers
    )


def add_saving(group: argparse._ArgumentGroup) -> None:
    """Add `--save` and `--no-save`, for commands that keep their document in results/ where there is one."""
    kept = group.add_mutually_exclusive_group()
    add_shared(kept, "save")
    kept.add_argument("--no-save", action="store_true", help="keep no document; else results/ gets it where it exists")
