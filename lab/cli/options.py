"""Define options that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.api.values import (
    directory,
    file_name,
    names,
    path_or_dash,
    seed,
    temporary_directory,
)


class Listed(argparse.Action):
    """A list: its values are separated by commas, and the option may be repeated; each value counts once.

    The first that is given replaces the default.
    """

    once = True

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
        given = [*before, *values]
        setattr(namespace, self.dest, list(dict.fromkeys(given)) if self.once else given)


class ListedAsGiven(Listed):
    """A list in which a value that is given twice stays twice, for what reads it to refuse."""

    once = False


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


def directories_of(arguments: argparse.Namespace) -> list[Path]:
    """Return the directories of `add_directories`."""
    directories: list[Path] = arguments.dir or [temporary_directory()]
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
        "cost": {"action": "store_true", "help": "of a race: also tables of what each case cost and used"},
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
