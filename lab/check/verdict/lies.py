"""How often a lock lets two in, of those who met a holder: in its races, or in a rule alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from lab.model.statistics import detection_power
from lab.results import RuleResult, Soaked

from ..promises import EXCLUSION
from .evidence import contended
from .seen import double_grant, plainly


def share(name: str, soak: Sequence[Soaked]) -> float:
    """How many of the requests for this lock that met a holder were let in beside him."""
    overlaps = sum(row.case.overlapping_holds for row in _waited(name, soak))
    met = _met(name, soak)
    return overlaps / met if met else 0.0


def rarest(names: Sequence[str], rules: Sequence[RuleResult], soak: Sequence[Soaked]) -> float:
    """The smallest share of these locks, which lie; infinite where no lie was counted."""
    return min((found for name in names if (found := share(name, soak) or _unseen(name, rules, soak))), default=inf)


def _unseen(name: str, rules: Sequence[RuleResult], soak: Sequence[Soaked]) -> float:
    """The share that the races would have shown of a lock that lied to a rule by chance, and to nobody in a race."""
    by_chance = any(double_grant(rule) == name and plainly(rule) for rule in rules)
    return (detection_power(_met(name, soak)) or 0.0) if by_chance else 0.0


def _met(name: str, soak: Sequence[Soaked]) -> int:
    return sum(contended(row) for row in _waited(name, soak))


def _waited(name: str, soak: Sequence[Soaked]) -> list[Soaked]:
    """The races in which it was waited for: those that ask again and again are refused far more often.

    Those count only where two were in nowhere else.
    """
    rows = [row for row in soak if row.case.lock == EXCLUSION[name]]
    waited = [row for row in rows if not row.polled]
    return waited if any(row.case.overlapping_holds for row in waited) else rows
