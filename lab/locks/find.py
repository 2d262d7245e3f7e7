"""Locks by name: the lab's own, the ready ones, those of other packages, and `module:attribute` for yours.

Another package offers one by declaring it in the entry-point group `lab.locks`. The lab's own are declared there like
all others, and looked up without asking it: `importlib.metadata` imports threading and random, and the handlers that
these two run in every forked child double what a fork costs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from lab.errors import UsageError, unknown

from .named import load
from .protocol import Lock
from .ready import READY

GROUP = "lab.locks"
OWN = {
    "none": "lab.locks.none:Unlocked",
    "fcntl": "lab.locks.posix:Fcntl",
    "ofd": "lab.locks.posix:Ofd",
    "flock": "lab.locks.whole_file:Flock",
}
"""In the order in which people read about them; the ready ones and then others, by name, follow."""

BUILT_IN = {**OWN, **READY}


@cache
def _others() -> dict[str, str]:
    """Where to find each lock of another package, as module:attribute."""
    from importlib.metadata import entry_points

    points = sorted((point.name, point.value) for point in entry_points(group=GROUP))
    return {name: value for name, value in points if name not in BUILT_IN}


def lock_names() -> list[str]:
    """All names, the lab's own first."""
    return [*BUILT_IN, *_others()]


def find_lock(name: str) -> Lock:
    """A new lock of this name; of yours, by `module:attribute`, what that gives (`lab.locks.named.load`).

    Raises UsageError, with the nearest name, where there is none or it cannot load, and CannotRunError where a package
    is missing that it needs.
    """
    if name in BUILT_IN:
        return _built_in(BUILT_IN[name])
    if ":" in name:
        return load(name, name)
    if name in _others():
        return load(name, _others()[name])
    if "." in name:
        module, _, attribute = name.rpartition(".")
        raise UsageError(f"unknown lock {name!r}; did you mean {module}:{attribute}?")
    raise unknown("lock", name, lock_names())


def _built_in(place: str) -> Lock:
    module, _, attribute = place.partition(":")
    return cast("Lock", getattr(import_module(module), attribute)())
