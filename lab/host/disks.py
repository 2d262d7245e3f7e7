"""Make a filesystem whose power can be cut: on a loop device over memory, mounted nowhere, and gone with its process.

The bytes are in memory (memfd_create(2)), or in a file that the caller gives; the loop device is detached by the kernel
with its last descriptor (LO_FLAGS_AUTOCLEAR), and the mount has no name but a descriptor of this process (fsmount(2)).
So neither stays in whatever way the processes that have them end, SIGKILL too.

The power is cut by the filesystem's own ioctl, as its developers test it (xfstests): from then on nothing reaches the
device, not even the log (NOLOGFLUSH). What the next mount shows is what a power failure leaves, except that the device
keeps all that was sent to it, whether it was flushed or not.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.errors import CannotRunError, UsageError, checked, unknown

SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT, SYS_CACHESTAT = 430, 431, 432, 451
"""The same numbers on all machines (syscalls(2))."""

SET_FLAG, SET_STRING, CMD_CREATE, CLOEXEC = 0, 1, 6, 1

LOOP_CTL_GET_FREE, LOOP_CONFIGURE, AUTOCLEAR = 0x4C82, 0x4C0A, 4
"""linux/loop.h; LOOP_CONFIGURE came with Linux 5.8."""

SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2
"""EXT4_IOC_SHUTDOWN, which is XFS_IOC_GOINGDOWN, and its flag (xfs_io(8), shutdown)."""

WAIT_WRITE_WAIT = 7
"""The flags of sync_file_range(2) that write pages back and wait for them."""

MEBIBYTES = {"ext4": 64, "xfs": 300}
"""The size of a disk for each filesystem: what is not written takes no memory; xfs has no smaller one."""

OPTIONS = {"ext4": ("-b", "4096"), "xfs": ("-K",)}
PACKAGES = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}
KINDS = tuple(MEBIBYTES)

PAGE = 4096
MAKES_S, TAKES_S, TRY_AGAIN_S = 60.0, 10.0, 0.05
NO_LOOP = "run as root on a machine with loop devices"

_library = ctypes.CDLL(None, use_errno=True)
_library.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def mount_nowhere(kind: str, **options: str) -> int:
    """Mount a filesystem where no path leads to, and return the descriptor that keeps it mounted (fsmount(2)).

    An option with an empty value is a flag. Raises OSError.
    """

    def call(number: int, *arguments: object) -> int:
        result = int(_library.syscall(ctypes.c_long(number), *arguments))
        checked(result, "mount")
        return result

    context = call(SYS_FSOPEN, kind.encode(), ctypes.c_uint(CLOEXEC))
    try:
        where, none = ctypes.c_int(context), ctypes.c_int(0)
        for name, value in options.items():
            kind_of, given = (SET_STRING, value.encode()) if value else (SET_FLAG, None)
            call(SYS_FSCONFIG, where, ctypes.c_uint(kind_of), name.encode(), given, none)
        call(SYS_FSCONFIG, where, ctypes.c_uint(CMD_CREATE), None, None, none)
        return call(SYS_FSMOUNT, where, ctypes.c_uint(CLOEXEC), ctypes.c_uint(0))
    finally:
        os.close(context)


def available_kinds(asked: Sequence[str] = ()) -> list[str]:
    """Return the filesystems that were asked for, else all that can be made here.

    Raises UsageError for an unknown name, and CannotRunError where there is no loop device or a program is missing.
    """
    for kind in asked:
        if kind not in KINDS:
            raise unknown("filesystem", kind, list(KINDS))
    if len(set(asked)) < len(asked):
        raise UsageError(f"filesystem {asked[0]} is named twice; name each once")
    kinds = list(asked) or [kind for kind in KINDS if _program(kind)]
    for kind in kinds:
        _needed(kind)
    if not kinds:
        raise CannotRunError(f"no mkfs.{' and no mkfs.'.join(KINDS)} here; install {' or '.join(PACKAGES.values())}")
    _check_loops()
    return kinds


def _program(kind: str) -> str | None:
    return shutil.which(f"mkfs.{kind}", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _needed(kind: str) -> str:
    program = _program(kind)
    if program is None:
        raise CannotRunError(f"mkfs.{kind} is not installed; install {PACKAGES[kind]}")
    return program


def _check_loops() -> None:
    try:
        os.close(os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise CannotRunError(f"no loop device (/dev/loop-control: {error.strerror}); {NO_LOOP}") from error


class Loop:
    """A loop device over an open file, which the kernel detaches with its last descriptor; `path` is its name."""

    def __init__(self, backing: int) -> None:
        """Attach the first free one. Raises CannotRunError."""
        deadline = time.monotonic() + TAKES_S
        while True:
            try:
                self.path, self._descriptor = _attached(backing)
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:  # another process took it first
                    raise CannotRunError(f"no loop device ({error.strerror}); {NO_LOOP}") from error
            time.sleep(TRY_AGAIN_S)

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


def _attached(backing: int) -> tuple[str, int]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
    finally:
        os.close(control)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, AUTOCLEAR, b"lab", b"", b"", 0, 0)
        fcntl.ioctl(descriptor, LOOP_CONFIGURE, struct.pack("=2I", backing, 512) + info + bytes(64))
    except BaseException:
        os.close(descriptor)
        raise
    return path, descriptor


class Filesystem:
    """A filesystem of this kind on a device, mounted in this process and its children only."""

    def __init__(self, kind: str, device: str) -> None:
        self.kind = kind
        self._device = device
        self._mount = -1

    @property
    def folder(self) -> Path:
        """Return its root, in this process and in those that it forks while it is mounted."""
        return Path(f"/proc/self/fd/{self._mount}")

    def make(self) -> None:
        """Make it anew (mkfs(8)). Raises CannotRunError."""
        command = [_needed(self.kind), "-q", *OPTIONS[self.kind], self._device]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=MAKES_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRunError(f"{command[0]} failed: {error}; {NO_LOOP}") from error
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise CannotRunError(f"{command[0]} failed: {said}; {NO_LOOP}")

    def mount(self) -> None:
        """Mount it; a journal that a cut left is replayed. Raises CannotRunError."""
        try:
            self._mount = mount_nowhere(self.kind, source=self._device)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise CannotRunError(f"this kernel has no {self.kind}; name another filesystem") from error
            raise CannotRunError(f"{self.kind} cannot be mounted ({error.strerror}); {NO_LOOP}") from error

    def unmount(self) -> None:
        """Unmount it: no process may have a file of it open. Raises CannotRunError where one has."""
        self.close()
        try:  # a mounted device cannot be opened for oneself
            os.close(os.open(self._device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            raise CannotRunError(f"{self.kind} cannot be unmounted: a process uses it; try again") from error

    def close(self) -> None:
        """Give the mount up, also while a process has a file of it open: it goes with the last of them."""
        if self._mount >= 0:
            os.close(self._mount)
            self._mount = -1

    def cut(self) -> None:
        """Cut the power: nothing reaches the device any more. Raises CannotRunError where the kernel refuses."""
        root = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(root, SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        except OSError as error:
            raise CannotRunError(f"{self.kind} is not shut down by this kernel ({error.strerror})") from error
        finally:
            os.close(root)

    def settle(self) -> None:
        """Write back all that is dirty, with the directory (syncfs(2)). Raises OSError."""
        root = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            checked(int(_library.syncfs(root)), "syncfs")
        finally:
            os.close(root)


@contextmanager
def loop_filesystem(kind: str, backing: int | None = None) -> Iterator[Filesystem]:
    """Mount a filesystem for the block: a new one in memory, or that in this open file. Raises CannotRunError."""
    memory = os.memfd_create(f"lab-disk-{os.getpid()}") if backing is None else backing
    try:
        if backing is None:
            os.ftruncate(memory, MEBIBYTES[kind] << 20)
        loop = Loop(memory)
        try:
            made = Filesystem(kind, loop.path)
            if backing is None:
                made.make()
            made.mount()
            try:
                yield made
            finally:
                made.close()
        finally:
            loop.close()
    finally:
        if backing is None:
            os.close(memory)


def single_pages(descriptor: int) -> None:
    """Have the file cached in pages of their own: what was written in one call lies in one large folio.

    A store into such a folio makes all its pages dirty, and a sync of one writes all of them. What is clean is dropped,
    and no page is read ahead from now on through this open file (posix_fadvise(2)).
    """
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)


def write_back(descriptor: int, start: int, length: int) -> None:
    """Write these dirty pages back, as the kernel may at any moment, and wait for it (sync_file_range(2)).

    The filesystem's own records are not written: this is no sync. Raises OSError.
    """
    checked(int(_library.sync_file_range(descriptor, start, length, WAIT_WRITE_WAIT)), "sync_file_range")


def is_dirty(descriptor: int, start: int, length: int) -> bool | None:
    """Return whether a page of these bytes is not on the disk yet; None where the kernel does not say.

    It does since Linux 6.5 (cachestat(2)).
    """
    asked, counts = (ctypes.c_uint64 * 2)(start, length), (ctypes.c_uint64 * 5)()
    number, flags = ctypes.c_long(SYS_CACHESTAT), ctypes.c_uint(0)
    if _library.syscall(number, ctypes.c_int(descriptor), asked, counts, flags) < 0:
        return None
    _, dirty, written, *_ = counts
    return dirty + written > 0
