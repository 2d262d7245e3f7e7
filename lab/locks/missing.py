"""A lock that cannot be had here, in its place in a race: what can be raced is raced all the same."""

from __future__ import annotations

from contextlib import AbstractContextManager

from lab.errors import CannotRunError

from .protocol import Action, Lock


class Missing:
    """The lock of this name; whoever wants to use it learns why there is none."""

    summary = "not to be had here"
    has_ranges = False
    excludes = True

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self._why = why

    def prepared(self, path: str) -> AbstractContextManager[Lock]:
        """Raises CannotRunError."""
        raise CannotRunError(self._why)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Raises CannotRunError."""
        raise CannotRunError(self._why)
