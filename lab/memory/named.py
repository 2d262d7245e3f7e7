"""Make, find and remove shared bytes that have a name, one call at a time, as the tutorial compares them.

A race takes the name away from its segments at once, so that nothing stays behind (`lab.memory.segments`). Here the
name is the point: a process that knows it finds the bytes, and they stay until one removes it.
"""

from __future__ import annotations

import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EEXIST, EINVAL, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from .folder import open_file, remove_file

SIZE = mmap.PAGESIZE
SAID = {"files open": EMFILE, "open files": ENFILE, "ENOSPC": ENOSPC}
"""The texts of the packages in an OSError that has no errno, each with its errno."""

PROJECTS = range(1, 128)
"""The numbers that ftok(3) may be given beside a name, as far as each is one positive char."""


class Specimen(ABC):
    """One page of bytes that are shared in one way; each process uses a copy of its own, inherited by fork.

    `descriptor` is that of the file or object behind the bytes, where there is one. All calls raise OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor: int | None = None
        self._bytes: Any = None

    @property
    @abstractmethod
    def key(self) -> str:
        """Return the key by which another process finds the bytes; empty where there is nothing."""

    @abstractmethod
    def make(self) -> None:
        """Make the bytes and attach this process to them."""

    @abstractmethod
    def find(self) -> None:
        """Attach this process, by the key alone. Raises OSError, ENOENT where nothing is found."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the key, so that later processes do not find the bytes."""

    def load(self) -> int:
        """Return the first byte, as this process sees it."""
        return int(self._attached[0])

    def store(self, value: int) -> None:
        """Store the first byte."""
        self._attached[0] = value

    @property
    def _attached(self) -> Any:
        if self._bytes is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        return self._bytes

    def _map(self, flags: int) -> None:
        self._bytes = mmap.mmap(-1 if self.descriptor is None else self.descriptor, SIZE, flags)


class File(Specimen):
    """A file, mapped shared: the key is its name."""

    flags = mmap.MAP_SHARED

    @property
    def key(self) -> str:
        """Return the file's name."""
        return self._path.name

    def make(self) -> None:
        """Make the file with room for the bytes, and attach."""
        descriptor = open_file(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            os.posix_fallocate(descriptor, 0, SIZE)  # reserved, for a store without room is SIGBUS
        finally:
            os.close(descriptor)
        self.find()

    def find(self) -> None:
        """Attach by open(2) and mmap(2)."""
        self.descriptor = open_file(self._path, os.O_RDWR)
        self._map(self.flags)

    def remove(self) -> None:
        """Remove the name by unlink(2)."""
        remove_file(self._path)


class PrivateFile(File):
    """A file, mapped private: a process that stores has a copy."""

    flags = mmap.MAP_PRIVATE


class Stream(File):
    """A file, read and written: nothing is mapped."""

    def find(self) -> None:
        """Attach by open(2)."""
        self.descriptor = open_file(self._path, os.O_RDWR)

    def load(self) -> int:
        """Read the byte by pread(2)."""
        return os.pread(self._opened, 1, 0)[0]

    def store(self, value: int) -> None:
        """Write the byte by pwrite(2)."""
        os.pwrite(self._opened, bytes([value]), 0)

    @property
    def _opened(self) -> int:
        if self.descriptor is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        return self.descriptor


class SystemVSegment(Specimen):
    """A System V segment: the key is made of the name of a file by ftok(3)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._calls = import_module("sysv_ipc")
        os.close(open_file(path, os.O_WRONLY | os.O_CREAT))
        self._key = self._free_key()

    @property
    def key(self) -> str:
        """Return the key, as ipcs(1) prints it."""
        return _printed(self._key)

    def make(self) -> None:
        """Call shmget(2) with IPC_CREAT | IPC_EXCL, and shmat(2)."""
        with _errno_of(self._calls, EEXIST):
            self._bytes = memoryview(self._calls.SharedMemory(self._key, self._calls.IPC_CREX, size=SIZE, mode=0o600))

    def find(self) -> None:
        """Attach by shmget(2) and shmat(2)."""
        with _errno_of(self._calls, ENOENT):
            self._bytes = memoryview(self._calls.SharedMemory(self._key))

    def remove(self) -> None:
        """Remove the segment by shmctl(2), IPC_RMID."""
        with _errno_of(self._calls, ENOENT):
            self._calls.SharedMemory(self._key).remove()

    def _free_key(self) -> int:
        """Return a key that is free, from the next project number where a foreign segment has the key.

        ftok(3) takes 16 bits of the inode, so that can happen. A segment may be removed by its key only if this
        process made it.
        """
        taken = _keys_taken()
        keys = (self._calls.ftok(str(self._path), project, silence_warning=True) for project in PROJECTS)
        key = next((each for each in keys if each not in taken), None)
        if key is None:
            raise FileExistsError(EEXIST, os.strerror(EEXIST))
        return int(key)


class PosixObject(Specimen):
    """A POSIX shared memory object: the key is a name that begins with a slash."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._calls = import_module("posix_ipc")

    @property
    def key(self) -> str:
        """Return the key, as shm_open(3) takes it: named after the run's folder, which may be in /dev/shm itself."""
        return f"/{self._path.parent.name}-object"

    def make(self) -> None:
        """Call shm_open(3) with O_CREAT | O_EXCL, ftruncate(2) and mmap(2); its room is reserved, as that of a file."""
        with _errno_of(self._calls, EEXIST):
            descriptor = int(self._calls.SharedMemory(self.key, self._calls.O_CREX).fd)
        self.descriptor = descriptor
        os.ftruncate(descriptor, SIZE)
        os.posix_fallocate(descriptor, 0, SIZE)
        self._map(mmap.MAP_SHARED)

    def find(self) -> None:
        """Attach by shm_open(3) and mmap(2)."""
        with _errno_of(self._calls, ENOENT):
            self.descriptor = self._calls.SharedMemory(self.key).fd
        self._map(mmap.MAP_SHARED)

    def remove(self) -> None:
        """Remove the name by shm_unlink(3)."""
        with _errno_of(self._calls, ENOENT):
            self._calls.unlink_shared_memory(self.key)


class Anonymous(Specimen):
    """Memory without a name: only a child of the process that made it has it too."""

    key = ""

    def make(self) -> None:
        """Call mmap(2) with MAP_SHARED | MAP_ANONYMOUS."""
        self._map(mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)

    def find(self) -> None:
        """Raise OSError: there is no key to find it by."""
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))

    def remove(self) -> None:
        """Raise OSError: there is no name to remove."""
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))


@contextmanager
def _errno_of(calls: ModuleType, existential: int) -> Iterator[None]:
    """Raise the exceptions of these packages as an OSError with its errno; one of theirs is both EEXIST and ENOENT."""
    try:
        yield
    except calls.ExistentialError as error:
        raise OSError(existential, str(error)) from error
    except calls.PermissionsError as error:
        raise PermissionError(EACCES, str(error)) from error
    except MemoryError as error:
        raise OSError(ENOMEM, os.strerror(ENOMEM)) from error
    except ValueError as error:  # "The size is invalid", beyond SHMMAX
        raise OSError(EINVAL, str(error)) from error
    except OSError as error:
        code = next((code for said, code in SAID.items() if said in str(error)), None)
        if error.errno or code is None:
            raise
        raise OSError(code, os.strerror(code)) from error


def ftok_keys(path: Path) -> set[str]:
    """Return the keys that this file may have by the formula of ftok(3), NOTES. Raises OSError."""
    found = path.stat()
    of_file = (found.st_dev & 0xFF) << 16 | found.st_ino & 0xFFFF
    return {_printed(project << 24 | of_file) for project in PROJECTS}


def _printed(key: int) -> str:
    return f"0x{key:08x}"


def _keys_taken() -> set[int]:
    """Return the keys of all segments, by proc(5); none where System V is missing."""
    try:
        _, *lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    except OSError:
        return set()
    return {int(line.split(maxsplit=1)[0]) for line in lines}


SPECIMENS: dict[str, type[Specimen]] = {
    "mapped": File,
    "private": PrivateFile,
    "stream": Stream,
    "sysv": SystemVSegment,
    "posix": PosixObject,
    "anonymous": Anonymous,
}
"""The classes of specimens, by the name of the backing that shares bytes in the same way."""
