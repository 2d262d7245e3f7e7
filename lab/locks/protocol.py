"""What a lock must offer, and how to find out whether a directory supports it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from lab.errors import CannotRunError
from lab.regions import scratch

Action = Callable[[], object]
"""One pre-built system call: nothing is looked up or packed when it runs."""

REFUSED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What filesystems and kernels answer that do not have the lock (fcntl(2), flock(2))."""


class Deadlock(OSError):  # noqa: N818 - the field's word, and an errno's name
    """The kernel refused to wait: EDEADLK, the holder waits for a lock of ours (fcntl(2))."""


class Lock(Protocol):
    """A way to exclude: offered under a name in the entry-point group `lab.locks`, made without arguments."""

    name: str
    summary: str
    has_ranges: bool
    excludes: bool

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """The acquire and the release of one byte range on one open file, ready to be called.

        Length 0 runs to infinity. Acquire waits; it raises OSError, with errno EDEADLK where the kernel
        notices a deadlock. Called once a range and worker, before the hot loop.
        """


def probe(lock: Lock, directory: Path) -> None:
    """Take the lock once on a new file in the directory; raises CannotRunError where it is refused."""
    try:
        with scratch(directory) as path, path.open("r+b") as file:
            acquire, release = lock.actions(file.fileno(), 0, 1, write=True)
            acquire()
            release()
    except OSError as error:
        if error.errno in REFUSED:
            raise CannotRunError(
                f"lock {lock.name}: refused on {directory} ({os.strerror(error.errno)}); "
                "try another --lock or another --dir"
            ) from error
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error
