"""List scenarios, locks, backings and the recorder in use, one line each, and which of them work here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lab.errors import LabError
from lab.output import print_text

from .options import add_shared


class Entry(NamedTuple):
    """One line of the list: its group, its name, its summary, and why it does not work here (empty where it does)."""

    group: str
    name: str
    summary: str
    trouble: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `list`."""
    add_shared(parser, "dir", "json")


def run(arguments: argparse.Namespace) -> int:
    """Collect, try, print."""
    from lab.memory.workspace import check_parent

    check_parent(arguments.dir)
    entries = [*_scenarios(), *_installed(), *_locks(arguments.dir), *_backings(arguments.dir), _recorder()]
    if arguments.json:
        import json

        from .documents import put_text

        put_text(
            json.dumps([{**entry._asdict(), "works": not entry.trouble} for entry in entries], indent=1), arguments.json
        )
    if arguments.json != "-":
        print_text("\n".join(_lines(entries)))
    return 0


def _lines(entries: list[Entry]) -> Iterator[str]:
    width = max(len(entry.name) for entry in entries)
    group = ""
    for entry in entries:
        if entry.group != group:
            yield f"\n{entry.group}" if group else entry.group
            group = entry.group
        here = f"  [not here: {entry.trouble}]" if entry.trouble else ""
        yield f"  {entry.name:{width}}  {entry.summary}{here}"


def _scenarios() -> Iterator[Entry]:
    from lab.scenario import find_scenarios

    found = find_scenarios([], counterexamples=True)
    for each in found:
        group = (
            "counterexamples (break although they are locked; --counterexamples)"
            if each.counterexample
            else "scenarios (the default set)"
        )
        yield Entry(group, each.name, each.summary, "")


def _installed() -> Iterator[Entry]:
    from lab.scenario import find_installed, installed_names

    for name in installed_names():
        group = "scenarios of installed packages (by name)"
        try:
            found = find_installed(name)
        except LabError as error:
            yield Entry(group, name, "", str(error))
        else:
            yield from (Entry(group, each.name, each.summary, "") for each in found)


def _locks(directory: Path) -> Iterator[Entry]:
    from lab.locking import abilities, find_lock, lock_names, probe_lock

    for name in lock_names():
        group = f"locks (tried on {directory})"
        try:
            lock = find_lock(name)
        except LabError as error:
            yield Entry(group, name, "", str(error))
        else:
            claimed = f" ({able})" if (able := abilities(lock)) and lock.excludes else ""
            yield Entry(group, name, lock.summary + claimed, _trouble(partial(probe_lock, lock, directory)))


def _backings(directory: Path) -> Iterator[Entry]:
    from lab.memory import BACKINGS, probe_backing

    for backing in BACKINGS.values():
        trouble = _trouble(partial(probe_backing, backing, directory))
        yield Entry(f"backings (tried on {directory})", backing.name, backing.summary, trouble)


def _recorder() -> Entry:
    from lab.locking import RECORDER, describe_recorder

    return Entry("recorder of holds", RECORDER, describe_recorder(), "")


def _trouble(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except LabError as error:
        return str(error)
    return ""
