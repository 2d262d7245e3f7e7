"""The regions by name, and how to find out whether a directory supports one."""

from __future__ import annotations

import mmap
from pathlib import Path

from lab.errors import CannotRunError, unknown

from .mapped import FileRegion, Streamed
from .protocol import Region
from .remapped import SUFFIX, Reopened, ReopenedStream
from .segments import Inherited, Posix, SystemV
from .workspace import scratch

MAPPED = FileRegion("mapped", "MAP_SHARED: stores reach the file and every other mapping of it", mmap.MAP_SHARED)
"""The region of a scenario that names none."""

REGIONS: dict[str, Region] = {
    region.name: region
    for region in (
        MAPPED,
        FileRegion(
            "private", "MAP_PRIVATE: stores stay in the worker's own copy of the page", mmap.MAP_PRIVATE, shares=False
        ),
        Streamed("stream", "pread and pwrite: each load and store is a system call, nothing is mapped", 0),
        Reopened("reopened", "opened, mapped, msynced and closed inside each lock", mmap.MAP_SHARED, (SUFFIX,)),
        ReopenedStream("reopened_stream", "opened, pread and pwrite, closed inside each lock", 0, (SUFFIX,)),
        SystemV("sysv", "System V segment (shmget, shmat): memory, attached by its id", of_file=False),
        Posix("posix", "POSIX shared memory (shm_open, mmap): an object in /dev/shm", of_file=False),
        Inherited("anonymous", "MAP_SHARED | MAP_ANONYMOUS: memory without a name, inherited by fork", of_file=False),
    )
}

FORMER = {"shared": MAPPED.name}
"""What regions were called once, as scenario files and results documents of that time have it."""


def region_name(name: str) -> str:
    """The present name of a region, whether it is known or not."""
    return FORMER.get(name, name)


def find_region(name: str) -> Region:
    """The region of this name, present or former. Raises UsageError, with the nearest name, where there is none."""
    known = REGIONS.get(region_name(name))
    if known is None:
        raise unknown("region", name, list(REGIONS))
    return known


def probe(region: Region, directory: Path) -> None:
    """Share a byte once, with a new file in the directory; raises CannotRunError where that is refused."""
    try:
        with scratch(directory) as path:
            beside = path.with_name(f"{path.name}-{region.name}")
            with region.share(beside, b"\0") as shared:
                shared.open(beside).close()
    except OSError as error:
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error
