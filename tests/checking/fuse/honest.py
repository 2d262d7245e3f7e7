"""A server whose locks exclude: on its own mount, and on that of every other server of the backing directory.

It does what a local filesystem does, as far as FUSE lets it (Linux 6.18, libfuse 3.14):

- Close of any descriptor: the kernel sends FLUSH with the number of the process, and libfuse unlocks all that this
  has, before close(2) returns. A forked child has another number, so its close takes nothing from its parent.
- Last close of an open file, also by the death of its processes: nobody unlocks OFD or flock locks, only RELEASE
  tells, and close(2) does not wait for that. So a request that has to be refused is tried again for 4 ms.
- A signal for a waiter comes as INTERRUPT, and ends the wait in the backing file's queue; nothing stays there.
- Waiters queue in the order in which their requests reach the backing file, on all mounts together. Two that come
  within a fraction of a millisecond may change places on their way through the threads of the server.

What it cannot do:

- Deadlock: the kernel looks for none among those who wait for a server, and nor does this server. They wait until
  they get a signal or the mount is aborted.
- A request does not say whether it is of a POSIX or an OFD lock: F_GETLK names a process as the holder of an OFD lock
  where a local filesystem says -1, and F_OFD_GETLK says -1, by the kernel, for a POSIX lock as well.
- SEEK_END counts from the end that the kernel of this mount knows, whatever was written through another since it
  last asked the server.
- /proc/locks shows the locks of the backing file (of its device, under the same inode number), all as OFDLCK or
  FLOCK; there are none of the mounted file's device.
- Data: a page cache for each mount, as with any FUSE server, so a mapping is not shared between two mounts. read(2)
  and write(2) are, since attributes are not cached (attr_timeout=0): a new mtime makes the kernel read again.
"""

from __future__ import annotations

import ctypes
import fcntl
import time
from contextlib import suppress
from ctypes.util import find_library
from errno import EAGAIN, EINTR
from functools import partial
from os import SEEK_SET
from pathlib import Path
from random import Random
from typing import Protocol

from tests.checking.fuse.owners import Owner, Owners
from tests.checking.fuse.passthrough import OpenFile, Passthrough
from tests.checking.fuse.pieces import END, Piece

PAUSE_S = 0.0005
"""Between two tries for a lock that somebody else has and that nobody waits for."""

UNNAMED_TRIES = 100
"""How often F_GETLK looks for the note of a lock that was just granted, 1 ms apart."""


class Attempt(Protocol):
    """Take a lock at once (False where somebody else has it), or wait for it until a signal comes."""

    def __call__(self, *, waits: bool = False) -> bool: ...


class Flock(Protocol):
    """struct flock: a request for a range, and the answer to F_GETLK."""

    l_type: int
    l_whence: int
    l_start: int
    l_len: int
    l_pid: int


class FlockPointer(Protocol):
    """struct flock *."""

    contents: Flock


class Honest(Passthrough):
    """Locks of the backing file, taken for the callers; the broken servers override one method of it."""

    more_tries = 8
    """How often a request is tried again that is refused, PAUSE_S apart."""

    def __init__(self, backing: Path, seed: int) -> None:
        super().__init__(backing)
        self.owners = Owners(backing.with_name(f"{backing.name}.holders"))
        self.random = Random(seed)
        self.interrupted = ctypes.CDLL(find_library("fuse3")).fuse_interrupted

    def one_in(self, count: int) -> bool:
        """True once in `count` draws, by chance."""
        return self.random.randrange(count) == 0

    def lock(self, _: str, file: OpenFile, command: int, pointer: FlockPointer) -> None:
        """F_SETLK, F_SETLKW and F_GETLK, of POSIX and OFD locks; after each flush libfuse unlocks everything."""
        request = pointer.contents
        piece = self.asked(request)._replace(handle=file.fh)
        if command == fcntl.F_GETLK:
            self.tell(request, self.conflict(self.owners.get(file), piece))
        elif piece.kind == fcntl.F_UNLCK:
            if owner := self.owners.known(file):
                owner.unlock(piece)
        else:
            owner = self.owners.get(file)
            self.acquire(partial(owner.lock, piece), waits=command == fcntl.F_SETLKW)
            # libfuse answers F_GETLK from a table of what was granted here, unless told that nothing was.
            request.l_type = fcntl.F_UNLCK

    def flock(self, _: str, file: OpenFile, operation: int) -> None:
        """flock(2)."""
        kind = operation & ~fcntl.LOCK_NB
        if kind == fcntl.LOCK_UN:
            if known := self.owners.known(file):
                known.flock(kind, file.fh)
        else:
            owner = self.owners.get(file)
            self.acquire(partial(owner.flock, kind, file.fh), waits=not operation & fcntl.LOCK_NB)

    def asked(self, request: Flock) -> Piece:
        """The range that a request is about."""
        end = request.l_start + request.l_len if request.l_len else END
        return Piece(request.l_type, request.l_start, end, request.l_pid)

    def acquire(self, attempt: Attempt, *, waits: bool) -> None:
        """Attempt it once, and again where it was refused and the caller waits."""
        if not attempt():
            self.refused(attempt, waits=waits)

    def refused(self, attempt: Attempt, *, waits: bool) -> None:
        """What becomes of a request whose lock somebody else has; raises the errno that the caller gets."""
        if waits:
            self.wait(attempt)
        else:
            self.ask_again(attempt)

    def wait(self, attempt: Attempt) -> None:
        """Wait in the kernel's queue for the backing file until it is granted, or a signal comes for the caller."""
        while not self.interrupted():
            with suppress(InterruptedError):
                attempt(waits=True)
                return
        raise OSError(EINTR, "a signal for the waiter")

    def ask_again(self, attempt: Attempt) -> None:
        """Ask some more times, as a close may be on its way that frees the lock, and only then refuse."""
        for _ in range(self.more_tries):
            time.sleep(PAUSE_S)
            if attempt():
                return
        raise OSError(EAGAIN, "somebody else has it")

    def conflict(self, asker: Owner, piece: Piece) -> Piece | None:
        """What F_GETLK finds: the lock as the kernel has it, with the process that the note names."""
        for _ in range(UNNAMED_TRIES):
            found = asker.conflict(piece)
            if not found or piece.kind == fcntl.F_UNLCK:  # which asks for the asker's own (F_OFD_GETLK)
                return found
            if noted := self.owners.holder(asker, found.kind, max(piece.start, found.start)):
                return self.reported(found, noted)
            time.sleep(0.001)
        return found

    def reported(self, found: Piece, noted: Piece) -> Piece:
        """The lock that is told, of the one that the kernel found and the piece that was asked for."""
        return found._replace(pid=noted.pid)

    def tell(self, request: Flock, conflict: Piece | None) -> None:
        """Answer F_GETLK."""
        if not conflict:
            request.l_type = fcntl.F_UNLCK
            return
        request.l_type, request.l_whence, request.l_start, request.l_pid = (
            conflict.kind,
            SEEK_SET,
            conflict.start,
            conflict.pid,
        )
        request.l_len = 0 if conflict.end == END else conflict.end - conflict.start

    def release(self, path: str, file: OpenFile) -> None:
        """The last close of an open file, which gives up the OFD and flock locks that it has."""
        for owner in self.owners.leave(file.fh):
            self.left(owner, file.fh)
        super().release(path, file)

    def left(self, owner: Owner, handle: int) -> None:
        """What becomes of the locks that an owner took through a handle that is closed."""
        owner.give_up(handle)
        if not owner.handles:
            owner.close()
