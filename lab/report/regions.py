"""The regions of a run in words: named only where not all cases have the usual one."""

from __future__ import annotations

from lab.regions import MAPPED, region_name
from lab.results import Case, Run


def are_told(run: Run) -> bool:
    """True where the reader needs them to tell the cases apart."""
    return any(region_name(case.region) != MAPPED.name for case in run.cases)


def where(case: Case) -> str:
    """Scenario, lock, and the region where it is another than the usual one."""
    region = region_name(case.region)
    return f"{case.scenario} under {case.lock}" + ("" if region == MAPPED.name else f" in region {region}")
