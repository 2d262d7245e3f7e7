"""The events of one recorded trial: bars on the rows of its workers, and instants where something went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from math import copysign, inf, nextafter
from typing import Any

from lab.environment import anonymous_text
from lab.model.figures import plural
from lab.report.page.happened import Story
from lab.report.page.paths import PATH
from lab.results import Recording

from .rows import Request, end_of, holders, lanes, requests_of

Event = dict[str, Any]


class Drawn:
    """A recorded trial as rows and what lies on them; `numbers` are those that no other row or process has."""

    def __init__(self, recording: Recording, workers: int, pid: int, numbers: Iterator[int]) -> None:
        self._recording = recording
        self._story = Story(recording, workers)
        self._end = end_of(recording)
        self._requests = requests_of(recording.holds, self._end)
        self._lanes = lanes(self._requests)
        self._pid = pid
        self._rows = {row: next(numbers) for row in sorted(self._needed())}

    def events(self) -> Iterator[Event]:
        """The names of the rows, then all else in the order of time."""
        for (worker, lane), tid in self._rows.items():
            who = self._who(worker)
            yield from named("thread", self._pid, tid, f"{who}, row {lane + 1}" if lane else who)
        yield from sorted([*self._bars(), *self._happened(), *self._at_the_end()], key=_ts)

    def _needed(self) -> set[tuple[int, int]]:
        """A row of each worker, and of each second owner that did anything; more where holds overlap unnested."""
        workers = {*range(len(self._recording.done)), *self._recording.accesses.worker}
        asked = {(each.worker, lane) for each, lane in zip(self._requests, self._lanes, strict=True)}
        return {(worker, 0) for worker in workers} | asked

    def _who(self, worker: int) -> str:
        return self._story.who(worker).replace("the second owner", "second owner")

    def _bars(self) -> Iterator[Event]:
        for request, lane, holder in zip(self._requests, self._lanes, holders(self._requests), strict=True):
            tid = self._rows[request.worker, lane]
            met = "nobody" if holder is None else self._who(holder)
            name = "waiting" if request.granted else "waiting, never granted"
            yield self._bar(name, tid, request.requested_ns, request.granted_ns, request, met)
            if request.granted:
                name = "holding" if request.released else "holding, never released"
                yield self._bar(name, tid, request.granted_ns, request.ended_ns, request, met)

    def _bar(self, name: str, tid: int, begin_ns: int, end_ns: int, request: Request, holder: str) -> Event:
        start, length, write = request.span
        told = {"start": start, "length": length, "mode": "write" if write else "read", "holder": holder}
        return {
            "name": name, "cat": "lock", "ph": "X", "pid": self._pid, "tid": tid,
            "ts": _us(begin_ns), "dur": _us(end_ns - begin_ns), "args": told,
        }  # fmt: skip

    def _happened(self) -> Iterator[Event]:
        """What went wrong, each on the row of the worker that it happened to."""
        for each in self._story.happened():
            tid = self._rows[each.workers[0], 0]
            yield instant(each.kind, self._pid, tid, each.at_ns, each.sentence)

    def _at_the_end(self) -> Iterator[Event]:
        """What the check of the trial found, which workers failed, and what is missing: of the whole case."""
        for name, told in _found(self._recording):
            yield instant(name, self._pid, self._rows[0, 0], self._end, told, scope="p")


def _found(recording: Recording) -> Iterator[tuple[str, str]]:
    for damage in recording.damage:
        yield f"damage: {damage.kind}", "; ".join([f"{damage.count:,} of {damage.of:,}", *damage.evidence])
    for failure in recording.failures:
        yield "failure", failure
    if recording.unrecorded_holds:
        yield "not all is shown", f"{plural(recording.unrecorded_holds, 'hold')} found no room in the log"


def _ts(event: Event) -> float:
    return float(event["ts"])


def named(kind: str, pid: int, tid: int, name: str) -> Iterator[Event]:
    """The name of a process or of a thread, which is a row, and its place: in the order of the numbers."""
    about = {"ph": "M", "pid": pid, "tid": tid}
    place = pid if kind == "process" else tid
    yield {"name": f"{kind}_name", **about, "args": {"name": plain(name)}}
    yield {"name": f"{kind}_sort_index", **about, "args": {"sort_index": place}}


def instant(name: str, pid: int, tid: int, at_ns: int, told: str, *, scope: str = "t") -> Event:
    """Something that happened at one moment: to a row, or with the scope `p` to the process."""
    return {
        "name": plain(name), "cat": "wrong", "ph": "i", "s": scope, "pid": pid, "tid": tid,
        "ts": _us(at_ns), "args": {"told": plain(told)},
    }  # fmt: skip


def plain(text: str) -> str:
    """The text without the user's name, and of absolute paths the last name alone."""
    return PATH.sub(r"\1", anonymous_text(text))


def _us(ns: int) -> float:
    """Microseconds that are the same ns again, whether a reader rounds them or cuts them off, as Perfetto does.

    1.001 * 1000 is less than 1001: cut off, a bar would begin inside the one before it, and Perfetto would drop it.
    """
    us = ns / 1000
    return us if int(us * 1000) == ns else nextafter(us, copysign(inf, us))
