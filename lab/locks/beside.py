"""The lock file beside the data: many libraries truncate the file that they lock, or remove it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.regions.folder import Folder

SUFFIX = ".lock"
REPLACED = " (deleted)"
"""What Linux appends to the name of an open file that lost it (proc(5), /proc/PID/fd)."""


def beside(descriptor: int) -> str:
    """The name of the lock file of an open data file: also of one that another has replaced since."""
    return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(REPLACED) + SUFFIX  # noqa: PTH115 - text, no Path


@contextmanager
def removed_beside(path: str) -> Iterator[None]:
    """After the block the lock file of this data file goes, and what the library put beside it under a longer name.

    Whatever resists, stays.
    """
    data = Path(path)
    folder = Folder.at(data.parent)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.clear(lambda name: name.startswith(data.name + SUFFIX))
