"""Shared bytes under their own names, made, found, and removed one call at a time, as the chapter compares them.

A race takes the name away from its segments at once, so that nothing stays behind (`lab.regions.segments`). Here the
name is the point: who knows it finds the bytes, and they stay until somebody removes it.
"""

from __future__ import annotations

import mmap
import os
from abc import ABC, abstractmethod
from errno import ENOENT
from importlib import import_module
from pathlib import Path
from typing import Any

SIZE = mmap.PAGESIZE


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
        """What another process finds the bytes by; empty where there is nothing."""

    @abstractmethod
    def make(self) -> None:
        """Set the bytes up and attach this process to them."""

    @abstractmethod
    def find(self) -> None:
        """Attach this process, by the key alone. Raises OSError, ENOENT where nothing is found."""

    @abstractmethod
    def remove(self) -> None:
        """Take the key away from whoever comes later."""

    def load(self) -> int:
        """The first byte, as this process sees it."""
        return int(self._attached[0])

    def store(self, value: int) -> None:
        """Put a first byte."""
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
        """The file's name."""
        return self._path.name

    def make(self) -> None:
        """Make the file with room for the bytes, and attach."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.ftruncate(descriptor, SIZE)
        os.close(descriptor)
        self.find()

    def find(self) -> None:
        """open(2), mmap(2)."""
        self.descriptor = os.open(self._path, os.O_RDWR)
        self._map(self.flags)

    def remove(self) -> None:
        """unlink(2)."""
        self._path.unlink()


class PrivateFile(File):
    """A file, mapped private: whoever stores has a copy."""

    flags = mmap.MAP_PRIVATE


class Stream(File):
    """A file, read and written: nothing is mapped."""

    def find(self) -> None:
        """open(2)."""
        self.descriptor = os.open(self._path, os.O_RDWR)

    def load(self) -> int:
        """pread(2)."""
        return os.pread(self._opened, 1, 0)[0]

    def store(self, value: int) -> None:
        """pwrite(2)."""
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
        path.touch(0o600)
        self._key = self._calls.ftok(str(path), 1, silence_warning=True)

    @property
    def key(self) -> str:
        """As ipcs(1) prints it."""
        return f"0x{self._key:08x}"

    def make(self) -> None:
        """shmget(2) with IPC_CREAT | IPC_EXCL, shmat(2)."""
        self._get(flags=self._calls.IPC_CREX, size=SIZE, mode=0o600)

    def find(self) -> None:
        """shmget(2), shmat(2)."""
        self._get()

    def remove(self) -> None:
        """shmctl(2), IPC_RMID."""
        try:
            self._calls.SharedMemory(self._key).remove()
        except self._calls.ExistentialError as error:
            raise FileNotFoundError(ENOENT, str(error)) from error

    def _get(self, **how: int) -> None:
        try:
            self._bytes = memoryview(self._calls.SharedMemory(self._key, **how))
        except self._calls.ExistentialError as error:
            raise FileNotFoundError(ENOENT, str(error)) from error


class PosixObject(Specimen):
    """A POSIX shared memory object: the key is a name that begins with a slash."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._calls = import_module("posix_ipc")

    @property
    def key(self) -> str:
        """As shm_open(3) takes it."""
        return f"/lab-{self._path.parent.name}"

    def make(self) -> None:
        """shm_open(3) with O_CREAT | O_EXCL, ftruncate(2), mmap(2)."""
        self._open(self._calls.O_CREX, size=SIZE)

    def find(self) -> None:
        """shm_open(3), mmap(2)."""
        self._open(0)

    def remove(self) -> None:
        """shm_unlink(3)."""
        try:
            self._calls.unlink_shared_memory(self.key)
        except self._calls.ExistentialError as error:
            raise FileNotFoundError(ENOENT, str(error)) from error

    def _open(self, flags: int, size: int = 0) -> None:
        try:
            self.descriptor = self._calls.SharedMemory(self.key, flags, size=size).fd
        except self._calls.ExistentialError as error:
            raise FileNotFoundError(ENOENT, str(error)) from error
        self._map(mmap.MAP_SHARED)


class Anonymous(Specimen):
    """Memory without a name: only a child of who made it has it too."""

    key = ""

    def make(self) -> None:
        """mmap(2) with MAP_SHARED | MAP_ANONYMOUS."""
        self._map(mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)

    def find(self) -> None:
        """There is nothing to ask for."""
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))

    def remove(self) -> None:
        """Nothing has a name."""
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))


SPECIMENS: dict[str, type[Specimen]] = {
    "mapped": File,
    "private": PrivateFile,
    "stream": Stream,
    "sysv": SystemVSegment,
    "posix": PosixObject,
    "anonymous": Anonymous,
}
"""By the name of the region that shares bytes so."""
