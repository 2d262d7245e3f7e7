"""How much more a clean race would have to show: requests that met a holder, rounds, seconds."""

from __future__ import annotations

from math import ceil, log, log1p

from lab.results import Case

SPARE = 1.2
"""How much more than what is needed on average is asked for: no two races meet equally often."""


def requests_for(rate: float, confidence: float = 0.95) -> int:
    """How many requests must meet a holder for a lock that lies at this rate to be noticed with this confidence.

    The inverse of `lab.model.statistics.detection_power`.
    """
    return ceil(log(1 - confidence) / log1p(-rate))


def rounds_for(case: Case, rate: float) -> int:
    """Rounds of all workers together that the race would take in all, at the pace so far; 0 where nobody met."""
    if not case.contended_requests:
        return 0
    return ceil(requests_for(rate) * case.operations / case.contended_requests)


def seconds_for(case: Case, rate: float, wall_s: float) -> float:
    """Seconds that it would take in all, with some to spare, if it took `wall_s` so far; 0 where nobody met."""
    if not case.contended_requests:
        return 0.0
    return wall_s * SPARE * requests_for(rate) / case.contended_requests
