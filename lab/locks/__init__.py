"""Floor 2: how workers exclude each other. The only place that calls fcntl and flock.

Bring your own lock: `adapt`.
"""

from __future__ import annotations

from .adapted import adapt
from .completed import completed, prepared
from .find import find_lock, lock_names
from .leaky import Leaky
from .native import NATIVE, RECORDER, recorder_told
from .probe import probe as probe_lock
from .protocol import Abilities, Action, Deadlock, GaveUp, Lock, LockFailed, abilities, nested, typed
from .told import told

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
    "find_lock",
    "lock_names",
    "nested",
    "prepared",
    "probe_lock",
    "recorder_told",
    "told",
    "typed",
]
