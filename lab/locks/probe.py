"""Whether a lock answers on a directory: taken once there and given back; whose fault it is where it does not."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.errors import CannotRunError, LabError
from lab.regions import scratch

from .completed import prepared
from .protocol import Action, Lock, LockFailed
from .told import kind_of, told

REFUSED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What filesystems and kernels answer that do not have the lock (fcntl(2), flock(2))."""

UNABLE = REFUSED | {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    errno.EIO, errno.ESTALE, errno.ENOTCONN,
}  # fmt: skip
"""What a sound lock may meet besides: no permission, no room, a filesystem whose server is gone."""

MEND = "; mend the lock"


def probe(lock: Lock, directory: Path) -> None:
    """Take the lock once on a new file in the directory, and give it back.

    Raises CannotRunError where the environment refuses it, or a file, and LockFailed where the lock itself is to be
    mended: it raises anything else, or is none.
    """
    try:
        with scratch(directory) as path, path.open("r+b") as file:
            _take(lock, path, file.fileno())
    except OSError as error:
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error


def _take(lock: Lock, path: Path, descriptor: int) -> None:
    try:
        with prepared(lock, str(path)) as made:
            acquire, release = _pair(made.actions(descriptor, 0, 1, write=True))
            acquire()
            release()
    except (Exception, SystemExit) as error:
        raise _blamed(lock.name, error, path.parent) from error


def _pair(given: Any) -> tuple[Action, Action]:
    """The two calls. Raises TypeError for anything else."""
    if isinstance(given, tuple | list) and len(given) == 2 and all(map(callable, given)):
        return given[0], given[1]
    raise TypeError(f"actions() returned {kind_of(given)}, not two calls: acquire, release")


def _blamed(name: str, error: BaseException, directory: Path) -> LabError:
    """Whose fault the error is, also where the lock raised it from the kernel's own."""
    if isinstance(error, CannotRunError):
        return error
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in UNABLE:
            why = os.strerror(each.errno)
            return CannotRunError(f"lock {name}: refused on {directory} ({why}); try another --lock or another --dir")
        if isinstance(each, ImportError):
            return CannotRunError(f"lock {name}: needs a module that is missing ({told(each)}); install it")
    text = str(error) if isinstance(error, LabError) else f"lock {name}: raised {told(error)}"
    has_step = isinstance(error, LabError) and not isinstance(error, LockFailed)
    return LockFailed(text if has_step else f"{text.removesuffix(MEND)}{MEND}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was raised from or while."""
    while error:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
