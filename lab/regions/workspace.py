"""A fresh directory for the files of a run, and its end."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from errno import EMFILE, ENFILE
from pathlib import Path

from lab.errors import CannotRunError, UsageError, printable
from lab.processes.streams import complain

from .folder import Folder, close

WANTED = "give a directory on the filesystem in question"
SPARE = 1
"""Descriptors that are kept for the removal, which takes one at a time: there may be no others left by then."""


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A new directory inside `parent`, removed on every way out; nothing else there is ever touched.

    Whatever somebody puts in its place meanwhile is left as it is; what is left behind is named on stderr. Raises
    UsageError where the parent is no directory, CannotRunError where it is missing, out of reach, or cannot be written.
    """
    _check(parent)
    with ExitStack() as spare, ExitStack() as kept:
        folder = _made(parent / f"lab-{os.getpid()}-{time.time_ns():x}", spare, kept)
        try:
            yield folder.path
        finally:
            spare.close()
            say_left(folder.path, folder.remove())


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """A new empty file in the directory to try something on, removed after; raises OSError where it cannot be."""
    name = f"probe-{os.getpid()}-{time.time_ns():x}"
    folder = Folder.at(directory)
    with folder.opened() as within:
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=within))
    try:
        yield directory / name
    finally:
        folder.unlink(name)


def say_left(folder: Path, why: str) -> None:
    """Name on stderr a folder that could not be removed, with the reason; an empty reason means that it is gone."""
    if why:
        told = f"{printable(str(folder))}: left behind, for it could not be removed ({why}); remove it by hand"
        complain(told)


def _made(path: Path, spare: ExitStack, kept: ExitStack) -> Folder:
    """Make it; `spare` gets the descriptors to close before it is removed, `kept` the folder's own."""
    try:
        for _ in range(SPARE):
            spare.callback(close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        folder = Folder.make(path)
        try:
            kept.enter_context(folder.kept_open())
        except BaseException:
            spare.close()
            folder.remove()
            raise
    except OSError as error:
        remedy = "raise the limit (ulimit -n)" if error.errno in (EMFILE, ENFILE) else "give another"
        raise CannotRunError(f"--dir {path.parent}: cannot be written ({error.strerror}); {remedy}") from error
    return folder


def _check(parent: Path) -> None:
    try:
        if stat.S_ISDIR(parent.stat().st_mode):
            return
    except (FileNotFoundError, NotADirectoryError):
        raise CannotRunError(f"--dir {parent}: does not exist; {WANTED}") from None
    except OSError as error:
        raise CannotRunError(f"--dir {parent}: cannot be reached ({error.strerror}); give another") from error
    raise UsageError(f"--dir {parent}: is not a directory; {WANTED}")
