"""Notes of who holds what, for all servers of one backing directory to read.

The locks of the backing file carry no process id, so each server writes down beside the backing directory what
its owners hold: one small file for an owner, with a line for each piece and an empty line behind the last. A note
only puts a name to a lock that the kernel has found, and is no part of the exclusion.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from tests.checking.fuse.pieces import Piece


class Note:
    """What one owner holds, in a file that is there from its first lock on until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def write(self, pieces: list[Piece]) -> None:
        """Replace what it says."""
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        lines = "".join(f"{' '.join(map(str, piece))}\n" for piece in pieces)
        os.pwrite(self._descriptor, f"{lines}\n".encode(), 0)

    def close(self) -> None:
        """Take it away."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self.path.unlink(missing_ok=True)


def read_others(own: Note, pattern: str) -> Iterator[Piece]:
    """The pieces in all other notes whose names match the pattern."""
    for path in own.path.parent.glob(pattern):
        if path != own.path:
            with contextlib.suppress(FileNotFoundError, ValueError, TypeError):  # gone, or half written
                for line in takewhile(bool, path.read_text().splitlines()):
                    yield Piece(*map(int, line.split()))
