"""System V shared memory: shmget(2), shmat(2).

A segment lives until it is removed by IPC_RMID or ipcrm(1), whoever dies before that. So this one is removed right
after it was made: it has no key (IPC_PRIVATE), its maker is attached, and Linux destroys a segment only once it is
marked and nobody is attached any more. Until then others attach by its id, which POSIX does not promise and Linux does
(shmctl(2), IPC_RMID; shmat(2), Notes). Between the two calls stops are held; only a SIGKILL in the few microseconds
there would leave a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from lab.processes import stops_held

from .files import LESS
from .segments import Memory, SegmentRegion

REMEDY = f"{LESS}, or raise kernel.shmmax, kernel.shmall or kernel.shmmni (sysctl)"


class SystemV(SegmentRegion):
    """The region of System V segments."""

    __slots__ = ()

    @contextmanager
    def memory(self, size: int, *, sparse: bool) -> Iterator[Memory]:
        """A segment that is marked for removal already; pages cost nothing until touched, sparse or not."""
        package = self.package("sysv_ipc")
        segment = self._made(package, size)
        try:
            yield Memory(segment, partial(self._attached, package, segment.id, size))
        finally:
            segment.detach()

    def _made(self, package: ModuleType, size: int) -> Any:
        """shmget, shmat, and IPC_RMID. Raises CannotRunError beyond SHMMAX, SHMALL or SHMMNI.

        IPC_CREAT alone, for with IPC_EXCL sysv_ipc fills the segment with spaces; without a key it is new all the same.
        """
        try:
            with stops_held():
                segment = package.SharedMemory(package.IPC_PRIVATE, package.IPC_CREAT, mode=0o600, size=size)
                segment.remove()
        except (package.Error, OSError, ValueError, MemoryError) as error:
            raise self.refused(size, error, REMEDY) from error
        if segment.size != size:  # sysv_ipc 1.2 takes what does not fit into a size_t for no size at all
            segment.detach()
            raise self.refused(size, "more than a size_t holds", REMEDY)
        return segment

    def _attached(self, package: ModuleType, identifier: int, size: int) -> tuple[Any, Callable[[], object]]:
        try:
            segment = package.attach(identifier)
        except (package.Error, OSError, ValueError, MemoryError) as error:
            raise self.refused(size, error, "let nobody else remove it") from error
        return segment, segment.detach
