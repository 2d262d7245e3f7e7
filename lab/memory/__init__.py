"""Layer 3: the backings, which share bytes between processes. It is the only place that maps files.

`find_backing(name).share(path, content)` makes them; each process opens them by the path:

    with find_backing("sysv").share(path, bytes(8)) as shared:
        ...                             # fork; each child: shared.open(path), then .load, .store or .buffer
        left = shared.read_back()
"""

from __future__ import annotations

from .folder import Folder, enter, open_file, remove_file
from .mapped import FileBacking, Mapping, anonymous, open_ahead
from .protocol import Backing, OpenFile, Shared
from .registry import BACKINGS, MAPPED, find_backing
from .registry import probe as probe_backing
from .workspace import (
    check_parent,
    companions,
    create,
    map_file,
    new_file,
    read_back,
    say_left,
    scratch,
    workspace,
    workspaces,
)

__all__ = [
    "BACKINGS",
    "MAPPED",
    "Backing",
    "FileBacking",
    "Folder",
    "Mapping",
    "OpenFile",
    "Shared",
    "anonymous",
    "check_parent",
    "companions",
    "create",
    "enter",
    "find_backing",
    "map_file",
    "new_file",
    "open_ahead",
    "open_file",
    "probe_backing",
    "read_back",
    "remove_file",
    "say_left",
    "scratch",
    "workspace",
    "workspaces",
]
