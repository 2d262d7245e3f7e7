"""Show that several directories are one and the same directory, seen through different mounts.

A folder is made through the first of them. A file in it, read through each of the others, shows that it is the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from lab.errors import CannotRunError, UsageError
from lab.host.procfs import mount_id

from .folder import Folder

SHOWN_S = 2.0
"""The longest time until a file made through one directory is seen through another (nfs(5), attribute caching)."""

TRY_AGAIN_S = 0.02
NAME = "shown"
CONTENT = b"made by the lab\n"


def check_apart(directories: Sequence[Path], option: str = "") -> None:
    """Refuse two directories of one mount: the second shows nothing that the first does not show.

    `option` stands before the names in the error, where they came with one. Raises UsageError, and OSError for a
    directory that cannot be opened.
    """
    for one, other in combinations(directories, 2):
        if mount_id(one) == mount_id(other):
            raise UsageError(f"{option}{one} and {other}: {_wrong(one, other)}")


def _wrong(one: Path, other: Path) -> str:
    """Return what is wrong with two directories of one mount, and what to do."""
    first, second = one.stat(), other.stat()
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        return "are the same mount; give only one, or the same directory by another mount"
    return "are not the same directory; give only one, or one and the same through two mounts"


def show(folder: Folder) -> None:
    """Make a file in it that is searched for through the other directories. Raises OSError."""
    with folder.opened() as within:
        descriptor = os.open(NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=within)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(CONTENT)


def hide(folder: Folder) -> None:
    """Remove that file. Raises OSError."""
    folder.unlink(NAME)


def find(made: Path, seen: Path, option: str = "") -> Folder:
    """Return the folder `made`, in which `show` made its file, as it is seen under its other path.

    Raises CannotRunError where it is not seen there within SHOWN_S; `option` is as for `check_apart`.
    """
    deadline = time.monotonic() + SHOWN_S
    while isinstance(found := _found(seen), str):
        if time.monotonic() > deadline:
            raise CannotRunError(
                f"{option}{made.parent} and {seen.parent}: do not show the same filesystem; a file written through "
                f"the first and read through the second: {found}; give one directory, seen through two mounts"
            )
        time.sleep(TRY_AGAIN_S)
    return found


def _found(path: Path) -> Folder | str:
    """Return the folder that is there, if it holds the file that identifies it; else a description of the problem."""
    try:
        return Folder.holding(path, NAME, CONTENT) or "other bytes"
    except OSError as error:
        return error.strerror or str(error)
