"""Locks by name, from the entry-point group `lab.locks`: another package adds one by declaring it there."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from lab.errors import CannotRunError, UsageError, unknown

from .protocol import Lock

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "lab.locks"
FIRST = ("none", "fcntl", "ofd", "flock")
"""The order in which people read about them; others follow by name."""


@cache
def _offered() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # a third of the time that `import lab` would take

    found = {point.name: point for point in entry_points(group=GROUP)}
    if not found:
        raise CannotRunError("no locks are registered: the lab is not installed; run pip install -e . first")
    return found


def lock_names() -> list[str]:
    """All names, the built-in ones first."""
    offered = _offered()
    return [name for name in FIRST if name in offered] + sorted(set(offered) - set(FIRST))


def find_lock(name: str) -> Lock:
    """A new lock of this name. Raises UsageError, with the nearest name, where there is none."""
    try:
        point = _offered()[name]
    except KeyError:
        raise unknown("lock", name, lock_names()) from None
    try:
        return cast("Lock", point.load()())
    except Exception as error:
        raise UsageError(f"lock {name}: {point.value} cannot be loaded ({error}); reinstall it") from error
