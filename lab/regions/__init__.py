"""Floor 2: how bytes are shared. The only place that maps files."""

from __future__ import annotations

from .files import companions, create, map_file, read_back
from .find import REGIONS, find_region
from .find import probe as probe_region
from .mapped import Mapping, Region, anonymous
from .protocol import OpenFile
from .workspace import scratch, workspace

__all__ = [
    "REGIONS",
    "Mapping",
    "OpenFile",
    "Region",
    "anonymous",
    "companions",
    "create",
    "find_region",
    "map_file",
    "probe_region",
    "read_back",
    "scratch",
    "workspace",
]
