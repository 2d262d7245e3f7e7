"""Locks by name, from the entry-point group `lab.locks`: another package adds one by declaring it there.

The lab's own are declared there like all others, and looked up without asking it: `importlib.metadata` imports
threading and random, and the handlers that these two run in every forked child double what a fork costs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from lab.errors import UsageError, unknown

from .protocol import Lock

GROUP = "lab.locks"
OWN = {
    "none": "lab.locks.none:Unlocked",
    "fcntl": "lab.locks.posix:Fcntl",
    "ofd": "lab.locks.posix:Ofd",
    "flock": "lab.locks.whole_file:Flock",
}
"""In the order in which people read about them; others follow by name."""


@cache
def _offered() -> dict[str, str]:
    """Where to find each lock, as module:attribute."""
    from importlib.metadata import entry_points

    others = sorted((point.name, point.value) for point in entry_points(group=GROUP))
    return {**OWN, **{name: value for name, value in others if name not in OWN}}


def lock_names() -> list[str]:
    """All names, the lab's own first."""
    return list(_offered())


def find_lock(name: str) -> Lock:
    """A new lock of this name. Raises UsageError, with the nearest name, where there is none or it cannot load."""
    place = OWN.get(name) or _offered().get(name)
    if place is None:
        raise unknown("lock", name, lock_names())
    module, _, attribute = place.partition(":")
    try:
        return cast("Lock", getattr(import_module(module), attribute)())
    except Exception as error:
        raise UsageError(f"lock {name}: {place} cannot be loaded ({error}); reinstall the package it is in") from error
