"""Lock by a name that only one process can make: a file with O_EXCL, a directory, a hard link.

These are the locks of the races for `o_excl`, `mkdir` and `link`. The name is made, looked for again where it exists,
and removed. Where two processes hold it at once, the second to remove it finds it gone: that raises nothing, because
the overlap of their holds is recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gethostname
from time import sleep

from lab.locking.adapters import SUFFIX, Adapted, removed_beside
from lab.locking.ready import LockFile
from lab.memory import scratch


class ExclusiveFile(LockFile):
    """A file that is made with O_CREAT and O_EXCL."""

    def release(self) -> None:
        """Remove the name, if it is there."""
        with suppress(FileNotFoundError):
            super().release()

    wait_s = 0.0

    def _wait(self) -> None:
        if self.wait_s:
            sleep(self.wait_s)
        else:
            os.sched_yield()  # a sleep would let most holds pass unseen


class LockDirectory(ExclusiveFile):
    """A directory."""

    def release(self) -> None:
        """Remove the directory, if it is there."""
        with suppress(FileNotFoundError):
            os.rmdir(self._path)  # noqa: PTH106 - the path is text here

    def _make(self) -> None:
        os.mkdir(self._path, 0o700)  # noqa: PTH102 - the path is text here


class LinkedFile(ExclusiveFile):
    """A further name of a file that each process makes for itself, once; `removed_beside` removes it.

    Were it made for each request, most requests would begin while nobody has the lock, and show nothing.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        # Processes of two hosts may have one number, and hosts that were cloned one name.
        self._own = f"{path}.{gethostname()}.{os.getpid()}.{os.urandom(4).hex()}"
        self._has_own = False

    def acquire(self) -> None:
        """Give the own file the name of the lock; the first time it is made before."""
        if not self._has_own:
            os.close(os.open(self._own, os.O_WRONLY | os.O_CREAT, 0o600))
            self._has_own = True
        super().acquire()

    def _make(self) -> None:
        os.link(self._own, self._path)


KINDS: dict[str, tuple[type[ExclusiveFile], str]] = {
    "lockfile": (ExclusiveFile, "a file made with O_CREAT | O_EXCL"),
    "lockdir": (LockDirectory, "a directory made with mkdir"),
    "linkfile": (LinkedFile, "a hard link to a file of its own"),
}
"""The class and the summary of each, by the name of the lock (`lab.checking.guarantees.LOCK_FILES`)."""


class NameLock(Adapted):
    """One of these locks by its name; it is on the whole file beside which its name is made.

    Who waits looks for the name again after so many seconds, or at once. One that yields gets hardly any time on a busy
    machine.
    """

    def __init__(self, name: str, wait_s: float = 0.0) -> None:
        kind, summary = KINDS[name]

        def made(path: str) -> ExclusiveFile:
            lock = kind(path)
            lock.wait_s = wait_s
            return lock

        super().__init__(made, name, summary)


@contextmanager
def made_in(folder: Path, name: str) -> Iterator[LockFile]:
    """Yield a lock of this name on a new file there, to be tried by one process. Raises OSError where it is refused."""
    with scratch(folder) as path, removed_beside(str(path)):
        yield KINDS[name][0](f"{path}{SUFFIX}")
