"""The lock file beside the data: many libraries truncate the file that they lock, or remove it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SUFFIX = ".lock"
REPLACED = " (deleted)"
"""What Linux appends to the name of an open file that lost it (proc(5), /proc/PID/fd)."""


def beside(descriptor: int) -> str:
    """The name of the lock file of an open data file: also of one that another has replaced since."""
    return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(REPLACED) + SUFFIX  # noqa: PTH115 - text, no Path


def remove_beside(path: str) -> None:
    """Remove the lock file of this data file, and what the library put beside it under a longer name."""
    data = Path(path)
    with suppress(OSError):
        for entry in data.parent.iterdir():
            if entry.name.startswith(data.name + SUFFIX):
                _remove(entry)


def _remove(entry: Path) -> None:
    """Remove a file or a directory with what is in it; whatever resists, stays."""
    with suppress(OSError):
        if entry.is_dir() and not entry.is_symlink():
            for inner in entry.iterdir():
                _remove(inner)
            entry.rmdir()
        else:
            entry.unlink()
