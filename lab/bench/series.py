"""The cases of a run that measured what something costs, each as its samples: what two runs are compared by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lab.errors import UsageError
from lab.results import Bench, Copying, Document, Run
from lab.results import Case as Raced

from .wakeup import WakeUp

BARE_LOOPS = ("C loop", "CPython loop")
BARE_CALL = "call"
"""The region of the calls that copy nothing."""


@dataclass(frozen=True, slots=True)
class Series:
    """Samples in ns, one a repeat or trial; `reason` says why there are none, `note` what else is to be known.

    `controls` name what tells the machine's part of it, the best first: a loop without the lab and without this lock.
    """

    samples_ns: list[float] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    controls: tuple[str, ...] = ()


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


def controls_of(document: Document) -> dict[str, Series]:
    """All that can tell the machine's part: bare loops, of copying the bare calls, of a race the one without a lock."""
    if isinstance(document, Run):
        return {_raced_name(case): _of_race(case) for case in document.cases if case.lock == "none"}
    return harness_of(document) | (_of_copying(document, BARE_CALL) if isinstance(document, Bench) else {})


def _of_locks(document: Bench) -> dict[str, Series]:
    return {
        cost.name: Series(
            cost.samples_ns,
            cost.reason,
            "NOT EXCLUSIVE" if cost.overlapping else "",
            (WakeUp.name,) if cost.price == "hand-off" else BARE_LOOPS,
        )
        for cost in document.locks
    }


def _of_copying(document: Bench, region: str = "") -> dict[str, Series]:
    rows = [row for row in document.copying if region in ("", row.region)]
    return {
        _copying_name(row): Series(
            row.samples_ns, row.reason, controls=() if row.region == BARE_CALL else (f"{BARE_CALL} {row.access}",)
        )
        for row in rows
    }


def _copying_name(row: Copying) -> str:
    return f"{row.region} {row.access}" + (f", {row.bytes:,} B" if row.bytes else "")


def _raced_name(case: Raced) -> str:
    """What tells a race from all others; how long it is belongs to that, for a short one is mostly its start."""
    window = [f"window {case.window_ns:,} ns"] if case.window_ns else []
    region = [case.region] if case.region not in ("mapped", "shared") else []
    return ", ".join([case.scenario, case.lock, *region, f"{case.workers} x {case.rounds:,} rounds", *window])


def _of_race(case: Raced) -> Series:
    samples = [trial.wall_ns / trial.operations for trial in case.trial_samples if trial.completed and trial.operations]
    reason = "" if samples else case.reason or f"{case.verdict}: no trial was completed"
    controls = () if case.lock == "none" else (_raced_name(replace(case, lock="none")),)
    return Series(samples, reason, case.verdict, controls)
