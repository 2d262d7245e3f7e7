"""Judge a race with a fault by its overlaps, by who is let in afterwards, and by the data where nobody was killed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lab.analysis.holds import Row as Hold
from lab.analysis.statistics import plural
from lab.records import Case, Failure

from .faults import Fault

SHUT_OUT = "gave up waiting for the lock of a killed process"


def shut_out(trial: int, deaths: Iterable[tuple[int, int]], holds: Iterable[Hold], gave_up: int) -> list[Failure]:
    """Return a failure if the lock was requested in vain after the last death, and nobody was let in again.

    Each of the `deaths` is a worker and the time in ns. A lock that waits for ever shows it by the time limit; one that
    gives up ends each round, and with them the trial.
    """
    last = max(((at, worker) for worker, at in deaths), default=None)
    if last is None or not gave_up or any(granted > last[0] for granted, *_ in holds):
        return []
    return [Failure(trial=trial, worker=last[1], round=0, how="late", reason=SHUT_OUT)]


def judged(case: Case, fault: Fault, patience_s: float) -> Case:
    """Return the row of a race with a fault with its verdict.

    Conflicting holds that overlap are the cause where a worker fails too: its lock was taken away. A worker that waits
    for longer than the patience is the lock's fault only if it waits for the lock.
    """
    if case.verdict == "unsupported":
        return replace(case, reason=f"not tried: {case.reason}")
    if case.overlapping_holds:
        times = "once" if case.overlapping_holds == 1 else f"{case.overlapping_holds:,} times"
        failed = f"; then worker {case.failures[0].worker} {case.failures[0].reason}" if case.failures else ""
        reason = f"conflicting holds overlapped, {times}, after {fault.event}{failed}"
        return replace(case, verdict="damaged", reason=reason)
    if case.verdict == "damaged":
        return replace(case, reason=f"{case.reason}, after {fault.event}")
    if any(failure.reason == SHUT_OUT for failure in case.failures):
        return replace(case, reason=f"nobody was let in again after {fault.event}: every request gave up")
    if case.verdict == "timeout" and any(_waited(failure) for failure in case.failures):
        return replace(case, reason=f"nobody was let in for {patience_s:.3g} s after {fault.event}")
    if case.verdict == "clean" and not case.faults_made:
        reason = f"not tried: in {plural(case.operations, 'round')} no worker held the lock when the fault was due"
        return replace(case, verdict="inconclusive", reason=reason)
    return case


def _waited(failure: Failure) -> bool:
    return "waiting for" in failure.reason
