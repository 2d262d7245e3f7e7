"""Servers that are broken in one way each: the honest one (tests/checking/fuse/honest.py) but for what stands here."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EBADFD, EDEADLK, EINTR, ENOSYS, ENOTCONN
from pathlib import Path
from socket import gethostname
from threading import Event, Thread, get_native_id
from typing import ClassVar

from tests.checking.fuse.honest import Attempt, Flock, FlockPointer, Honest
from tests.checking.fuse.owners import Owner
from tests.checking.fuse.passthrough import AUTO_INVAL_DATA, Connection, OpenFile, Passthrough
from tests.checking.fuse.pieces import END, Piece

WRITEBACK_CACHE = 1 << 16
"""FUSE_CAP_WRITEBACK_CACHE (fuse_common.h)."""

LEASE_S = 0.3
"""How long a storage keeps the locks of a host that is cut off."""

REQUEST_S = 0.0005
"""How long a request takes on its way to a server of another host."""


class NoLock(Passthrough):
    """Has no lock callback: the kernel keeps the locks, for each mount alone."""

    def __init__(self, backing: Path, _: int) -> None:
        super().__init__(backing)


class Always(Honest):
    """Grants everything."""

    def acquire(self, attempt: Attempt, *, waits: bool) -> None:
        pass


class Lies(Honest):
    """Grants what it should refuse, or let wait, once in a while."""

    more_tries = 0
    one_lie_in: ClassVar[int]

    def refused(self, attempt: Attempt, *, waits: bool) -> None:
        if not self.one_in(self.one_lie_in):
            super().refused(attempt, waits=waits)


class Lies100(Lies):
    """Grants 1 in 100 of the requests that it should refuse, or let wait."""

    one_lie_in = 100


class Lies1000(Lies):
    """Grants 1 in 1,000 of the requests that it should refuse, or let wait."""

    one_lie_in = 1000


class Enosys(Honest):
    """Has lock callbacks that answer "not implemented"."""

    def lock(self, _: str, file: OpenFile, command: int, pointer: FlockPointer) -> None:
        raise OSError(ENOSYS, "no locks here")

    def flock(self, _: str, file: OpenFile, operation: int) -> None:
        raise OSError(ENOSYS, "no locks here")


class Writeback(Honest):
    """Excludes, but the kernel keeps what is written to itself for a while."""

    def init_with_config(self, connection: Connection, config: object) -> None:
        super().init_with_config(connection, config)
        connection.want |= WRITEBACK_CACHE

    def flags(self, flags: int) -> int:  # the kernel reads what it writes, and knows itself where the end is
        return flags & ~os.O_ACCMODE & ~os.O_APPEND | os.O_RDWR


class DirectIo(Honest):
    """Excludes, without a page cache, so without shared mappings."""

    options: ClassVar[dict[str, object]] = {"direct_io": True}


class WholeFile(Honest):
    """Locks the whole file, whatever range is asked for."""

    def asked(self, request: Flock) -> Piece:
        return super().asked(request)._replace(start=0, end=END)


class NoMerge(Honest):
    """Keeps ranges of one owner apart that are one lock: F_GETLK reports the piece that was asked for."""

    def reported(self, found: Piece, noted: Piece) -> Piece:
        return noted


class ForgetsOnClose(Honest):
    """Forgets on any close of a descriptor what all its owners hold, the parent's locks when its child closes."""

    def flush(self, path: str, file: OpenFile) -> None:
        super().flush(path, file)
        for owner in self.owners.of_handle(file.fh):
            owner.unlock(Piece(fcntl.F_UNLCK, 0, END))
            owner.flock(fcntl.LOCK_UN, file.fh)


class LeaksOfd(Honest):
    """Keeps the OFD locks of an open file that was closed, as does a server that waits to be told of an unlock."""

    def left(self, owner: Owner, handle: int) -> None:
        owner.flock(fcntl.LOCK_UN, handle)


class FalseDeadlock(Honest):
    """Answers 1 in 50 of the requests that have to wait with "deadlock"."""

    def refused(self, attempt: Attempt, *, waits: bool) -> None:
        if waits and self.one_in(50):
            raise OSError(EDEADLK, "there is no deadlock")
        super().refused(attempt, waits=waits)


class Slow(Honest):
    """Hands a lock over slowly: who waits asks again after pauses that become longer, as an NFSv4 client does."""

    first_s, longest_s = 0.2, 0.8

    def wait(self, attempt: Attempt) -> None:
        pause_s = self.first_s
        asks = time.monotonic() + pause_s
        while not self.interrupted():
            time.sleep(0.01)
            if time.monotonic() >= asks:
                if attempt():
                    return
                pause_s = min(self.longest_s, 2 * pause_s)
                asks = time.monotonic() + pause_s
        raise OSError(EINTR, "a signal for the waiter")


class NoRename(Honest):
    """Cannot rename, so that libfuse cannot hide a file that is unlinked while it is open: ENOSYS."""

    rename = None  # type: ignore[assignment]


class PosixAlone(Honest):
    """flock is kept by each kernel to itself."""

    flock = None  # type: ignore[assignment]


class FlockAlone(Honest):
    """Record locks are kept by each kernel to itself."""

    lock = None  # type: ignore[assignment]


class Kept(Honest):
    """Locks of a client that died stay for good: only an unlock that it asks for itself gives them back."""

    def __init__(self, backing: Path, seed: int) -> None:
        super().__init__(backing, seed)
        self.flushing: set[int] = set()

    def flush(self, path: str, file: OpenFile) -> None:
        self.flushing.add(get_native_id())  # libfuse asks for an unlock right after this, in the same thread
        super().flush(path, file)

    def lock(self, path: str, file: OpenFile, command: int, pointer: FlockPointer) -> None:
        flushing = get_native_id() in self.flushing
        self.flushing.discard(get_native_id())
        if not (flushing and pointer.contents.l_type == fcntl.F_UNLCK):
            super().lock(path, file, command, pointer)

    def release(self, path: str, file: OpenFile) -> None:
        Passthrough.release(self, path, file)


class Staged(Honest):
    """What is written is staged until the file is synced or closed; opens for reading see it only then."""

    def __init__(self, backing: Path, seed: int) -> None:
        super().__init__(backing, seed)
        self.stage: dict[int, list[tuple[int, bytes]]] = {}

    def open(self, path: str, file: OpenFile) -> None:
        super().open(path, file)
        file.direct_io = file.flags & os.O_ACCMODE == os.O_RDONLY

    def write(self, _: str, data: bytes, offset: int, file: OpenFile) -> int:
        self.stage.setdefault(os.fstat(file.fh).st_ino, []).append((offset, bytes(data)))
        return len(data)

    def settle(self, file: OpenFile) -> None:
        for offset, data in self.stage.pop(os.fstat(file.fh).st_ino, []):
            os.pwrite(file.fh, data, offset)

    def fsync(self, path: str, datasync: int, file: OpenFile) -> None:
        self.settle(file)
        super().fsync(path, datasync, file)

    def flush(self, path: str, file: OpenFile) -> None:
        if fcntl.fcntl(file.fh, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            self.settle(file)
        super().flush(path, file)


class WakesNobody(Honest):
    """Never wakes a waiter; only a signal ends its wait."""

    def refused(self, attempt: Attempt, *, waits: bool) -> None:
        while waits and not self.interrupted():
            time.sleep(0.002)
        super().refused(attempt, waits=waits)


class NeverAnswers(Honest):
    """Does not answer a request for a lock, nor a signal for the one who asked."""

    def acquire(self, attempt: Attempt, *, waits: bool) -> None:
        Event().wait()


class NoExcl(Honest):
    """Looks for O_EXCL in the kernel only: two hosts that create one name both do.

    libfuse does not hide open files that are renamed over: for a moment the other host would find no file there.
    """

    options: ClassVar[dict[str, object]] = {"hard_remove": True}

    def create(self, path: str, mode: int, file: OpenFile) -> None:
        time.sleep(REQUEST_S)
        file.flags &= ~os.O_EXCL
        super().create(path, mode, file)


class NoExclMkdir(Honest):
    """Two hosts that make one directory both do."""

    def mkdir(self, path: str, mode: int) -> None:
        time.sleep(REQUEST_S)
        self.at(path).mkdir(mode, exist_ok=True)


class NoExclLink(Honest):
    """Two hosts that give two files one name both do: the later one stays."""

    def link(self, new: str, old: str) -> None:
        time.sleep(REQUEST_S)
        with suppress(FileNotFoundError):
            self.at(new).unlink()
        super().link(new, old)


class TwoStepRename(Honest):
    """Removes what a file is renamed over, and then renames it."""

    def rename(self, old: str, new: str) -> None:
        with suppress(FileNotFoundError):
            self.at(new).unlink()
        time.sleep(REQUEST_S)
        super().rename(old, new)


class LateNames(Honest):
    """Lets the kernel believe for a second what name leads to which file, or to none."""

    options: ClassVar[dict[str, object]] = {"entry_timeout": 1, "negative_timeout": 1}


class AppendsBlindly(Honest):
    """Writes an append where the kernel of its own mount believes that the file ends."""

    def flags(self, flags: int) -> int:
        return flags & ~os.O_APPEND


class LooseNames(NoExcl, NoExclMkdir, NoExclLink, TwoStepRename, AppendsBlindly):
    """All of these at once; a write is slow, so that appends of two hosts are sure to have asked for one size."""

    def write(self, path: str, data: bytes, offset: int, file: OpenFile) -> int:
        time.sleep(REQUEST_S)
        return super().write(path, data, offset, file)


class LateSize(Honest):
    """Lets the kernel believe the size of a file for a second; data is not cached."""

    options: ClassVar[dict[str, object]] = {"attr_timeout": 1, "direct_io": True}


class Snapshots(Honest):
    """Reads, through a file that is opened for reading alone, what was there when it was opened."""

    def __init__(self, backing: Path, seed: int) -> None:
        super().__init__(backing, seed)
        self.snapshots: dict[int, bytes] = {}

    def open(self, path: str, file: OpenFile) -> None:
        super().open(path, file)
        if file.flags & os.O_ACCMODE == os.O_RDONLY:
            file.direct_io = True
            self.snapshots[file.fh] = os.pread(file.fh, os.fstat(file.fh).st_size, 0)

    def read(self, path: str, size: int, offset: int, file: OpenFile) -> bytes:
        snapshot = self.snapshots.get(file.fh)
        return super().read(path, size, offset, file) if snapshot is None else snapshot[offset : offset + size]

    def release(self, path: str, file: OpenFile) -> None:
        self.snapshots.pop(file.fh, None)
        super().release(path, file)


class CutOff(Honest):
    """Can lose its way to the storage: while a file says so (`switch`) it fails everything, and keeps its locks.

    The file is beside the backing directory, named after the host that the server is on.
    """

    def __init__(self, backing: Path, seed: int) -> None:
        super().__init__(backing, seed)
        self.switch = backing.with_name(f"cut-{gethostname()}")
        Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        while not self.switch.exists():
            time.sleep(0.01)
        time.sleep(LEASE_S)
        self.expire()

    def expire(self) -> None:
        """What the storage does with the locks of a host that it does not reach."""

    def check(self, file: OpenFile) -> None:
        """Raise what a call on an open file comes to."""
        if self.switch.exists():
            raise OSError(ENOTCONN, "cut off")

    def create(self, path: str, mode: int, file: OpenFile) -> None:
        self.check(file)
        super().create(path, mode, file)

    def read(self, path: str, size: int, offset: int, file: OpenFile) -> bytes:
        self.check(file)
        return super().read(path, size, offset, file)

    def write(self, path: str, data: bytes, offset: int, file: OpenFile) -> int:
        self.check(file)
        return super().write(path, data, offset, file)

    def lock(self, path: str, file: OpenFile, command: int, pointer: FlockPointer) -> None:
        self.check(file)
        super().lock(path, file, command, pointer)

    def flock(self, path: str, file: OpenFile, operation: int) -> None:
        self.check(file)
        super().flock(path, file, operation)


class Unfenced(CutOff):
    """Loses its locks when it is cut off, and goes on with its open files once it is back."""

    def expire(self) -> None:
        for owner in self.owners.all():
            owner.unlock(Piece(fcntl.F_UNLCK, 0, END))
            owner.flock(fcntl.LOCK_UN, -1)


class Fenced(Unfenced):
    """Loses its locks when it is cut off, and never uses the files again that were open then."""

    def __init__(self, backing: Path, seed: int) -> None:
        self.lost: frozenset[int] = frozenset()
        super().__init__(backing, seed)

    def expire(self) -> None:
        self.lost = self.owners.handles()
        super().expire()

    def check(self, file: OpenFile) -> None:
        super().check(file)
        if file.fh in self.lost:
            raise OSError(EBADFD, "open before the cut")


class KeepsCache(Honest):
    """Lets the kernel keep what it has of a file when the file is opened again."""

    options: ClassVar[dict[str, object]] = {"kernel_cache": True}

    def init_with_config(self, connection: Connection, config: object) -> None:
        connection.want &= ~AUTO_INVAL_DATA


VARIANTS: dict[str, Callable[[Path, int], Passthrough]] = {
    "honest": Honest,
    "no_lock": NoLock,
    "always": Always,
    "lies_100": Lies100,
    "lies_1000": Lies1000,
    "enosys": Enosys,
    "writeback": Writeback,
    "direct_io": DirectIo,
    "whole_file": WholeFile,
    "no_merge": NoMerge,
    "forgets_on_close": ForgetsOnClose,
    "leaks_ofd": LeaksOfd,
    "false_deadlock": FalseDeadlock,
    "slow": Slow,
    "no_rename": NoRename,
    "posix_alone": PosixAlone,
    "flock_alone": FlockAlone,
    "kept": Kept,
    "staged": Staged,
    "wakes_nobody": WakesNobody,
    "never_answers": NeverAnswers,
    "no_excl": NoExcl,
    "no_excl_mkdir": NoExclMkdir,
    "no_excl_link": NoExclLink,
    "two_step_rename": TwoStepRename,
    "loose_names": LooseNames,
    "late_names": LateNames,
    "appends_blindly": AppendsBlindly,
    "late_size": LateSize,
    "snapshots": Snapshots,
    "keeps_cache": KeepsCache,
    "unfenced": Unfenced,
    "fenced": Fenced,
}
