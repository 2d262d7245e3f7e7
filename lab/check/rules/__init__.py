"""The specification: every rule by its number. A new rule is a new entry in one of these modules."""

from __future__ import annotations

from ..rule import Rule
from . import blocking, conflicts, deadlocks, descriptions, faults, geometry, modes, ownership, soak, whole_file

_MODULES = (geometry, conflicts, modes, ownership, blocking, deadlocks, descriptions, whole_file, soak, faults)

RULES: tuple[Rule, ...] = tuple(
    sorted((rule for each in _MODULES for rule in each.RULES), key=lambda rule: rule.number)
)
"""All of them."""

__all__ = ["RULES"]
