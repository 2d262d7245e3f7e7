"""Floor 2: how workers exclude each other. The only place that calls fcntl and flock.

Bring your own lock: `adapt`.
"""

from __future__ import annotations

from .adapted import adapt
from .find import find_lock, lock_names
from .foreign import LockFailed
from .leaky import Leaky
from .native import NATIVE, RECORDER, recorder_told
from .protocol import Abilities, Action, Deadlock, Lock, abilities, prepared, typed
from .protocol import probe as probe_lock

__all__ = [
    "NATIVE",
    "RECORDER",
    "Abilities",
    "Action",
    "Deadlock",
    "Leaky",
    "Lock",
    "LockFailed",
    "abilities",
    "adapt",
    "find_lock",
    "lock_names",
    "prepared",
    "probe_lock",
    "recorder_told",
    "typed",
]
