"""How strong a verdict is, as a short phrase with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.model.figures import one_in, plural
from lab.model.statistics import detection_power
from lab.results import RandomPrograms, RuleResult, Soaked

from ..promises import DATA, EXCLUSION, PARTS
from .evidence import SOAKED, met_for

FIRST = EXCLUSION["posix"]
"""The lock that data is raced under where nothing speaks against it."""

WOULD_SHOW = "would show"
"""Before the rate of falsely granted requests that would have been noticed with 95 % probability."""


def strength(name: str, rules: Sequence[RuleResult], random: RandomPrograms | None, soak: Sequence[Soaked]) -> str:
    """What was tried for this promise; empty where nothing was."""
    own = [rule for rule in rules if rule.promise == name and rule.promised and rule.number not in SOAKED]
    rows = [row for row in soak if row.promise == name and row.case.operations]
    said = [*_rules(own), *_random(name, random), *_holds(name, rows), *_rounds(name, rows), *_fairness(name, soak)]
    return "; ".join(said)


def _rules(own: Sequence[RuleResult]) -> Iterator[str]:
    passed = sum(rule.verdict == "safe" for rule in own)
    if own:
        yield plural(len(own), "rule") if passed == len(own) else f"{passed} of {plural(len(own), 'rule')}"


def _random(name: str, random: RandomPrograms | None) -> Iterator[str]:
    if random and random.programs and name in PARTS["random"]:
        yield plural(random.programs, "program")


def _holds(name: str, rows: Sequence[Soaked]) -> Iterator[str]:
    if name not in EXCLUSION or not rows:
        return
    met = met_for(name, rows)
    overlaps = sum(row.case.overlapping_holds for row in rows)
    if overlaps:
        yield f"{plural(overlaps, 'overlap')}, {met:,} contended"
    elif met:
        yield f"{WOULD_SHOW} {one_in(detection_power(met))}"
    else:
        yield "0 contended"


def _fairness(name: str, soak: Sequence[Soaked]) -> Iterator[str]:
    """How evenly the workers came to hold the locks that they waited for: Jain's index, at its worst."""
    waited = [row.case.fairness for row in soak if row.promise in EXCLUSION and not row.polled and row.case.fairness]
    if name == "blocking" and waited:
        yield f"fairness {min(waited):.2f}"


def _rounds(name: str, rows: Sequence[Soaked]) -> Iterator[str]:
    """How many rounds the data took, and under which locks where they are not the ones that come first."""
    if name not in DATA or not rows:
        return
    rounds = sum(row.case.operations for row in rows)
    damaged = sum(row.case.damaged for row in rows)
    met = met_for(name, rows)
    locks = list(dict.fromkeys(row.case.lock for row in rows))
    under = f" under {' and '.join(locks)}" if locks != [FIRST] else ""
    yield f"{damaged:,} of {rounds:,} damaged{under}" + (f", {met:,} contended" if met else "")
