"""The specification: every rule by its number. A new rule is a new entry in one of these modules."""

from __future__ import annotations

from lab.checking.rules import access, blocking, conflicts, descriptions, faults, growth, names, ownership, ranges
from lab.checking.runner import Rule

_RULES = (
    *(rule for each in (ranges, conflicts, ownership, blocking, descriptions, faults) for rule in each.RULES),
    *(rule for each in (names, growth, access) for rule in each.RULES),
    *(*conflicts.MODE_RULES, *blocking.DEADLOCK_RULES, *descriptions.WHOLE_FILE_RULES, *names.LATER_RULES),
    *(rule for each in (faults, names, growth, access) for rule in each.STRESS_RULES),
)

RULES: tuple[Rule, ...] = tuple(sorted(_RULES, key=lambda rule: rule.number))
"""All rules, by number."""

__all__ = ["RULES"]
