"""Judge the directories under test before anything else is done, and make one fresh folder in all of them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from lab.errors import CannotRunError, LabError, UsageError
from lab.memory import Folder, scratch
from lab.memory.workspace import SHOWN_S, TRY_AGAIN_S, check_apart, find, hide, show
from lab.processes import doing
from lab.processes.rpc import Attempt, attempt_all

FIRST_CALLS = "the first calls on "
"""The start of the notes of `enter`; the directory follows."""

ANSWER_S = 5.0
"""A mount that takes longer for its first calls does not answer."""

BEING_MADE = 1
"""A device without an inode: the folder may exist, but its numbers are not known."""

PROBE_S = 5.0
"""A mount that takes longer to make and remove a file no longer answers."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})


def fresh_name() -> str:
    """Return a name for the folder that is not in use."""
    return f"lab-check-{os.getpid()}-{time.time_ns():x}"


@contextmanager
def enter(directories: Sequence[Path], name: str, identities: memoryview) -> Iterator[list[Path]]:
    """Make a folder of that name in the directories, which are one, and yield its path in each, kept open in the block.

    `identities` receives its device and inode on each mount, for `clear`: a 1 for a device before anything exists.

    Nothing else in the directories is ever touched. Raises UsageError for paths that are not directories, may not be
    used, or are two of one mount; CannotRunError where they cannot be written, are full, or are not seen to be one and
    the same directory. On a mount that does not answer it may never return, so it must run in a child; its current
    action is recorded (`doing`).
    """
    for number, directory in enumerate(directories):
        with doing(f"{FIRST_CALLS}{directory}", ANSWER_S):
            check_usable(directory / name, identities[2 * number : 2 * number + 2])
    with ExitStack() as kept:
        with doing(f"{FIRST_CALLS}{directories[0]}", len(directories) * ANSWER_S):
            check_apart(directories)
            identities[0] = BEING_MADE
            made = _make(directories[0] / name)
            identities[0], identities[1] = made.device, made.inode
            _keep_open(made, kept)
            _show(made)
            for number, directory in enumerate(directories[1:], start=1):
                seen = find(made.path, directory / name)
                identities[2 * number], identities[2 * number + 1] = seen.device, seen.inode
                _keep_open(seen, kept)
            _hide(made)
        yield [directory / name for directory in directories]


def silent(folders: Sequence[Path], given_up: Callable[[], bool] = lambda: False) -> dict[int, Attempt]:
    """Return the folders, by number, in which no file can be made and removed within PROBE_S; a child tries it in each.

    The child may have to be left behind. A refusal is an answer. Raises CannotRunError where fork(2) is refused.
    """

    def attempt(folder: Path) -> str:
        with suppress(OSError), scratch(folder):
            pass
        return ""

    found = attempt_all([partial(attempt, folder) for folder in folders], PROBE_S, given_up)
    return {number: each for number, each in enumerate(found) if each.late}


def make_folder(path: Path) -> Folder:
    """Make this folder with a file in it that others look for (`find`); raise the errors of `enter`."""
    made = _make(path)
    _show(made)
    return made


def check_usable(path: Path, identity: memoryview | None = None) -> None:
    """Make this folder and a file in it, and remove them; raise the errors of `enter`.

    While the folder exists, its identity says so: a process that is killed meanwhile leaves it to others.
    """
    _check_directory(path.parent)
    identity = identity or memoryview(bytearray(16)).cast("Q")
    identity[0] = BEING_MADE
    try:
        made = _make(path)
    except CannotRunError:
        identity[0] = 0
        raise
    identity[0], identity[1] = made.device, made.inode
    try:
        _show(made)
        _hide(made)  # by its name: where entries have no inode number readdir(3) lists none of them
    finally:
        why = clear(made.path, made.device, made.inode)
        identity[0] = identity[1] = 0
    if why:
        raise CannotRunError(f"{made.path}: left behind, for it could not be removed ({why}); remove it by hand")


def _check_directory(directory: Path) -> None:
    try:
        os.listdir(directory)  # noqa: PTH208 - it fails at once, Path.iterdir only later
    except NotADirectoryError:
        raise UsageError(f"{directory}: is not a directory; give one on the filesystem in question") from None
    except FileNotFoundError:
        raise UsageError(f"{directory}: does not exist; give a directory on the filesystem in question") from None
    except OSError as error:
        raise _refused(directory, error, "read") from error


def _make(path: Path) -> Folder:
    try:
        return Folder.make(path)
    except OSError as error:
        raise _refused(path.parent, error, "written") from error


def _keep_open(folder: Folder, kept: ExitStack) -> None:
    try:
        kept.enter_context(folder.kept_open())
    except OSError as error:
        raise _refused(folder.path.parent, error, "written") from error


def _show(folder: Folder) -> None:
    """Make a file in it that others can be asked for."""
    try:
        show(folder)
    except OSError as error:
        raise _refused(folder.path.parent, error, "written") from error


def _hide(folder: Folder) -> None:
    """Remove that file."""
    try:
        hide(folder)
    except OSError as error:
        raise _refused(folder.path.parent, error, "written") from error


def _refused(directory: Path, error: OSError, done: str) -> LabError:
    """Return the error in words."""
    if error.errno in NOT_ALLOWED:
        return UsageError(f"{directory}: no permission ({error.strerror}); give a directory that you may write")
    if error.errno in NO_ROOM:
        return CannotRunError(f"{directory}: is full ({error.strerror}); make room, or give another directory")
    return CannotRunError(f"{directory}: cannot be {done} ({error.strerror}); give another directory")


def clear(path: Path, device: int, inode: int) -> str:
    """Remove the folder that was made under this path; return the reason why it still exists, empty where it is gone.

    Where its numbers are not known, because the child that made it hung, only an empty folder is removed. On a
    mount that does not answer it may never return, so it must run in a child.

    A file that a stuck process has open reappears under another name on FUSE (.fuse_hidden), and may be removed later.
    """
    deadline = time.monotonic() + SHOWN_S
    while (why := Folder(path, device, inode).remove() if inode else _rmdir(path)) and time.monotonic() < deadline:
        time.sleep(TRY_AGAIN_S)
    return why


def _rmdir(path: Path) -> str:
    try:
        path.rmdir()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return ""
