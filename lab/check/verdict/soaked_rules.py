"""The rules that no program shows, judged by the races of the soak that cover them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.model.figures import plural
from lab.results import Answered, RuleResult, Soaked

from ..soak.plan import HOLDS, NEVER_TWO
from .evidence import about_false_deadlocks, said_of

NONE_MADE_UP = 46
"""The rule that nobody gets EDEADLK who only waits: programs show it, and a race does with many more requests."""

WORST_FIRST: tuple[Answered, ...] = ("unsafe", "unknown", "safe", "unsupported")
"""A race that was refused says nothing against a rule that another race shows."""


def judged_by_soak(rule: RuleResult, soak: Sequence[Soaked]) -> RuleResult:
    """The entry of the rule by the worst race that covers it; where it breaks, it counts for that race's promise."""
    if rule.number == NONE_MADE_UP:
        return _with_deadlocks(rule, soak)
    rows = [row for row in soak if rule.number in row.rules]
    if not rows:
        return rule
    worst = min(rows, key=lambda row: WORST_FIRST.index(_says(rule.number, row)))
    verdict = _says(rule.number, worst)
    if verdict == "safe":
        return replace(rule, verdict=verdict, observed=f"as demanded in {plural(len(rows), 'race')}")
    wanted = "holds apart" if rule.number in (NEVER_TWO, HOLDS) else "no damage"
    return replace(rule, verdict=verdict, promise=worst.promise, expected=wanted, observed=said_of(worst))


def _with_deadlocks(rule: RuleResult, soak: Sequence[Soaked]) -> RuleResult:
    """No race has a cycle: every EDEADLK in one is made up."""
    for _, words in about_false_deadlocks(soak):
        return replace(rule, verdict="unsafe", expected="no EDEADLK", observed=words, calls=[])
    return rule


def _says(number: int, row: Soaked) -> Answered:
    """Two rules are about the holds, the others about the data."""
    broken = row.case.overlapping_holds if number in (NEVER_TWO, HOLDS) else row.case.damage
    if broken:
        return "unsafe"
    return "safe" if row.verdict == "unsafe" else row.verdict
