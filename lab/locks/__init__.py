"""Floor 2: how workers exclude each other. The only place that calls fcntl and flock."""

from __future__ import annotations

from .find import find_lock, lock_names
from .leaky import Leaky
from .protocol import Action, Deadlock, Lock
from .protocol import probe as probe_lock

__all__ = ["Action", "Deadlock", "Leaky", "Lock", "find_lock", "lock_names", "probe_lock"]
