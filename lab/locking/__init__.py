"""Layer 3: the locks by which workers exclude each other. It is the only place that calls fcntl and flock.

`adapt` makes a lock of the lab of your own lock.
"""

from __future__ import annotations

from .adapters import adapt
from .control import Leaky
from .kernel import NATIVE, RECORDER, describe_recorder
from .protocol import (
    Abilities,
    Action,
    Deadlock,
    GaveUp,
    Lock,
    LockFailed,
    abilities,
    completed,
    nested,
    prepared,
    typed,
)
from .registry import find_lock, lock_names
from .registry import probe as probe_lock

__all__ = [
    "NATIVE",
    "RECORDER",
    "Abilities",
    "Action",
    "Deadlock",
    "GaveUp",
    "Leaky",
    "Lock",
    "LockFailed",
    "abilities",
    "adapt",
    "completed",
    "describe_recorder",
    "find_lock",
    "lock_names",
    "nested",
    "prepared",
    "probe_lock",
    "typed",
]
