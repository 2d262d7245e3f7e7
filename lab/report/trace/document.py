"""The trace of a run: a process is a case, a row of it a worker.

Its form is the JSON object of "Trace Event Format" (the document of Google's Trace Viewer), which Perfetto reads too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

from lab.model.figures import plural
from lab.regions import region_name
from lab.report.programs import lock_of
from lab.report.regions import are_told
from lab.results import Accesses, Bench, Case, Document, LockCost, Recording, Run

from .events import Drawn, Event, instant, named, plain

NOT_RECORDED = "nothing was written down"
TIMES = "microseconds from the release of the start barrier, which each case has for itself"


class Traced(NamedTuple):
    """A case and what was written down of it; where that is nothing, why."""

    name: str
    workers: int
    recording: Recording | None
    why: str


def rendered(done: Document) -> bytes:
    """The trace as JSON, one event a line; bytes of names that are no text become `?`."""
    trace = trace_of(done)
    events = ",\n".join(_json(event) for event in trace.pop("traceEvents"))
    return f'{_json(trace)[:-1]},"traceEvents":[\n{events}\n]}}\n'.encode("utf-8", "replace")


def _json(part: dict[str, Any]) -> str:
    return json.dumps(part, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def trace_of(done: Document) -> dict[str, Any]:
    """The trace of a race or of a benchmark of locks; of other documents one without events."""
    numbers = count(1)
    return {
        "displayTimeUnit": "ns",
        "otherData": _other_data(done),
        "traceEvents": [event for case in _cases(done) for event in _process(case, numbers)],
    }


def _other_data(done: Document) -> dict[str, str]:
    told = {"command": done.command, "times": TIMES}
    if isinstance(done, Run | Bench):
        place = done.environment
        told |= {"started": done.started, "lab": place.lab, "python": place.python, "recorder": place.recorder}
        told |= {"kernel": place.kernel, "cpu": place.cpu, "filesystem": place.filesystem}
    return {name: plain(text) for name, text in told.items()}


def _cases(done: Document) -> Iterator[Traced]:
    if isinstance(done, Run):
        for case in done.cases:
            yield Traced(_name(case, done), case.workers, case.recording, case.reason)
    elif isinstance(done, Bench):
        for cost in done.locks:
            yield Traced(cost.name, cost.workers, _window(cost), cost.reason)


def _name(case: Case, run: Run) -> str:
    regions = [region_name(case.region)] if are_told(run) else []
    return ", ".join([case.scenario, lock_of(case), *regions, plural(case.workers, "worker")])


def _window(cost: LockCost) -> Recording | None:
    """The holds that a benchmark keeps, as a recording in which nothing else was written down."""
    holds = cost.holds
    if not holds.worker:
        return None
    return Recording(
        rounds=0,
        done=[0] * cost.workers,
        attempts=1,
        wall_ns=0,
        size=max(map(sum, zip(holds.start, holds.length, strict=True))),
        fields=[],
        blocks=[],
        holds=holds,
        accesses=Accesses(),
    )


def _process(case: Traced, numbers: Iterator[int]) -> Iterator[Event]:
    """The events of one case: the names of its rows, then all else in the order of time.

    Perfetto keeps a row's name by its `tid` alone, and takes the one that equals the `pid` for the main thread: no two
    numbers of a document are the same.
    """
    pid = next(numbers)
    yield from named("process", pid, pid, case.name)
    if case.recording:
        yield from Drawn(case.recording, case.workers, pid, numbers).events()
    else:
        tid = next(numbers)
        yield from named("thread", pid, tid, NOT_RECORDED)
        yield instant(NOT_RECORDED, pid, tid, 0, case.why)
