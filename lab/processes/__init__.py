"""Layer 3: fork, start barrier, reap, time limits. It is the only place that forks or signals.

The process that forks has one thread; a child never returns into its caller; no child outlives its parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .activity import TOUCH_S, Activity, Deed, doing, note, note_hang
from .child import (
    Child,
    Terminated,
    detach_output,
    die,
    fork_child,
    private_bytes,
    stop_on_sigterm,
    stops_held,
    stops_interrupt,
    stops_noted,
)
from .descendants import Descendants, Orphan

if TYPE_CHECKING:
    from .external import GroupReaper, Outputs, become
    from .pool import Exit, WorkerPool, cpus_for

__all__ = [
    "TOUCH_S",
    "Activity",
    "Child",
    "Deed",
    "Descendants",
    "Exit",
    "GroupReaper",
    "Orphan",
    "Outputs",
    "Terminated",
    "WorkerPool",
    "become",
    "cpus_for",
    "detach_output",
    "die",
    "doing",
    "fork_child",
    "note",
    "note_hang",
    "private_bytes",
    "stop_on_sigterm",
    "stops_held",
    "stops_interrupt",
    "stops_noted",
]

_PLACES = {
    **dict.fromkeys(("GroupReaper", "Outputs", "become"), ".external"),
    **dict.fromkeys(("Exit", "WorkerPool", "cpus_for"), ".pool"),
}
"""The modules that are imported only when one of their names is asked for: most commands fork no worker."""


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_PLACES[name], __name__), name)
    return value
