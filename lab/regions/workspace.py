"""A fresh directory for the files of a run, and its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import CannotRunError


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A new directory inside `parent`, removed on every way out; nothing else there is ever touched.

    Raises CannotRunError where the parent is missing, no directory, or cannot be written.
    """
    if not parent.is_dir():
        missing = "does not exist" if not parent.exists() else "is not a directory"
        raise CannotRunError(f"--dir {parent}: {missing}; give a directory on the filesystem in question")
    made = parent / f"lab-{os.getpid()}-{time.time_ns():x}"
    try:
        made.mkdir(0o700)
    except OSError as error:
        raise CannotRunError(f"--dir {parent}: cannot be written ({error.strerror}); give another") from error
    try:
        yield made
    finally:
        _remove(made)


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """A new empty file in the directory to try something on, removed after; raises OSError where it cannot be."""
    path = directory / f"probe-{os.getpid()}-{time.time_ns():x}"
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Empty and remove a workspace, which holds plain files; whatever resists, stays."""
    with suppress(OSError):
        for entry in folder.iterdir():
            entry.unlink(missing_ok=True)
        folder.rmdir()
