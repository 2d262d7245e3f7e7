"""Read what installed packages declare in an entry-point group, and import `importlib.metadata` only if there is some.

That import costs as much as a whole `lab --help`, and it imports threading and random, whose handlers make every fork
slower. So the files `entry_points.txt` are looked through for the name of the group first: most have it nowhere.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

INFORMATION = (".dist-info", ".egg-info")
"""The endings of the folders beside a package in which its entry points are (packaging.python.org, entry points)."""

FILE = "entry_points.txt"
SCENARIOS, LOCKS = "lab.scenarios", "lab.locks"
"""The groups in which another package offers scenarios and locks."""


def declared_in(group: str) -> list[EntryPoint]:
    """Return the entry points of the group, sorted by name and value."""
    if not may_declare(group):
        return []
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda point: (point.name, point.value))


def may_declare(group: str) -> bool:
    """Return False where no installed package can declare something in the group.

    It is True where a file has the name of the group, and where packages may be in another place than a folder: in an
    archive, or where an import hook of another package finds them.
    """
    if any(_finds_packages(finder) for finder in sys.meta_path):
        return True
    return any(_names(folder or os.curdir, group.encode()) for folder in dict.fromkeys(sys.path))


def _finds_packages(finder: object) -> bool:
    """Return True for an import hook that finds packages by itself; Python's own looks through the folders."""
    return hasattr(finder, "find_distributions") and not getattr(finder, "__module__", "").startswith("_frozen")


def _names(folder: str, group: bytes) -> bool:
    """Return True where a package in this folder may declare something in the group."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - pathlib would have to be imported
    except NotADirectoryError:
        return True
    except OSError:  # it is missing, as the standard library's archive mostly is
        return False
    for name in names:
        if name.lower().endswith(INFORMATION):
            with suppress(OSError), open(f"{folder}/{name}/{FILE}", "rb") as file:  # noqa: PTH123 - as above
                if group in file.read():
                    return True
        elif name.lower().endswith(".egg"):
            return True
    return False
