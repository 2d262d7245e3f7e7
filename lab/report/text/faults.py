"""Say in a sentence for each lock, or program, which faults were made and what came of them."""

from __future__ import annotations

from collections.abc import Iterator

from lab.records import Case, Run
from lab.report.format import plural

from .failures import lock_of


def of_faults(run: Run) -> Iterator[str]:
    """Yield a sentence for each lock or program that was raced with faults."""
    groups: dict[str, list[Case]] = {}
    for case in run.cases:
        if case.fault:
            name = case.program if case.programs == case.workers else lock_of(case)
            groups.setdefault(name, []).append(case)
    for name, cases in groups.items():
        tried = [case for case in cases if case.verdict != "unsupported"]
        broken = [case for case in tried if not case.as_expected]
        if broken:
            kinds = ", ".join(dict.fromkeys(case.fault for case in broken))
            yield f"{name}, with faults: NOT CLEAN in {len(broken)} of {plural(len(tried), 'case')}: {kinds}."
        elif tried:
            made = plural(sum(case.faults_made for case in tried), "fault")
            yield f"{name}, with faults: clean in {plural(len(tried), 'case')}; {made} made."


def is_only_reported(case: Case, run: Run) -> bool:
    """Return True for the row of a fault that was made by default, and in which nothing broke."""
    return bool(case.fault) and not run.options.faults and case.verdict in ("timeout", "unsupported", "inconclusive")
