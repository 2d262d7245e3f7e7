"""How strong a verdict is, as a short phrase with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from lab.model.figures import one_in, plural
from lab.model.statistics import detection_power, requests_for
from lab.race.strength import SPARE
from lab.results import RandomPrograms, RuleResult, Soaked

from ..promises import DATA, EXCLUSION, PARTS
from .evidence import SOAKED, met_for

FIRST = EXCLUSION["posix"]
"""The lock that data is raced under where nothing speaks against it."""

RACED = frozenset({*EXCLUSION, *DATA})
"""The promises that races judge, and of which a strength may be demanded."""

WOULD_SHOW = "would show"
"""Before the rate of falsely granted requests that would have been noticed with 95 % probability."""


DID_NOT_HOLD = {"unsafe": "broken", "unsupported": "not supported", "unknown": "not tried"}


def strength(name: str, rules: Sequence[RuleResult], random: RandomPrograms | None, soak: Sequence[Soaked]) -> str:
    """What was tried for this promise; empty where nothing was."""
    own = [rule for rule in rules if rule.promise == name and rule.promised and rule.number not in SOAKED]
    rows = [row for row in soak if row.promise == name and row.case.operations]
    said = [*_rules(own), *_random(name, random), *_holds(name, rows), *_rounds(name, rows), *_fairness(name, soak)]
    return "; ".join(said)


def detection_limit(name: str, soak: Sequence[Soaked]) -> float | None:
    """The rarest fault that the races for this promise would have noticed; None where they had no chance to.

    A promise that only rules and random programs judge has none: a rule is one case, which holds or does not.
    """
    return detection_power(_chances(name, soak)) if name in RACED else None


def too_weak(name: str, detects: float | None, soak: Sequence[Soaked], seconds: float) -> str:
    """What the races for this promise lack to notice faults of the rate `detects`, and how to get it; else empty."""
    if detects is None or name not in RACED:
        return ""
    limit, takes = detection_limit(name, soak), requests_for(detects)
    noun = "round" if name == "neighbours" else "contended request"
    asked = f"--detects {detects:g} takes {plural(takes, noun)}"
    if not any(row.promise == name for row in soak):
        return f"inconclusive: nothing was raced, and {asked}; add soak to --only"
    if limit is None:
        return f"inconclusive: no {noun} in any race, and {asked}; give more --seconds or --workers"
    if limit <= detects:
        return ""
    chances = _chances(name, soak)
    longer = ceil(SPARE * seconds * takes / chances)
    return (
        f"inconclusive: {plural(chances, noun)}, which detects {one_in(limit)}; {asked}: give about "
        f"--seconds {longer}, or more --workers"
    )


def _chances(name: str, soak: Sequence[Soaked]) -> int:
    """How often a fault could have shown: where a request met a holder; of neighbours, who never meet, each round."""
    if name == "neighbours":
        return sum(row.case.operations for row in soak if row.promise == name)
    return met_for(name, soak)


def _rules(own: Sequence[RuleResult]) -> Iterator[str]:
    """How many rules judge it, and how many of them did not hold, are not supported or were not tried."""
    if not own:
        return
    counts = {word: sum(rule.verdict == verdict for rule in own) for verdict, word in DID_NOT_HOLD.items()}
    yield ", ".join([plural(len(own), "rule"), *(f"{count} {word}" for word, count in counts.items() if count)])


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
    rounds = sum(row.case.damaged_of or row.case.operations for row in rows)
    damaged = sum(row.case.damaged for row in rows)
    met = met_for(name, rows)
    locks = list(dict.fromkeys(row.case.lock for row in rows))
    under = f" under {' and '.join(locks)}" if locks != [FIRST] else ""
    yield f"{damaged:,} of {rounds:,} damaged{under}" + (f", {met:,} contended" if met else "")
