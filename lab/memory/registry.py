"""Find the backings by name, and try whether a directory supports one."""

from __future__ import annotations

import mmap
from pathlib import Path

from lab.errors import CannotRunError, unknown

from .mapped import SUFFIX, FileBacking, Remapped, RemappedStream, Streamed
from .protocol import Backing
from .segments import Inherited, Posix, SystemV
from .workspace import scratch

MAPPED = FileBacking("mapped", "MAP_SHARED: stores reach the file and every other mapping of it", mmap.MAP_SHARED)
"""The backing of a scenario that names none."""

BACKINGS: dict[str, Backing] = {
    backing.name: backing
    for backing in (
        MAPPED,
        FileBacking(
            "private", "MAP_PRIVATE: stores stay in the worker's own copy of the page", mmap.MAP_PRIVATE, shares=False
        ),
        Streamed("stream", "pread and pwrite: each load and store is a system call, nothing is mapped", 0),
        Remapped("remapped", "opened, mapped, msynced and closed inside each lock", mmap.MAP_SHARED, (SUFFIX,)),
        RemappedStream("remapped_stream", "opened, pread and pwrite, closed inside each lock", 0, (SUFFIX,)),
        SystemV("sysv", "System V segment (shmget, shmat): memory, attached by its id", of_file=False),
        Posix("posix", "POSIX shared memory (shm_open, mmap): an object in /dev/shm", of_file=False),
        Inherited("anonymous", "MAP_SHARED | MAP_ANONYMOUS: memory without a name, inherited by fork", of_file=False),
    )
}


def find_backing(name: str) -> Backing:
    """Return the backing of this name. Raises UsageError, with the nearest name, where there is none."""
    if name not in BACKINGS:
        raise unknown("backing", name, list(BACKINGS))
    return BACKINGS[name]


def probe(backing: Backing, directory: Path) -> None:
    """Share a byte once, with a new file in the directory; raises CannotRunError where that is refused."""
    try:
        with scratch(directory) as path:
            beside = path.with_name(f"{path.name}-{backing.name}")
            with backing.share(beside, b"\0") as shared:
                shared.open(beside).close()
    except OSError as error:
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error
