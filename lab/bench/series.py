"""The cases of a run that measured what something costs, each as its samples: what two runs are compared by."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.errors import UsageError
from lab.results import Bench, Document, Run
from lab.results import Case as Raced

from .wakeup import WakeUp


@dataclass(frozen=True, slots=True)
class Series:
    """Samples in ns, one a repeat or trial; `reason` says why there are none, `note` what else is to be known.

    `within` names the loop of the harness that is the machine's part of it.
    """

    samples_ns: list[float] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    within: str = ""


def series_of(document: Document, name: str) -> dict[str, Series]:
    """Each case by what it is called. Raises UsageError, with the file's name, for a document that tells no costs."""
    if isinstance(document, Bench):
        return {**_of_locks(document), **_of_copying(document)}
    if isinstance(document, Run):
        return {_raced_name(case): _of_race(case) for case in document.cases}
    raise UsageError(f"{name}: is a document of `{document.command}`; give those of `bench`, or of `race`")


def harness_of(document: Document) -> dict[str, Series]:
    """The bare loops that were measured beside the cases: what the machine itself did."""
    loops = document.harness if isinstance(document, Bench) else []
    return {loop.name: Series(loop.samples_ns, loop.reason) for loop in loops}


def _of_locks(document: Bench) -> dict[str, Series]:
    return {
        cost.name: Series(
            cost.samples_ns,
            cost.reason,
            "NOT EXCLUSIVE" if cost.overlapping else "",
            WakeUp.name if cost.price == "hand-off" else "",
        )
        for cost in document.locks
    }


def _of_copying(document: Bench) -> dict[str, Series]:
    return {
        f"{row.region} {row.access}, {row.bytes:,} B" if row.bytes else f"{row.region} {row.access}": Series(
            row.samples_ns, row.reason
        )
        for row in document.copying
    }


def _raced_name(case: Raced) -> str:
    """What tells a race from all others; how long it is belongs to that, for a short one is mostly its start."""
    window = [f"window {case.window_ns:,} ns"] if case.window_ns else []
    region = [case.region] if case.region not in ("mapped", "shared") else []
    return ", ".join([case.scenario, case.lock, *region, f"{case.workers} x {case.rounds:,} rounds", *window])


def _of_race(case: Raced) -> Series:
    samples = [trial.wall_ns / trial.operations for trial in case.trial_samples if trial.completed and trial.operations]
    return Series(samples, "" if samples else case.reason or f"{case.verdict}: no trial was completed", case.verdict)
