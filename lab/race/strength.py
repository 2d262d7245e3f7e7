"""The strength that is asked of a clean race (`--detects`, `detects=`), and what a race that is too weak lacks."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from lab.model.figures import one_in, plural
from lab.model.statistics import detection_power, requests_for
from lab.results import Case

SPARE = 1.2
"""How much more than what is needed on average is asked for: no two races meet equally often."""

MORE = 10
"""Times as many rounds as were raced, for a start, where nobody met and no pace tells how many it takes."""


def held_to(detects: float | None, case: Case) -> Case:
    """The case; inconclusive where it is clean and would have missed false grants of this rate.

    Nothing is asked of a race without a lock, and nothing of one whose damage stayed away though it was expected.
    """
    if detects is None or case.lock == "none" or not case.verdict == case.expected == "clean":
        return case
    limit = detection_power(met_by(case))
    if limit is not None and limit <= detects:
        return case
    return replace(case, verdict="inconclusive", reason=_shortfall(case, detects, limit))


def met_by(case: Case) -> int:
    """The requests that could have shown a false grant: they waited for a holder, or were refused beside one."""
    return max(case.contended_requests, case.refused_requests)


def rounds_for(case: Case, rate: float) -> int:
    """Rounds of all workers together that the race would take in all, at the pace so far; 0 where nobody met."""
    met = met_by(case)
    return ceil(requests_for(rate) * case.operations / met) if met else 0


def seconds_for(case: Case, rate: float, wall_s: float) -> float:
    """Seconds that it would take in all, with some to spare, if it took `wall_s` so far; 0 where nobody met."""
    met = met_by(case)
    return wall_s * SPARE * requests_for(rate) / met if met else 0.0


def _shortfall(case: Case, rate: float, limit: float | None) -> str:
    """How far the race came, and what to give it."""
    asked = f"--detects {rate:g} takes {requests_for(rate):,}"
    if not case.holds:
        return f"no hold of a lock was recorded; {asked} requests that meet a holder"
    met = met_by(case)
    if limit is None:
        more = f"--rounds {MORE * case.rounds}, more --workers, or --window"
        return f"no request met a holder; {asked} that do: give {more}"
    trials = ceil(SPARE * case.trials * requests_for(rate) / met)
    return (
        f"{plural(met, 'request')} met a holder, which detects {one_in(limit)}; {asked}: give about "
        f"--trials {trials}, or more --workers"
    )
