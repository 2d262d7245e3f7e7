"""List scenarios, locks, backings and the recorder in use, and which of them work here.

The lab's own locks are tried; of a ready one of a library it is only seen whether that is installed, since importing
all the libraries takes most of the time of the list. --wide and --json try these too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from lab.errors import LabError
from lab.output import print_text, screen_width

from .options import add_shared


class Entry(NamedTuple):
    """One entry: its group, name and summary, why it does not work here (empty where it does), and what it claims."""

    group: str
    name: str
    summary: str
    trouble: str
    claims: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `list`."""
    parser.add_argument(
        "--wide",
        action="store_true",
        help="also what each lock claims of itself (`lab locks` measures it), and try the ready ones too",
    )
    add_shared(parser, "dir", "json")


def run(arguments: argparse.Namespace) -> int:
    """Collect, try, print."""
    from lab.memory.workspace import check_parent

    check_parent(arguments.dir)
    entries = [
        *_scenarios(),
        *_installed(),
        *_locks(arguments.dir, everything=arguments.wide or bool(arguments.json)),
        *_backings(arguments.dir),
        _recorder(),
    ]
    if arguments.json:
        import json

        from .documents import put_text

        put_text(json.dumps([_plain(entry) for entry in entries], indent=1), arguments.json)
    if arguments.json != "-":
        print_text("\n".join(_lines(entries, wide=arguments.wide)))
    return 0


def _plain(entry: Entry) -> dict[str, object]:
    """Return the entry for programs, where the claims are a part of the summary."""
    plain = {**entry._asdict(), "works": not entry.trouble}
    claims = plain.pop("claims")
    return {**plain, "summary": f"{entry.summary} ({claims})"} if claims else plain


def _lines(entries: list[Entry], *, wide: bool) -> Iterator[str]:
    """Yield the entries below the names of their groups; long ones are folded beside their names."""
    columns = max(60, screen_width())
    width = max(len(entry.name) for entry in entries)
    group = ""
    for entry in entries:
        if entry.group != group:
            yield f"\n{entry.group}" if group else entry.group
            group = entry.group
        claims = f" ({entry.claims})" if wide and entry.claims else ""
        here = f" [not here: {entry.trouble}]" if entry.trouble else ""
        first = f"  {entry.name:{width}}  "
        text = f"{entry.summary}{claims}{here}".strip()
        yield fill(text, columns, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def _scenarios() -> Iterator[Entry]:
    from lab.gallery import COUNTEREXAMPLE, DEFAULT, OF_CALLS, OF_CRASHES, gallery, summaries

    groups = {
        DEFAULT: "scenarios (the default set)",
        COUNTEREXAMPLE: "counterexamples (break although they are locked; --counterexamples)",
        OF_CRASHES: "scenarios about crashes (explore --crash), and what breaks them",
        OF_CALLS: "scenarios with operations (explore --operations), and what breaks them",
    }
    for name, built_in in gallery().items():
        yield from (Entry(groups[built_in.set], each, line, "") for each, line in summaries(name).items())


def _installed() -> Iterator[Entry]:
    from lab.host.packages import SCENARIOS, declared_in

    if not declared_in(SCENARIOS):
        return
    from lab.scenario import find_installed, installed_names

    for name in installed_names():
        group = "scenarios of installed packages (by name)"
        try:
            found = find_installed(name)
        except LabError as error:
            yield Entry(group, name, "", str(error))
        else:
            yield from (Entry(group, each.name, each.summary, "") for each in found)


def _locks(directory: Path, *, everything: bool) -> Iterator[Entry]:
    from lab.locking import abilities, find_lock, lock_names, probe_lock
    from lab.locking.registry import READY

    group = f"locks (tried on {directory})"
    left = {} if everything else READY
    for name in lock_names():
        if name in left:
            continue
        try:
            lock = find_lock(name)
        except LabError as error:
            yield Entry(group, name, "", str(error))
        else:
            claims = str(abilities(lock) or "") if lock.excludes else ""
            yield Entry(group, name, lock.summary, _trouble(partial(probe_lock, lock, directory)), claims)
    for name, ready in left.items():
        missing = _trouble(partial(ready.check_installed, name))
        yield Entry("locks that are ready (not tried; --wide tries them)", name, ready.summary, missing)


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
