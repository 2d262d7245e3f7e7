"""Floor 2: how bytes are shared. The only place that maps files.

`find_region(name).share(path, content)` makes them; each process opens them by the path:

    with find_region("sysv").share(path, bytes(8)) as shared:
        ...                             # fork; each child: shared.open(path), then .load, .store or .buffer
        left = shared.read_back()
"""

from __future__ import annotations

from .folder import Folder, enter, open_file, remove_file
from .mapped import FileRegion, Mapping, anonymous
from .protocol import OpenFile, Region, Shared
from .registry import MAPPED, REGIONS, find_region, region_name
from .registry import probe as probe_region
from .workspace import companions, create, map_file, new_file, read_back, say_left, scratch, workspace

__all__ = [
    "MAPPED",
    "REGIONS",
    "FileRegion",
    "Folder",
    "Mapping",
    "OpenFile",
    "Region",
    "Shared",
    "anonymous",
    "companions",
    "create",
    "enter",
    "find_region",
    "map_file",
    "new_file",
    "open_file",
    "probe_region",
    "read_back",
    "region_name",
    "remove_file",
    "say_left",
    "scratch",
    "workspace",
]
