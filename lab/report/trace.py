"""Write a recorded run as a trace for Perfetto and chrome://tracing: a `document` of `events`, which stand on `rows`.

A process of the trace is a case, a row of it a worker. Its form is the JSON object of "Trace Event Format" (the
document of Google's Trace Viewer), which Perfetto reads too.

The events of a recorded trial are bars on the rows of its workers, and instants where something went wrong. Requests
for locks are bars: bars that a viewer of traces draws on one row must nest, or follow one another.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from math import copysign, inf, nextafter
from operator import itemgetter
from typing import Any, NamedTuple

from lab.analysis.holds import Span
from lab.analysis.statistics import plural
from lab.host.environment import anonymous_text
from lab.records import NEVER, Accesses, Bench, Case, Document, Holds, LockCost, Recording, Run, Watch

from .page.build import PATH
from .page.problems import Story
from .text.failures import lock_of, needs_backings


class Request(NamedTuple):
    """One request in ns from the release of the barrier; one never granted is granted, and ends, where the trial does.

    A lock that was never released ends where another worker was granted a conflicting one, else with the trial: the
    kernel releases it when the process ends (fcntl_locking(2)), and does not say when.
    """

    requested_ns: int
    granted_ns: int
    ended_ns: int
    worker: int
    span: Span
    granted: bool
    released: bool

    def against(self, other: Request) -> bool:
        """Return True when it is another worker's, and the two may not be held together."""
        return self.worker != other.worker and self.span.conflicts(other.span)


def end_of(recording: Recording) -> int:
    """Return the moment at which a trial ended, or the last that is known of it; in ns from the barrier's release."""
    holds, accesses = recording.holds, recording.accesses
    moments = (
        holds.requested_ns, holds.granted_ns, holds.released_ns, accesses.begun_ns, accesses.ended_ns
    )  # fmt: skip
    return max(recording.wall_ns, *(max(column, default=0) for column in moments))


def requests_of(holds: Holds, end_ns: int) -> list[Request]:
    """Return all requests of a trial that ended at this moment, in the order in which they were made."""
    made = [
        Request(
            each.requested_ns,
            each.granted_ns if each.was_granted else end_ns,
            each.released_ns if each.released_ns != NEVER else end_ns,
            each.worker,
            each.span,
            each.was_granted,
            each.released_ns != NEVER,
        )
        for each in holds.requests()
    ]
    made.sort(key=lambda request: request.requested_ns)
    return [_taken_back(request, made) if request.granted and not request.released else request for request in made]


def _taken_back(kept: Request, made: Sequence[Request]) -> Request:
    later = (other for other in made if other.granted and other.granted_ns > kept.granted_ns and other.against(kept))
    return kept._replace(ended_ns=min((other.granted_ns for other in later), default=kept.ended_ns))


def lanes(requests: Sequence[Request]) -> list[int]:
    """Return for each request its row among those of its worker, from 0: the first in which it nests, or follows."""
    held: dict[int, list[list[Request]]] = defaultdict(list)
    return [_lane(held[request.worker], request) for request in requests]


def _lane(rows: list[list[Request]], request: Request) -> int:
    for number, row in enumerate(rows):
        while row and row[-1].ended_ns <= request.requested_ns:
            row.pop()
        if not row or (row[-1].granted_ns <= request.requested_ns and request.ended_ns <= row[-1].ended_ns):
            row.append(request)
            return number
    rows.append([request])
    return len(rows) - 1


def holders(requests: Sequence[Request]) -> Iterator[int | None]:
    """Yield for each request the worker that held what it asked for when it asked, or None."""
    waiting = sorted((request for request in requests if request.granted), key=lambda request: -request.granted_ns)
    held: list[Request] = []
    for request in requests:
        while waiting and waiting[-1].granted_ns <= request.requested_ns:
            held.append(waiting.pop())
        held = [other for other in held if other.ended_ns > request.requested_ns]
        yield next((other.worker for other in held if other.against(request)), None)


Event = dict[str, Any]


class TrialDrawing:
    """A recorded trial as rows and the events on them; `numbers` are those that no other row or process has."""

    def __init__(self, recording: Recording, workers: int, pid: int, numbers: Iterator[int]) -> None:
        self._recording = recording
        self._story = Story(recording, workers)
        self._end = end_of(recording)
        self._requests = requests_of(recording.holds, self._end)
        self._lanes = lanes(self._requests)
        self._pid = pid
        self._rows = {row: next(numbers) for row in sorted(self._needed())}

    def events(self) -> Iterator[Event]:
        """Yield the names of the rows, then all else in the order of time."""
        for (worker, lane), tid in self._rows.items():
            who = self._who(worker)
            yield from named("thread", self._pid, tid, f"{who}, row {lane + 1}" if lane else who)
        yield from sorted([*self._bars(), *self._problems(), *self._at_the_end()], key=itemgetter("ts"))

    def _needed(self) -> set[tuple[int, int]]:
        """Return a row of each worker, and of each second owner that was active; more where holds overlap unnested."""
        workers = {*range(len(self._recording.done)), *self._recording.accesses.worker}
        requested = {(each.worker, lane) for each, lane in zip(self._requests, self._lanes, strict=True)}
        return {(worker, 0) for worker in workers} | requested

    def _who(self, worker: int) -> str:
        return self._story.who(worker).replace("the second owner", "second owner")

    def _bars(self) -> Iterator[Event]:
        for request, lane, holder in zip(self._requests, self._lanes, holders(self._requests), strict=True):
            tid = self._rows[request.worker, lane]
            met_holder = "nobody" if holder is None else self._who(holder)
            name = "waiting" if request.granted else "waiting, never granted"
            yield self._bar(name, tid, request.requested_ns, request.granted_ns, request, met_holder)
            if request.granted:
                name = "holding" if request.released else "holding, never released"
                yield self._bar(name, tid, request.granted_ns, request.ended_ns, request, met_holder)

    def _bar(self, name: str, tid: int, begin_ns: int, end_ns: int, request: Request, holder: str) -> Event:
        return bar(name, self._pid, tid, begin_ns, end_ns, {**arguments_of(request), "holder": holder})

    def _problems(self) -> Iterator[Event]:
        """Yield each problem on the row of the worker that it happened to."""
        for each in self._story.problems():
            tid = self._rows[each.workers[0], 0]
            yield instant(each.kind, self._pid, tid, each.at_ns, each.sentence)

    def _at_the_end(self) -> Iterator[Event]:
        """Yield what concerns the whole case: what the trial's check found, which workers failed, what is missing."""
        for name, message in _found(self._recording):
            yield instant(name, self._pid, self._rows[0, 0], self._end, message, scope="p")


def _found(recording: Recording) -> Iterator[tuple[str, str]]:
    for damage in recording.damage:
        yield f"damage: {damage.kind}", "; ".join([f"{damage.count:,} of {damage.of:,}", *damage.evidence])
    for failure in recording.failures:
        yield "failure", failure
    if recording.unrecorded_holds:
        yield "not all is shown", f"{plural(recording.unrecorded_holds, 'hold')} found no room in the log"


def arguments_of(request: Request) -> dict[str, Any]:
    """Return the bytes and the mode of a request, as a viewer shows them."""
    start, length, write = request.span
    return {"start": start, "length": length, "mode": "write" if write else "read"}


def bar(name: str, pid: int, tid: int, begin_ns: int, end_ns: int, arguments: dict[str, Any]) -> Event:
    """Return an event that lasts, on a row."""
    return {
        "name": name, "cat": "lock", "ph": "X", "pid": pid, "tid": tid,
        "ts": _us(begin_ns), "dur": _us(end_ns - begin_ns), "args": arguments,
    }  # fmt: skip


def named(kind: str, pid: int, tid: int, name: str) -> Iterator[Event]:
    """Yield the name of a process or of a thread, which is a row, and its place: in the order of the numbers."""
    about = {"ph": "M", "pid": pid, "tid": tid}
    place = pid if kind == "process" else tid
    yield {"name": f"{kind}_name", **about, "args": {"name": plain(name)}}
    yield {"name": f"{kind}_sort_index", **about, "args": {"sort_index": place}}


def instant(
    name: str, pid: int, tid: int, at_ns: int, message: str, *, scope: str = "t", category: str = "wrong"
) -> Event:
    """Return an event of one moment, on a row, or with the scope `p` in the process."""
    return {
        "name": plain(name), "cat": category, "ph": "i", "s": scope, "pid": pid, "tid": tid,
        "ts": _us(at_ns), "args": {"message": plain(message)},
    }  # fmt: skip


def plain(text: str) -> str:
    """Return the text without the user's name, and with absolute paths cut to the last name."""
    return PATH.sub(r"\1", anonymous_text(text))


def _us(ns: int) -> float:
    """Return microseconds that are the same ns again, whether a reader rounds them or cuts them off, as Perfetto does.

    1.001 * 1000 is less than 1001: cut off, a bar would begin inside the one before it, and Perfetto would drop it.
    """
    us = ns / 1000
    return us if int(us * 1000) == ns else nextafter(us, copysign(inf, us))


NOT_RECORDED = "nothing was written down"
TIMES = "microseconds from the release of the start barrier, which each case has for itself"
WATCHED_TIMES = "microseconds from the start of the first program"


class TracedCase(NamedTuple):
    """A case and its recording; where there is none, the reason."""

    name: str
    workers: int
    recording: Recording | None
    why: str


def render(done: Document) -> bytes:
    """Return the trace as JSON, one event on each line; bytes of names that are no text become `?`."""
    trace = trace_of(done)
    events = ",\n".join(_json(event) for event in trace.pop("traceEvents"))
    return f'{_json(trace)[:-1]},"traceEvents":[\n{events}\n]}}\n'.encode("utf-8", "replace")


def _json(part: dict[str, Any]) -> str:
    return json.dumps(part, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def trace_of(done: Document) -> dict[str, Any]:
    """Return the trace of a race, a benchmark of locks, or what was watched; of other documents one without events."""
    numbers = count(1)
    events: Iterator[Event] = (event for case in _cases(done) for event in _process(case, numbers))
    if isinstance(done, Watch):
        from .watched_trace import watched_events

        events = watched_events(done, numbers)
    return {"displayTimeUnit": "ns", "otherData": _other_data(done), "traceEvents": list(events)}


def _other_data(done: Document) -> dict[str, str]:
    texts = {"command": done.command, "times": WATCHED_TIMES if isinstance(done, Watch) else TIMES}
    if isinstance(done, Run | Bench | Watch):
        place = done.environment
        texts |= {"started": done.started, "lab": place.lab, "python": place.python, "recorder": place.recorder}
        texts |= {"kernel": place.kernel, "cpu": place.cpu, "filesystem": place.filesystems}
    return {name: plain(text) for name, text in texts.items()}


def _cases(done: Document) -> Iterator[TracedCase]:
    if isinstance(done, Run):
        for case in done.cases:
            yield TracedCase(_name(case, done), case.workers, case.recording, case.reason)
    elif isinstance(done, Bench):
        for cost in done.locks:
            yield TracedCase(cost.name, cost.workers, _window(cost), cost.reason)


def _name(case: Case, run: Run) -> str:
    backings = [case.backing] if needs_backings(run) else []
    return ", ".join([case.scenario, lock_of(case), *backings, plural(case.workers, "worker")])


def _window(cost: LockCost) -> Recording | None:
    """Return the holds that a benchmark keeps, as a recording in which nothing else was written down."""
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


def _process(case: TracedCase, numbers: Iterator[int]) -> Iterator[Event]:
    """Yield the events of one case: the names of its rows, then all else in the order of time.

    Perfetto keeps a row's name by its `tid` alone, and takes the one that equals the `pid` for the main thread: no two
    numbers of a document are the same.
    """
    pid = next(numbers)
    yield from named("process", pid, pid, case.name)
    if case.recording:
        yield from TrialDrawing(case.recording, case.workers, pid, numbers).events()
    else:
        tid = next(numbers)
        yield from named("thread", pid, tid, NOT_RECORDED)
        yield instant(NOT_RECORDED, pid, tid, 0, case.why)
