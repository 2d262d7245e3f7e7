"""A fresh directory for the files of a run, and its end."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EMFILE, ENFILE
from pathlib import Path

from lab.errors import CannotRunError


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A new directory inside `parent`, removed on every way out; nothing else there is ever touched.

    Raises CannotRunError where the parent is missing, out of reach, no directory, or cannot be written.
    """
    _check(parent)
    made = parent / f"lab-{os.getpid()}-{time.time_ns():x}"
    spare = _made(made)
    try:
        yield made
    finally:
        os.close(spare)
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


def _made(folder: Path) -> int:
    """Make it; a descriptor to close before it is removed, which takes one, and none may be left by then."""
    try:
        spare = os.open(os.devnull, os.O_RDONLY)
        try:
            folder.mkdir(0o700)
        except BaseException:
            os.close(spare)
            raise
    except OSError as error:
        remedy = "raise the limit (ulimit -n)" if error.errno in (EMFILE, ENFILE) else "give another"
        raise CannotRunError(f"--dir {folder.parent}: cannot be written ({error.strerror}); {remedy}") from error
    return spare


def _check(parent: Path) -> None:
    try:
        if stat.S_ISDIR(parent.stat().st_mode):
            return
        wrong = "is not a directory"
    except (FileNotFoundError, NotADirectoryError):
        wrong = "does not exist"
    except OSError as error:
        raise CannotRunError(f"--dir {parent}: cannot be reached ({error.strerror}); give another") from error
    raise CannotRunError(f"--dir {parent}: {wrong}; give a directory on the filesystem in question")


def _remove(folder: Path) -> None:
    """Empty and remove a workspace, which holds plain files; whatever resists, stays."""
    with suppress(OSError):
        for entry in folder.iterdir():
            entry.unlink(missing_ok=True)
        folder.rmdir()
