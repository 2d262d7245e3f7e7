"""The table of filesystems against guarantees, measured: `python -m tests.checking.measured results`, as root.

Checks every filesystem of the tests, one after the other, and writes filesystems.csv (a row a guarantee, with its
strength and its first evidence) and filesystems.md (the table) into that folder. Rows that came out alike are one.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from lab.checking.guarantees import GUARANTEES
from tests.checking.mounts import BAD_INPUT, FILESYSTEMS
from tests.helpers import run_lab
from tests.needs import Missing

COLUMNS = ("filesystem", "guarantee", "verdict", "strength", "evidence")

MARKS = {"safe": "yes", "unsafe": "**NO**", "unsupported": "-", "unknown": "?", "": ""}

NAMES = {
    "ext4_loop": "ext4 in a file",
    "overlay_upper": "overlay and its upper directory",
    "bind": "bind mount",
    "bind_pair": "bind mount and its original",
    "fuse_honest": "FUSE, correct locks",
    "fuse_no_lock": "FUSE, no lock callback",
    "fuse_always": "FUSE, grants everything",
    "fuse_lies_100": "FUSE, grants 1 in 100 falsely",
    "fuse_lies_1000": "FUSE, grants 1 in 1,000 falsely",
    "fuse_enosys": "FUSE, ENOSYS",
    "fuse_writeback": "FUSE, writeback cache",
    "fuse_direct_io": "FUSE, direct I/O",
    "fuse_whole_file": "FUSE, ignores ranges",
    "fuse_no_merge": "FUSE, never merges ranges",
    "fuse_forgets_on_close": "FUSE, forgets on a child's close",
    "fuse_leaks_ofd": "FUSE, keeps OFD locks after close",
    "fuse_false_deadlock": "FUSE, false EDEADLK 1 in 50",
    "fuse_slow": "FUSE, hands locks over slowly",
    "fuse_no_rename": "FUSE, no rename, so no unlink of an open file",
    "fuse_posix_alone": "FUSE, flock kept by each mount",
    "fuse_flock_alone": "FUSE, record locks kept by each mount",
    "fuse_kept": "FUSE, keeps locks of ended processes",
    "fuse_staged": "FUSE, shows writes after a sync or close",
    "fuse_wakes_nobody": "FUSE, wakes no waiter",
    "fuse_never_answers": "FUSE, never answers",
}


NOT_MEASURED = ("NFS", "SMB", "CephFS", "Lustre")
"""Filesystems that users ask for, and that the tests cannot mount: their rows say so."""

TITLE = """# Filesystems, as measured

The verdicts of `lab check` on every filesystem that the tests mount. **NO** is unsafe, `-` is refused with an error
(or, for deadlocks, not detected), `?` is inconclusive, and an empty cell was not tested. "Two mounts" are two FUSE
servers on one directory. [filesystems.csv](filesystems.csv) has each verdict with its strength and its evidence;
[README.md](README.md) says how they were measured.
"""


def name_of(filesystem: str) -> str:
    """What a person calls it."""
    plain = filesystem.removesuffix("_two")
    return NAMES.get(plain, plain) + (", two mounts" if plain != filesystem else "")


def rows_of(filesystem: str, document: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """One row a guarantee."""
    for each in document["guarantees"]:
        evidence = each["evidence"][0] if each["evidence"] else ""
        for directory in document["directories"]:
            evidence = evidence.replace(directory, "DIR")
        yield name_of(filesystem), each["name"], each["verdict"], each["strength"], evidence


def measured(seconds: float) -> Iterable[tuple[str, ...]]:
    """Check each filesystem that can be had here; the rows of all of them."""
    for filesystem in [name for name in FILESYSTEMS if name not in BAD_INPUT]:
        try:
            with FILESYSTEMS[filesystem]() as directories:
                arguments = [*map(str, directories), "--seconds", str(seconds), "--json", "-", "--no-save"]
                yield from rows_of(filesystem, json.loads(run_lab("check", *arguments, timeout=300).stdout))
        except Missing as missing:
            print(f"{filesystem}: {missing}")  # noqa: T201


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Markdown: filesystems with the same verdicts share a row, in the order of the first of each."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for filesystem, group in groupby(rows, key=lambda row: row[0]):
        verdicts = {row[1]: row[2] for row in group}
        alike.setdefault(tuple(verdicts.get(guarantee, "") for guarantee in GUARANTEES), []).append(filesystem)
    head = f"| filesystem | {' | '.join(GUARANTEES)} |\n|---|{'---|' * len(GUARANTEES)}"
    lines = [
        f"| {'; '.join(names)} | {' | '.join(MARKS[verdict] for verdict in verdicts)} |"
        for verdicts, names in alike.items()
    ]
    lines += [f"| {name} | not measured |{' |' * (len(GUARANTEES) - 1)}" for name in NOT_MEASURED]
    return "\n".join([TITLE, head, *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each check (8)")
    args = parser.parse_args()
    rows = list(measured(args.seconds))
    with (args.folder / "filesystems.csv").open("w", newline="") as target:
        csv.writer(target, lineterminator="\n").writerows([COLUMNS, *rows])
    (args.folder / "filesystems.md").write_text(table(rows))


if __name__ == "__main__":
    main()
