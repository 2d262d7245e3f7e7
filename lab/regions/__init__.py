"""Floor 2: how bytes are shared. The only place that maps files."""

from __future__ import annotations

from .mapped import REGIONS, Mapping, Region, anonymous, create, read_back
from .mapped import probe as probe_region
from .workspace import scratch, workspace

__all__ = ["REGIONS", "Mapping", "Region", "anonymous", "create", "probe_region", "read_back", "scratch", "workspace"]
