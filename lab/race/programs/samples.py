"""The exclusion of programs, which keep no record: sampled from outside while they run.

A sample is the locks that were seen on the file between two moments. Where a program held one all that could be told is
that it did; where a lab's worker has recorded a hold that began before the first moment and ended after the second, and
the two may not be held together, the lock let two in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic_ns
from typing import NamedTuple

from lab.locks.listed import Seen, Sight
from lab.model.holds import Row, Span
from lab.results import Sampled

EVERY_NS = 2_000_000
"""From one sample to the next, at least: reading the list holds up those who lock."""

EVIDENCE_KEPT = 3
ANCESTORS = 8
"""How many generations below a worker a process is still known as the worker's."""


class Sample(NamedTuple):
    """What was seen between two moments, in ns of CLOCK_MONOTONIC."""

    begun_ns: int
    ended_ns: int
    held: list[Seen]
    waiting: list[Seen]


class Samples:
    """Samples of one trial; `owners` are the workers by process id, of which those in `programs` are programs."""

    def __init__(self, sight: Sight, owners: Mapping[int, int], programs: range, *, nameless: bool) -> None:
        """`nameless`: locks without a process, of open files, can only be the programs'."""
        self._sight = sight
        self._owners: dict[int, int | None] = {**owners, -1: programs.start if nameless else None}
        self._programs = programs
        self._unknown = programs.start if len(programs) == len(owners) else None
        self._due_ns = 0
        self._taken: list[Sample] = []

    def look(self) -> None:
        """Take a sample where it is time for one."""
        begun_ns = monotonic_ns()
        if begun_ns < self._due_ns:
            return
        seen = self._sight.look()
        ended_ns = monotonic_ns()
        theirs = [each for each in seen if self._is_programs(each.pid)]
        held = [each for each in theirs if not each.waits]
        self._taken.append(Sample(begun_ns, ended_ns, held, [each for each in theirs if each.waits]))
        self._due_ns = ended_ns + EVERY_NS

    def result(self, holds: Sequence[Row]) -> Sampled:
        """What the samples come to, beside the holds that the lab's workers recorded."""
        inside: set[int] = set()
        overlaps: dict[int, str] = {}
        for sample, worker, span in self._beside(holds):
            inside.add(sample.begun_ns)
            for seen in sample.held:
                if seen.span.conflicts(span):
                    overlaps[sample.begun_ns] = _told(worker, span, seen, sample)
        return Sampled(
            source=self._sight.source,
            samples=len(self._taken),
            held=sum(bool(sample.held) for sample in self._taken),
            waiting=sum(bool(sample.waiting) for sample in self._taken),
            holders=len({seen.pid for sample in self._taken for seen in sample.held}),
            inside=len(inside),
            overlapping=len(overlaps),
            evidence=list(overlaps.values())[:EVIDENCE_KEPT],
        )

    def stuck(self, index: int, before_ns: int) -> str:
        """What a program held and waited for in the last sample before this moment, in words."""
        last = next((sample for sample in reversed(self._taken) if sample.begun_ns < before_ns), None)
        if last is None:
            return ""
        held = [f", seen to hold {_lock(seen)}" for seen in last.held if self._owners[seen.pid] == index]
        waits = [f", seen to wait for {_lock(seen)}" for seen in last.waiting if self._owners[seen.pid] == index]
        return "".join([*held, *waits])

    def _is_programs(self, pid: int) -> bool:
        if pid not in self._owners:
            self._owners[pid] = _descends_from(pid, self._owners, self._unknown)
        owner = self._owners[pid]
        return owner is not None and owner in self._programs

    def _beside(self, holds: Sequence[Row]) -> Iterator[tuple[Sample, int, Span]]:
        """Each sample and each hold of a worker that lasted from its beginning to its end."""
        begun = [sample.begun_ns for sample in self._taken]
        for granted, released, _, worker, word in holds:
            at = bisect_left(begun, granted)
            while at < len(begun) and self._taken[at].ended_ns <= released:
                yield self._taken[at], worker, Span.unpack(word)
                at += 1


def _told(worker: int, span: Span, seen: Seen, sample: Sample) -> str:
    return (
        f"process {seen.pid} of the program held {_lock(seen)} while worker {worker} held "
        f"{_bytes(span)}: seen within {sample.ended_ns - sample.begun_ns:,} ns"
    )


def _lock(seen: Seen) -> str:
    return f"{seen.kind} {_bytes(seen.span)}"


def _bytes(span: Span) -> str:
    return f"{'write' if span.write else 'read'} {span.start}-{span.end - 1 if span.length else 'end'}"


def _descends_from(pid: int, owners: Mapping[int, int | None], unknown: int | None) -> int | None:
    """The worker that this process descends from, `unknown` where that is not to be told (any more)."""
    for _ in range(ANCESTORS):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return unknown
        pid = int(stat.rpartition(")")[2].split()[1])
        if pid in owners:
            return owners[pid]
    return unknown
