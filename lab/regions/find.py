"""The regions by name, and how to find out whether a directory supports one."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from lab.errors import CannotRunError, unknown

from .files import companions
from .mapped import Region
from .reopened import SUFFIX, Reopened
from .stream import Streamed
from .workspace import scratch

REGIONS: dict[str, Region] = {
    region.name: region
    for region in (
        Region("shared", "MAP_SHARED: stores reach the file and every other mapping of it", mmap.MAP_SHARED),
        Region("private", "MAP_PRIVATE: stores stay in the worker's own copy of the page", mmap.MAP_PRIVATE),
        Streamed("stream", "pread and pwrite: each load and store is a system call, nothing is mapped", 0),
        Reopened("reopened", "opened, mapped, msynced and closed inside each lock", mmap.MAP_SHARED, (SUFFIX,)),
    )
}


def find_region(name: str) -> Region:
    """The region of this name. Raises UsageError, with the nearest name, where there is none."""
    if name not in REGIONS:
        raise unknown("region", name, list(REGIONS))
    return REGIONS[name]


def probe(region: Region, directory: Path) -> None:
    """Open a new file in the directory once; raises CannotRunError where that is refused."""
    try:
        with scratch(directory) as path, companions(path, region.beside):
            os.truncate(path, 1)
            region.open(path, 1).close()
    except OSError as error:
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error
