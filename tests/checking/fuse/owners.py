"""Who holds locks: for each lock owner of each file one open file of the backing file.

The kernel sends with each request a number for the owner: the process for a POSIX lock, the open file for the
two others. An open file of the backing file that belongs to this owner alone makes the backing file's own
locks (OFD and flock) tell the owners apart, in this server and in any other of the same backing directory.
Whoever has to wait does so in the kernel's queue for the backing file, together with those of other servers.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from tests.checking.fuse.notes import Note, read_others
from tests.checking.fuse.passthrough import OpenFile
from tests.checking.fuse.pieces import F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, Piece, packed, unpacked, without

_libc = ctypes.CDLL(None, use_errno=True)
"""For calls that a signal ends; those of the fcntl module go on after it (PEP 475)."""


class Owner:
    """One owner's open file of the backing file, which it closes, and a note of what it holds there."""

    def __init__(self, handle: int, note: Note) -> None:
        self.descriptor = os.open(f"/proc/self/fd/{handle}", os.O_RDWR)
        self.handles: set[int] = set()
        self.note = note
        self.pieces: list[Piece] = []
        self.flock_handle = -1
        self._mutex = Lock()

    def lock(self, piece: Piece, *, waits: bool = False) -> bool:
        """Lock the range, then note it; False where somebody else has it.

        One that waits raises InterruptedError when a signal reaches its thread.
        """
        if waits:
            _call(_libc.fcntl, self.descriptor, F_OFD_SETLKW, packed(piece))
        with self._mutex:
            granted = waits or self._set(piece)
            if granted:
                self._hold([*without(self.pieces, piece.start, piece.end), piece])
            return granted

    def unlock(self, piece: Piece) -> None:
        """Strike it off the note, then unlock: what is noted is held, but for a moment after it was granted."""
        with self._mutex:
            self._hold(list(without(self.pieces, piece.start, piece.end)))
            self._set(piece)

    def conflict(self, piece: Piece) -> Piece | None:
        """The lock that stands in the way, as the kernel merged it and without a process."""
        return unpacked(fcntl.fcntl(self.descriptor, F_OFD_GETLK, packed(piece)))

    def flock(self, operation: int, handle: int, *, waits: bool = False) -> bool:
        """flock(2); False where somebody else has the file. InterruptedError as in `lock`."""
        try:
            _call(_libc.flock, self.descriptor, operation if waits else operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self.flock_handle = handle
        return True

    def give_up(self, handle: int) -> None:
        """Give up what was locked through a handle that is closed.

        That is no POSIX lock: the process has closed the file before, and its locks went with that. And it is
        not always all that the owner has: the kernel may use the number of a closed file for a new one before
        it tells that the old one was closed.
        """
        for piece in [piece for piece in self.pieces if piece.handle == handle]:
            self.unlock(piece._replace(kind=fcntl.F_UNLCK))
        if self.flock_handle == handle:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the backing file, and with it give up all that is left."""
        self.note.close()
        os.close(self.descriptor)

    def _hold(self, pieces: list[Piece]) -> None:
        if self.pieces or pieces:
            self.pieces = pieces
            self.note.write(pieces)

    def _set(self, piece: Piece) -> bool:
        try:
            fcntl.fcntl(self.descriptor, F_OFD_SETLK, packed(piece))
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES
            return False
        return True


class Owners:
    """The owners this server knows, by file and number, until the last open file that they used is closed."""

    def __init__(self, notes: Path) -> None:
        notes.mkdir(exist_ok=True)
        self._notes = notes
        self._owners: dict[tuple[int, int], Owner] = {}
        self._mutex = Lock()

    def known(self, file: OpenFile) -> Owner | None:
        """The owner of the request, if it has ever asked for a lock on this file."""
        with self._mutex:
            return self._owners.get(_key(file))

    def get(self, file: OpenFile) -> Owner:
        """The owner of the request, made where it is new."""
        inode, number = key = _key(file)
        with self._mutex:
            if key not in self._owners:
                self._owners[key] = Owner(file.fh, Note(self._notes / f"{inode}-{os.getpid()}-{number:x}"))
            owner = self._owners[key]
            owner.handles.add(file.fh)
            return owner

    def of_handle(self, handle: int) -> list[Owner]:
        """Every owner that asked for a lock through this open file."""
        with self._mutex:
            return [owner for owner in self._owners.values() if handle in owner.handles]

    def all(self) -> list[Owner]:
        """Every owner that has asked for a lock."""
        with self._mutex:
            return list(self._owners.values())

    def handles(self) -> frozenset[int]:
        """The open files through which somebody asked for a lock."""
        return frozenset(handle for owner in self.all() for handle in owner.handles)

    def leave(self, handle: int) -> list[Owner]:
        """The owners that used this open file, which is closed; those that have no other are no longer known."""
        with self._mutex:
            users = {key: owner for key, owner in self._owners.items() if handle in owner.handles}
            for key, owner in users.items():
                owner.handles.remove(handle)
                if not owner.handles:
                    del self._owners[key]
            return list(users.values())

    def holder(self, asker: Owner, kind: int, offset: int) -> Piece | None:
        """The piece of this kind that another owner has at the offset, in any server of this backing directory."""
        inode, _, _ = asker.note.path.name.partition("-")
        for piece in read_others(asker.note, f"{inode}-*"):
            if piece.kind == kind and piece.start <= offset < piece.end:
                return piece
        return None


def _key(file: OpenFile) -> tuple[int, int]:
    return os.fstat(file.fh).st_ino, file.lock_owner


def _call(function: Callable[..., int], *args: int | bytes) -> None:
    """Make a call of the C library; raises the OSError of what it answers."""
    if function(*args):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
