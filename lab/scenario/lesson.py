"""The reason that a lesson gives for its damage, where it is the reason."""

from __future__ import annotations

from .base import Scenario


def lesson_of(kind: type[Scenario], *, locked: bool) -> str:
    """What a scenario says of why it breaks though locked: nothing without a lock, nor of a variant that is cured."""
    return kind.why if locked and not _cured(kind) else ""


def _cured(kind: type[Scenario]) -> bool:
    """True for a variant that has its reason from the lesson before it, in the same file."""
    return any(base.__module__ == kind.__module__ and getattr(base, "why", "") == kind.why for base in kind.__mro__[1:])
