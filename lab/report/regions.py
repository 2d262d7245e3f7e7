"""The regions of a run in words: named only where not all cases have the usual one."""

from __future__ import annotations

from lab.regions import MAPPED, region_name
from lab.results import ITS_OWN, Case, Run

from .programs import lock_of


def are_told(run: Run) -> bool:
    """True where the reader needs them to tell the cases apart."""
    return any(region_name(case.region) not in (MAPPED.name, ITS_OWN) for case in run.cases)


def where(case: Case) -> str:
    """Scenario, lock, and the region where it is another than the usual one."""
    region = region_name(case.region)
    if region == ITS_OWN:
        return case.scenario
    return f"{case.scenario} under {lock_of(case)}" + ("" if region == MAPPED.name else f" in region {region}")
