"""Requests for locks as bars on rows: what a viewer of traces draws on one row must nest, or follow one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lab.model.holds import Span
from lab.results import Holds, Recording

NEVER = -1


class Request(NamedTuple):
    """One request in ns from the release of the barrier; one never granted is granted, and ends, where the trial does.

    A lock that was never given back ends where another was granted what conflicts with it, else with the trial: the
    kernel takes it from a process that ends (fcntl_locking(2)), and does not say when.
    """

    requested_ns: int
    granted_ns: int
    ended_ns: int
    worker: int
    span: Span
    granted: bool
    released: bool

    def against(self, other: Request) -> bool:
        """True when it is another worker's, and the two may not be held together."""
        return self.worker != other.worker and self.span.conflicts(other.span)


def end_of(recording: Recording) -> int:
    """The moment at which a trial ended, or the last that is known of it; in ns from the release of the barrier."""
    holds, accesses = recording.holds, recording.accesses
    moments = (
        holds.requested_ns, holds.granted_ns, holds.released_ns, accesses.begun_ns, accesses.ended_ns
    )  # fmt: skip
    return max(recording.wall_ns, *(max(column, default=0) for column in moments))


def requests_of(holds: Holds, end_ns: int) -> list[Request]:
    """All requests of a trial that ended at this moment, in the order in which they were made."""
    columns = zip(
        holds.requested_ns, holds.granted_ns, holds.released_ns, holds.worker, holds.start, holds.length, holds.write,
        strict=True,
    )  # fmt: skip
    made = [
        Request(
            requested,
            end_ns if granted == NEVER else granted,
            end_ns if released == NEVER else released,
            worker,
            Span(start, length, bool(write)),
            granted != NEVER,
            released != NEVER,
        )
        for requested, granted, released, worker, start, length, write in columns
    ]
    made.sort(key=lambda request: request.requested_ns)
    return [_taken_back(request, made) if request.granted and not request.released else request for request in made]


def _taken_back(kept: Request, made: Sequence[Request]) -> Request:
    later = (other for other in made if other.granted and other.granted_ns > kept.granted_ns and other.against(kept))
    return kept._replace(ended_ns=min((other.granted_ns for other in later), default=kept.ended_ns))


def lanes(requests: Sequence[Request]) -> list[int]:
    """Of each request its row among those of its worker, from 0: the first in which it nests, or follows."""
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
    """Of each request the worker that held what it asked for when it asked, if one did."""
    waiting = sorted((request for request in requests if request.granted), key=lambda request: -request.granted_ns)
    held: list[Request] = []
    for request in requests:
        while waiting and waiting[-1].granted_ns <= request.requested_ns:
            held.append(waiting.pop())
        held = [other for other in held if other.ended_ns > request.requested_ns]
        yield next((other.worker for other in held if other.against(request)), None)
