"""A lock file: whoever makes it is inside, whoever removes it is out.

The oldest lock there is, and one that needs no lock of the kernel: open(2) with O_CREAT | O_EXCL makes a file or fails
with EEXIST, never both for two. Its weakness is the same: the file stays when its maker is killed, and then nobody ever
gets in. Nobody is woken either: who waits looks again and again.
"""

from __future__ import annotations

import os
from time import sleep

from ..adapted import Adapted
from ..protocol import Abilities, Lock

LOOK_AGAIN_S = 0.0002


class LockFile:
    """The lock whose file has this name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def acquire(self) -> None:
        """Make the file; where it exists, look again every 0.2 ms."""
        while True:
            try:
                os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                sleep(LOOK_AGAIN_S)
            else:
                return

    def release(self) -> None:
        """Remove the file. Raises FileNotFoundError where it is gone."""
        os.unlink(self._path)  # noqa: PTH108 - the path is text here


def lockfile() -> Lock:
    """A lock file made with O_EXCL."""
    return Adapted(
        LockFile,
        "lockfile",
        "a file made with O_CREAT | O_EXCL, looked for every 0.2 ms; stays when its maker is killed",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=False),
    )
