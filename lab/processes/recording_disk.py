"""Record what a filesystem writes to its disk, so that any crash of it can be rebuilt, sector by sector.

    filesystem --> loop device --> file of a FUSE mount --> this module, which keeps each write and each flush

The server speaks the kernel's protocol itself (linux/fuse.h; fuse(4)): a root directory with one file, which is the
disk. A write of the loop device arrives as WRITE, a flush as FSYNC. On request the next write fails with EIO, as on a
disk with a bad sector; the one after it works.

From the record a disk is made again with all writes up to a moment, or with only some of their sectors: what a power
failure may leave of a disk that has a cache, or that tears a write. It is what the device mapper's log-writes target
does (dm-log-writes), without a device mapper.
"""

from __future__ import annotations

import errno
import mmap
import os
import signal
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from lab.errors import CannotRunError
from lab.host.disks import MEBIBYTES, Filesystem, Loop, loop_filesystem, mount_nowhere

from .child import fork_child
from .deadlines import Watched

SECTOR = 512
ENDS_S = 5.0

MAJOR, MINOR, MOST_WRITTEN = 7, 31, 1 << 17
ROOT, DISK, VALID_S = 1, 2, 3600
"""The numbers of the nodes: the directory, and the file in it; both stay as they are."""

ASKED, ANSWERED = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")


class Code(IntEnum):
    """The requests that the kernel makes of a file that it opens, reads and writes; to others ENOSYS is the answer."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    FSYNC = 20
    INIT = 26
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


UNANSWERED = frozenset({Code.FORGET, Code.INTERRUPT, Code.BATCH_FORGET})


class Written(NamedTuple):
    """A write that the disk got: where it begins, in bytes, and the bytes. A flush has none, and begins at -1."""

    start: int
    data: bytes


FLUSH = Written(-1, b"")


class _Server:
    """Answers the kernel's requests, one after the other."""

    def __init__(self, device: int, data: int, log: int, fails: mmap.mmap) -> None:
        self._device, self._data, self._log, self._fails = device, data, log, fails
        self._size = os.fstat(data).st_size

    def serve(self) -> None:
        """Serve until it is unmounted (ENODEV)."""
        with suppress(OSError):
            while request := os.read(self._device, MOST_WRITTEN + mmap.PAGESIZE):
                length, code, unique, node, *_ = ASKED.unpack_from(request)
                if code in UNANSWERED:
                    continue
                try:
                    error, answer = 0, self._answer(code, node, request[ASKED.size : length])
                except OSError as refused:
                    error, answer = -(refused.errno or errno.EIO), b""
                os.write(self._device, ANSWERED.pack(ANSWERED.size + len(answer), error, unique) + answer)

    def _answer(self, code: int, node: int, body: bytes) -> bytes:
        match code:
            case Code.INIT:
                return struct.pack("=IIIIHHIIHHI28x", MAJOR, MINOR, 0, 0, 1, 1, MOST_WRITTEN, 1, 0, 0, 0)
            case Code.LOOKUP:
                if body.rstrip(b"\0") != b"disk":
                    raise OSError(errno.ENOENT, "no such file")
                return struct.pack("=QQQQII", DISK, 0, VALID_S, VALID_S, 0, 0) + self._attributes(DISK)
            case Code.GETATTR | Code.SETATTR:
                return struct.pack("=QII", VALID_S, 0, 0) + self._attributes(node)
            case Code.OPEN:
                return struct.pack("=QIi", 0, 0, 0)
            case Code.READ:
                _, start, size = struct.unpack_from("=QQI", body)
                return os.pread(self._data, size, start)
            case Code.WRITE:
                return self._write(body)
            case Code.FSYNC:
                self._note(FLUSH)
                return b""
            case Code.RELEASE | Code.DESTROY:
                return b""
        raise OSError(errno.ENOSYS, "not needed")

    def _attributes(self, node: int) -> bytes:
        mode, size = (stat.S_IFREG | 0o600, self._size) if node == DISK else (stat.S_IFDIR | 0o700, 0)
        return struct.pack("=6Q10I", node, size, size // SECTOR, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, mmap.PAGESIZE, 0)

    def _write(self, body: bytes) -> bytes:
        _, start, size = struct.unpack_from("=QQI", body)
        if self._fails[0]:
            self._fails[0] = 0
            raise OSError(errno.EIO, "as it was told")
        data = body[40 : 40 + size]
        os.pwrite(self._data, data, start)
        self._note(Written(start, data))
        return struct.pack("=II", len(data), 0)

    def _note(self, event: Written) -> None:
        os.write(self._log, struct.pack("=qI", event.start, len(event.data)) + event.data)


@dataclass(frozen=True, slots=True)
class Recorder:
    """A mounted filesystem whose disk keeps a record."""

    filesystem: Filesystem
    _log: int
    _fails: mmap.mmap
    _base: int

    def fail_next_write(self) -> None:
        """Have the disk answer EIO to its next write, once."""
        self._fails[0] = 1

    def record(self) -> list[Written]:
        """Return what the disk has got so far, since the filesystem was made."""
        content = os.pread(self._log, os.fstat(self._log).st_size, 0)
        found, at, head = [], 0, struct.Struct("=qI")
        while at < len(content):
            start, length = head.unpack_from(content, at)
            at += head.size
            found.append(Written(start, content[at : at + length]))
            at += length
        return found

    def rebuilt(self, record: Sequence[Written], keeps: Callable[[int, int], bool]) -> int:
        """Return the descriptor of a disk in memory as a crash leaves it, which is the caller's to close.

        It has those sectors of which `keeps` is true, by the number of the write in the record and the first byte of
        the sector on the disk.
        """
        memory = _copied(self._base)
        for number, (start, data) in enumerate(record):
            for at in range(0, len(data), SECTOR):
                if keeps(number, start + at):
                    os.pwrite(memory, data[at : at + SECTOR], start + at)
        return memory

    @contextmanager
    def crashed(self, record: Sequence[Written], keeps: Callable[[int, int], bool]) -> Iterator[Path]:
        """Mount such a disk and yield its root, which lasts as long as the block.

        The filesystem itself may not be mounted meanwhile. Raises CannotRunError where this one cannot be mounted.
        """
        memory = self.rebuilt(record, keeps)
        try:
            with loop_filesystem(self.filesystem.kind, memory) as disk:
                yield disk.folder
        finally:
            os.close(memory)


def check_recording() -> None:
    """Raise CannotRunError where no file of a FUSE mount can be made."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise CannotRunError(f"/dev/fuse: {error.strerror}; run as root where FUSE is") from error


@contextmanager
def recording_disk(kind: str, disk: int | None = None) -> Iterator[Recorder]:
    """Mount a filesystem on a disk that keeps a record: a new one, or a copy of this disk. Raises CannotRunError.

    The server is a process of its own, which ends with this one.
    """
    check_recording()
    kept: list[int] = []
    try:
        data = _memory(kept, blank_disk(kind) if disk is None else _copied(disk))
        base, log = _memory(kept, _copied(data)), _memory(kept, os.memfd_create("lab-log"))
        fails = mmap.mmap(-1, 1)
        device = _memory(kept, os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
        try:
            options = {"fd": str(device), "rootmode": "40000", "user_id": "0", "group_id": "0"}
            mounted = _memory(kept, mount_nowhere("fuse", **options))
        except OSError as error:
            raise CannotRunError(f"no FUSE mount ({error.strerror}); run as root where FUSE is") from error
        server = Watched(fork_child(lambda: _serve(_Server(device, data, log, fails), mounted)))
        os.close(device)
        kept.remove(device)
        try:
            with _opened(mounted) as served, loop_filesystem(kind, served) as filesystem:
                yield Recorder(filesystem, log, fails, base)
        finally:
            os.close(mounted)  # ends the server, once nothing of it is open
            kept.remove(mounted)
            if server.wait(ENDS_S) is None:
                server.send(signal.SIGKILL)
                server.wait(ENDS_S)
            server.close()
    finally:
        for descriptor in kept:
            os.close(descriptor)


def blank_disk(kind: str) -> int:
    """Return the descriptor of a disk in memory with a new filesystem, the caller's to close. Raises CannotRunError."""
    memory = os.memfd_create(f"lab-disk-{os.getpid()}")
    try:
        os.ftruncate(memory, MEBIBYTES[kind] << 20)
        loop = Loop(memory)
        try:
            Filesystem(kind, loop.path).make()
        finally:
            loop.close()
    except BaseException:
        os.close(memory)
        raise
    return memory


def _serve(server: _Server, mounted: int) -> None:
    os.close(mounted)
    server.serve()


@contextmanager
def _opened(mounted: int) -> Iterator[int]:
    descriptor = os.open(f"/proc/self/fd/{mounted}/disk", os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        with suppress(OSError):  # the server may have been killed; it is closed all the same
            os.close(descriptor)


def _memory(kept: list[int], descriptor: int) -> int:
    kept.append(descriptor)
    return descriptor


def _copied(memory: int) -> int:
    """Return a copy of a file in memory; its holes stay holes."""
    copy, size, end = os.memfd_create(f"lab-disk-{os.getpid()}"), os.fstat(memory).st_size, 0
    os.ftruncate(copy, size)
    with suppress(OSError):  # ENXIO: nothing but a hole is left
        while end < size:
            start = os.lseek(memory, end, os.SEEK_DATA)
            end = os.lseek(memory, start, os.SEEK_HOLE)
            for at in range(start, end, 1 << 20):
                part = os.pread(memory, min(1 << 20, end - at), at)
                if part.strip(b"\0"):
                    os.pwrite(copy, part, at)
    return copy
