"""Draw what was watched as events of a trace: a process of the trace is one of the program, a row of it a thread.

Requests for locks are bars; the calls that led to findings, and the findings themselves, are instants. `trace` has the
form of the events, and the rules by which bars stand on rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from lab.records import Holds, Watch, WatchFinding

from .text.watch import CAUSES
from .trace import Event, Request, arguments_of, bar, holders, instant, lanes, named, requests_of

Row = tuple[int, int]
"""A process, as its place in the timeline, and a thread."""


def watched_events(run: Watch, numbers: Iterator[int]) -> Iterator[Event]:
    """Yield the names of processes and rows, then all else in the order of time."""
    yield from _Drawing(run, numbers).events()


class _Drawing:
    def __init__(self, run: Watch, numbers: Iterator[int]) -> None:
        self._run, self._numbers = run, numbers
        timeline = run.timeline
        self._by_pid = {each.pid: place for place, each in reversed(list(enumerate(timeline.processes)))}
        self._pids = {place: next(numbers) for place in range(len(timeline.processes))}
        self._rows: dict[tuple[Row, int], int] = {}

    def events(self) -> Iterator[Event]:
        for place, each in enumerate(self._run.timeline.processes):
            yield from named("process", self._pids[place], self._pids[place], f"{each.program} {each.pid}".strip())
        drawn = sorted([*self._bars(), *self._findings()], key=itemgetter("ts"))
        for ((place, thread), lane), tid in self._rows.items():
            name = f"thread {thread}, row {lane + 1}" if lane else f"thread {thread}"
            yield from named("thread", self._pids[place], tid, name)
        yield from drawn

    def _row(self, row: Row, lane: int = 0) -> int:
        if (row, lane) not in self._rows:
            self._rows[row, lane] = next(self._numbers)
        return self._rows[row, lane]

    def _bars(self) -> Iterator[Event]:
        """Yield the requests; by the rules of `trace` those of each file, whose workers are the threads here."""
        timeline = self._run.timeline
        columns = timeline.holds
        end = max([0, *columns.requested_ns, *columns.granted_ns, *columns.released_ns])
        threads = list(dict.fromkeys(zip(columns.worker, timeline.thread, strict=True)))
        by_file: dict[tuple[int, str], Holds] = {}
        for row, thread, file, lock in zip(
            columns.requests(), timeline.thread, timeline.file, timeline.lock, strict=True
        ):
            worker = threads.index((row.worker, thread))
            by_file.setdefault((file, lock), Holds()).add(row._replace(worker=worker))
        found = [
            (request, holder, key)
            for key, holds in by_file.items()
            for requests in [requests_of(holds, end)]
            for request, holder in zip(requests, holders(requests), strict=True)
        ]
        found.sort(key=lambda each: each[0].requested_ns)
        for (request, holder, (file, lock)), lane in zip(found, lanes([each[0] for each in found]), strict=True):
            met = "nobody" if holder is None else f"process {timeline.processes[threads[holder][0]].pid}"
            about = {"file": timeline.files[file], "lock": lock, **arguments_of(request), "holder": met}
            row_of = threads[request.worker]
            yield from self._bars_of(request, self._pids[row_of[0]], self._row(row_of, lane), about)

    def _bars_of(self, request: Request, pid: int, tid: int, about: dict[str, object]) -> Iterator[Event]:
        name = "waiting" if request.granted else "waiting, never granted"
        yield bar(name, pid, tid, request.requested_ns, request.granted_ns, about)
        if request.granted:
            name = "holding" if request.released else "holding, never released"
            yield bar(name, pid, tid, request.granted_ns, request.ended_ns, about)

    def _findings(self) -> Iterator[Event]:
        """Yield each step of each finding; its own calls bear the name of the cause."""
        for found in self._run.findings:
            for number, step in enumerate(found.steps, 1):
                place = self._by_pid.get(step.process)
                if place is None:
                    continue
                at_ns = found.at_ns + round(step.after_us * 1000)
                tid = self._row((place, step.thread))
                title = _title(found) if step.own else step.call
                message = f"{number}: {step.call}, {step.place}"
                category = "call" if not step.own else "note" if found.note else "wrong"
                yield instant(title, self._pids[place], tid, at_ns, message, category=category)


def _title(found: WatchFinding) -> str:
    return CAUSES[found.cause].title
