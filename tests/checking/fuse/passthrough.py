"""A directory served through FUSE as it is: every operation is the same operation on the backing directory.

The methods are the callbacks of mfusepy, which finds them by name and takes errors as OSError. A file handle is
a descriptor of the backing file. There is no lock callback here: of such a server the kernel keeps the locks
itself, for each mount alone.
"""

from __future__ import annotations

import os
import time
from errno import EOPNOTSUPP
from pathlib import Path
from typing import ClassVar, Protocol

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
"""tv_nsec for "now" and for "leave it" (utimensat(2)); libfuse passes them with 0 seconds."""

HIDDEN = ".fuse_hidden"
"""libfuse gives such a name to a file that is unlinked while it is open, and unlinks it with the last close."""

RELEASES_TRIES = 200
"""How often rmdir looks for hidden files, 1 ms apart: close(2) does not wait until the server knows of it."""


AUTO_INVAL_DATA = 1 << 12
"""FUSE_CAP_AUTO_INVAL_DATA (fuse_common.h)."""


class OpenFile(Protocol):
    """struct fuse_file_info: what libfuse tells about the open file of a request."""

    fh: int
    flags: int
    direct_io: bool
    lock_owner: int


class Connection(Protocol):
    """struct fuse_conn_info: what the kernel can do and the server wants."""

    want: int


class Passthrough:
    """The callbacks that any server of a directory has."""

    use_ns = True
    options: ClassVar[dict[str, object]] = {}
    """More of libfuse's mount options."""

    alone = False
    """True where nobody else changes the backing directory, so that what the kernel has in its cache is right.

    Otherwise it throws the cached pages of a file away whenever it sees another mtime, also while somebody writes: of
    writers to one page, each under a lock of its own, 1 in 500 then loses what it wrote (Linux 6.18).
    """

    def __init__(self, backing: Path) -> None:
        self.backing = backing

    def init_with_config(self, connection: Connection, _: object) -> None:
        if self.alone:
            connection.want &= ~AUTO_INVAL_DATA

    def at(self, path: str) -> Path:
        """The backing file of a path, which starts with a slash."""
        return self.backing / path[1:]

    def flags(self, flags: int) -> int:
        """What the backing file is opened with, where the caller opens with these flags."""
        return flags

    def getattr(self, path: str, file: OpenFile | None = None) -> dict[str, int]:
        stat = os.fstat(file.fh) if file else os.lstat(self.at(path))
        names = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_blksize", "st_rdev")
        times = {name: getattr(stat, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")}
        return {name: getattr(stat, name) for name in names} | times

    def statfs(self, path: str) -> dict[str, int]:
        stat = os.statvfs(self.at(path))
        names = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax")
        return {f"f_{name}": getattr(stat, f"f_{name}") for name in names}

    def readdir(self, path: str, _: int) -> list[tuple[str, dict[str, int], int]]:
        here = self.at(path)
        stats = {name: os.lstat(here / name) for name in (".", "..", *(entry.name for entry in here.iterdir()))}
        return [(name, {"st_mode": stat.st_mode, "st_ino": stat.st_ino}, 0) for name, stat in stats.items()]

    def mkdir(self, path: str, mode: int) -> None:
        self.at(path).mkdir(mode)

    def rmdir(self, path: str) -> None:
        for _ in range(RELEASES_TRIES):
            if not any(left.name.startswith(HIDDEN) for left in self.at(path).iterdir()):
                break
            time.sleep(0.001)
        self.at(path).rmdir()

    def unlink(self, path: str) -> None:
        self.at(path).unlink()

    def link(self, new: str, old: str) -> None:
        self.at(new).hardlink_to(self.at(old))

    def rename(self, old: str, new: str) -> None:
        self.at(old).rename(self.at(new))

    def chmod(self, path: str, mode: int) -> None:
        self.at(path).chmod(mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utimens(self, path: str, times: tuple[int, int]) -> None:
        stat = os.lstat(self.at(path))
        was = (stat.st_atime_ns, stat.st_mtime_ns)
        now = time.time_ns()
        atime, mtime = ({UTIME_NOW: now, UTIME_OMIT: old}.get(new, new) for new, old in zip(times, was, strict=True))
        os.utime(self.at(path), ns=(atime, mtime))

    def truncate(self, path: str, length: int) -> None:
        os.truncate(self.at(path), length)

    def create(self, path: str, mode: int, file: OpenFile) -> None:
        file.fh = os.open(self.at(path), self.flags(file.flags) | os.O_CREAT, mode)

    def open(self, path: str, file: OpenFile) -> None:
        file.fh = os.open(self.at(path), self.flags(file.flags))

    def read(self, _: str, size: int, offset: int, file: OpenFile) -> bytes:
        return os.pread(file.fh, size, offset)

    def write(self, _: str, data: bytes, offset: int, file: OpenFile) -> int:
        return os.pwrite(file.fh, data, offset)

    def fallocate(self, _: str, mode: int, offset: int, length: int, file: OpenFile) -> None:
        if mode:
            raise OSError(EOPNOTSUPP, "only plain allocation is passed through")
        os.posix_fallocate(file.fh, offset, length)

    def fsync(self, _: str, datasync: int, file: OpenFile) -> None:
        (os.fdatasync if datasync else os.fsync)(file.fh)

    def flush(self, _: str, file: OpenFile) -> None:
        os.close(os.dup(file.fh))

    def release(self, _: str, file: OpenFile) -> None:
        os.close(file.fh)
