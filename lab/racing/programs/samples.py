"""Observe the locks of programs from outside, in samples: programs keep no record of their holds.

A sample is the set of locks that were observed between two moments on the file and on all files beside it. Where a
program held one, all that is known is that it did; where a lab's worker has recorded a hold of the file that began
before the first moment and ended after the second, and the two may not be held together, the holds overlapped.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic_ns
from typing import NamedTuple

from lab.analysis.holds import Row, Span
from lab.host.environment import anonymous_text
from lab.host.procfs import process_stat
from lab.locking.control import keepers_of
from lab.locking.observer import LockObserver, ObservedLock
from lab.racing.mailbox import EVIDENCE_KEPT
from lab.records import LockFile, SampledLocks

EVERY_NS = 2_000_000
"""The least time from one sample to the next: reading the list delays processes that lock."""

KEEPERS_EVERY_NS = 500_000_000
"""The time from one look at all processes to the next, while a worker waits."""

FILES_KEPT = 20
SHOWN = 3

LOCK_NAME = re.compile("lo?ck|mutex", re.IGNORECASE)
"""What is in the name of a file, or a directory, that is made to lock and removed to unlock."""


class Sample(NamedTuple):
    """The locks that were observed between two moments, in ns of CLOCK_MONOTONIC."""

    begun_ns: int
    ended_ns: int
    held: list[ObservedLock]
    waiting: list[ObservedLock]


class Samples:
    """Samples of one trial; `owners` are the workers by process id, of which those in `programs` are programs."""

    def __init__(
        self, observer: LockObserver, owners: Mapping[int, int], programs: range, file: str, *, nameless: bool
    ) -> None:
        """Prepare the samples of a file of this name.

        With `nameless`, locks without a process, of open files, can only be the programs'.
        """
        self._observer = observer
        self._file = file
        self._there: set[str] = set()
        self._present: Counter[str] = Counter()
        self._came: Counter[str] = Counter()
        self._owners: dict[int, int | None] = {**owners, -1: programs.start if nameless else None}
        self._programs = programs
        self._unknown = programs.start if len(programs) == len(owners) else None
        self._due_ns = 0
        self._keepers: dict[str, list[str]] = {}
        self._keepers_due_ns = 0
        self._taken: list[Sample] = []
        self._copies = frozenset(owners)
        self.names_copies = False
        """Whether a copy itself was seen to hold or wait, under its own process id."""

    def look(self) -> None:
        """Take a sample if it is time for one."""
        begun_ns = monotonic_ns()
        if begun_ns < self._due_ns:
            return
        seen = self._observer.look()
        ended_ns = monotonic_ns()
        theirs = [each for each in seen if self._is_programs(each.pid)]
        held = [each for each in theirs if not each.waits]
        waiting = [each for each in theirs if each.waits]
        self._taken.append(Sample(begun_ns, ended_ns, held, waiting))
        self.names_copies = self.names_copies or any(each.pid in self._copies for each in theirs)
        self._due_ns = ended_ns + EVERY_NS
        self._note_names()
        self._look_for_keepers(waiting, ended_ns)

    def _note_names(self) -> None:
        """Count in how many samples each file with the name of a lock was there, and how often it came."""
        there = set(filter(LOCK_NAME.search, self._observer.names()))
        self._present.update(there)
        self._came.update(there - self._there)
        self._there = there

    def observe(self) -> set[ObservedLock]:
        """Return all locks that are seen now; this is no sample."""
        return self._observer.look()

    def result(self, holds: Sequence[Row]) -> SampledLocks:
        """Return the result of the samples, compared with the holds that the lab's workers recorded."""
        inside: set[int] = set()
        overlaps: dict[int, str] = {}
        for sample, worker, span in self._beside(holds):
            inside.add(sample.begun_ns)
            for seen in sample.held:
                if not seen.file and seen.span.conflicts(span):
                    overlaps[sample.begun_ns] = _overlap_text(worker, span, seen, sample)
        return SampledLocks(
            source=self._observer.source,
            samples=len(self._taken),
            held=sum(bool(sample.held) for sample in self._taken),
            waiting=sum(bool(sample.waiting) for sample in self._taken),
            holders=len({seen.pid for sample in self._taken for seen in sample.held}),
            inside=len(inside),
            overlapping=len(overlaps),
            evidence=list(overlaps.values())[:EVIDENCE_KEPT],
            beside=self._beside_the_file(),
        )

    def _beside_the_file(self) -> list[LockFile]:
        """Return the files beside it that programs locked, by name, each with its samples and its last holder."""
        named: dict[str, list[int]] = {}
        for sample in self._taken:
            for which, those in enumerate((sample.held, sample.waiting)):
                for file in {seen.file for seen in those if seen.file}:
                    named.setdefault(file, [0, 0])[which] += 1
        of_kernel = [
            LockFile(self._named(file), held, waiting, list(self._keepers.get(file, [])))
            for file, (held, waiting) in named.items()
        ]
        came_and_went = [file for file, came in self._came.items() if came > 1 or file not in self._there]
        by_existence = [
            LockFile(self._named(file), self._present[file], 0, kernel=False)
            for file in came_and_went
            if file not in named
        ]
        return [*of_kernel, *by_existence][:FILES_KEPT]

    def _named(self, file: str) -> str:
        """Return the name of a file beside it as a command line would give it: {file}.lock."""
        return f"{{file}}{file.removeprefix(self._file)}" if file.startswith(self._file) else file

    def _look_for_keepers(self, waiting: Sequence[ObservedLock], now_ns: int) -> None:
        """Note from time to time which processes hold the lock for which a worker waits, if any waits."""
        if not waiting or now_ns < self._keepers_due_ns:
            return
        self._keepers_due_ns = now_ns + KEEPERS_EVERY_NS
        self._keepers = {seen.file: keepers_of(self._observer.inodes(seen.file), self._is_programs) for seen in waiting}

    def stuck(self, index: int, before_ns: int) -> str:
        """Return what a program held and waited for in the last sample before this moment, in words."""
        last = next((sample for sample in reversed(self._taken) if sample.begun_ns < before_ns), None)
        if last is None:
            return ""
        held = [f", seen to hold {self._lock(seen)}" for seen in last.held if self._owners[seen.pid] == index]
        waits = [
            f", seen to wait for {self._lock(seen)}{self._kept(seen.file)}"
            for seen in last.waiting
            if self._owners[seen.pid] == index
        ]
        return "".join([*held, *waits])

    def _lock(self, seen: ObservedLock) -> str:
        return _lock(seen) + (f" of {self._named(seen.file)}" if seen.file else "")

    def _kept(self, file: str) -> str:
        keepers = self._keepers.get(file, [])
        return f", which {' and '.join(keepers)} keep{'s' if len(keepers) == 1 else ''}" if keepers else ""

    def _is_programs(self, pid: int) -> bool:
        if pid not in self._owners:
            self._owners[pid] = _descends_from(pid, self._owners, self._unknown)
        owner = self._owners[pid]
        return owner is not None and owner in self._programs

    def _beside(self, holds: Sequence[Row]) -> Iterator[tuple[Sample, int, Span]]:
        """Pair each sample with each hold of a worker that lasted from its beginning to its end."""
        begun = [sample.begun_ns for sample in self._taken]
        for granted, released, _, worker, word in holds:
            at = bisect_left(begun, granted)
            while at < len(begun) and self._taken[at].ended_ns <= released:
                yield self._taken[at], worker, Span.unpack(word)
                at += 1


def sampled_locks(trials: Sequence[SampledLocks]) -> SampledLocks:
    """Return the samples of all trials as one record; no two trials have a holder in common."""
    return SampledLocks(
        source=trials[0].source,
        samples=sum(one.samples for one in trials),
        held=sum(one.held for one in trials),
        waiting=sum(one.waiting for one in trials),
        holders=sum(one.holders for one in trials),
        inside=sum(one.inside for one in trials),
        overlapping=sum(one.overlapping for one in trials),
        evidence=[text for one in trials for text in one.evidence][:SHOWN],
        beside=_of_all([file for one in trials for file in one.beside]),
    )


def _of_all(files: Sequence[LockFile]) -> list[LockFile]:
    """Return the lock files of all trials, those of one name together."""
    names = dict.fromkeys(file.name for file in files)
    return [_one_file(name, [file for file in files if file.name == name]) for name in names]


def _one_file(name: str, those: Sequence[LockFile]) -> LockFile:
    """Return one lock file of all trials: where the kernel listed its lock once, it is one of the kernel."""
    those = [file for file in those if file.kernel] or list(those)
    keepers = [anonymous_text(keeper) for file in those for keeper in file.keepers][:SHOWN]
    held, waiting = sum(file.held for file in those), sum(file.waiting for file in those)
    return LockFile(name, held, waiting, keepers, kernel=those[0].kernel)


def _overlap_text(worker: int, span: Span, seen: ObservedLock, sample: Sample) -> str:
    return (
        f"process {seen.pid} of the program held {_lock(seen)} while worker {worker} held "
        f"{_bytes(span)}: seen within {sample.ended_ns - sample.begun_ns:,} ns"
    )


def _lock(seen: ObservedLock) -> str:
    return f"{seen.kind} {_bytes(seen.span)}"


def _bytes(span: Span) -> str:
    return f"{'write' if span.write else 'read'} {span.start}-{span.end - 1 if span.length else 'end'}"


def _descends_from(pid: int, owners: Mapping[int, int | None], unknown: int | None) -> int | None:
    """Return the worker that this process descends from, `unknown` where that cannot be found out (any more).

    The processes that a worker leaves behind are adopted by this process (`lab.processes.descendants`): others are
    strangers.
    """
    while pid:
        stat = process_stat(pid)
        if stat is None:
            return unknown
        pid = stat.parent
        if pid == os.getpid():
            return unknown
        if pid in owners:
            return owners[pid]
    return None
