"""Floor 2: fork, start barrier, reap, time limits. The only place that forks or signals.

The process that forks has one thread; a child never returns into its caller; no child outlives its parent.
"""

from __future__ import annotations

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
from .crew import Crew, Exit, cpus_for
from .descendants import Descendants, Orphan
from .keeper import Keeper
from .program import Outputs, become

__all__ = [
    "Child",
    "Crew",
    "Descendants",
    "Exit",
    "Keeper",
    "Orphan",
    "Outputs",
    "Terminated",
    "become",
    "cpus_for",
    "detach_output",
    "die",
    "fork_child",
    "private_bytes",
    "stop_on_sigterm",
    "stops_held",
    "stops_interrupt",
    "stops_noted",
]
