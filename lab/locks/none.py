"""No lock at all: what the others are measured against."""

from __future__ import annotations

from .protocol import Abilities, Action


def _nothing() -> None:
    pass


class Unlocked:
    """Excludes nobody; workers do not even record holds under it."""

    name = "none"
    summary = "no lock: the same scenario races unprotected"
    has_ranges = False
    excludes = False
    abilities = Abilities(ranges=False, readers=False, threads=False, fork=False, survives_kill=False)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Two calls that do nothing."""
        return _nothing, _nothing
