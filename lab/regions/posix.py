"""POSIX shared memory: shm_open(3), mmap(2).

The object has a name, under /dev/shm on Linux, and lives until shm_unlink(3), whoever dies before that. So this one
loses its name right after it was made; the object stays for as long as somebody has it open or mapped, and the workers
map the descriptor that they inherit. Between the two calls stops are held; only a SIGKILL in the few microseconds there
would leave a file in /dev/shm.

Its room is reserved by posix_fallocate(3): a store to a page for which /dev/shm, which has a limit, finds none would
be answered with SIGBUS.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import time_ns
from types import ModuleType

from lab.processes import stops_held

from .files import LESS, map_file
from .segments import Memory, SegmentRegion

DIRECTORY = Path("/dev/shm")  # noqa: S108 - shm_overview(7)
REMEDY = f"free some of /dev/shm or mount more, or {LESS}"


class Posix(SegmentRegion):
    """The region of POSIX shared memory."""

    __slots__ = ()

    @contextmanager
    def memory(self, size: int, *, sparse: bool) -> Iterator[Memory]:
        """An object without a name."""
        descriptor = self._made(self.package("posix_ipc"), size)
        try:
            whole, unmap = self._sized(descriptor, size, sparse=sparse)
            try:
                yield Memory(whole, partial(self._mapped, descriptor, size))
            finally:
                unmap()
        finally:
            os.close(descriptor)

    def _made(self, package: ModuleType, size: int) -> int:
        """shm_open and shm_unlink; the descriptor. Raises CannotRunError where there is no /dev/shm to write to."""
        try:
            with stops_held():
                made = package.SharedMemory(f"/lab-{os.getpid()}-{time_ns():x}", package.O_CREX, mode=0o600)
                made.unlink()
        except (package.Error, OSError, ValueError) as error:
            missing = "make /dev/shm writable" if DIRECTORY.is_dir() else "mount a tmpfs on /dev/shm"
            raise self.refused(size, error, f"{missing}, or choose another region") from error
        return int(made.fd)

    def _sized(self, descriptor: int, size: int, *, sparse: bool) -> tuple[mmap.mmap, Callable[[], None]]:
        try:
            if sparse:
                os.ftruncate(descriptor, size)
            else:
                os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            raise self.refused(size, error.strerror, REMEDY) from error
        return self._mapped(descriptor, size)

    def _mapped(self, descriptor: int, size: int) -> tuple[mmap.mmap, Callable[[], None]]:
        try:
            mapping = map_file(descriptor, size)
        except OSError as error:
            raise self.refused(size, error.strerror, REMEDY) from error
        return mapping, mapping.close
