"""Run one trial of workers of which some are programs: fork, release together, watch, and end them.

Programs keep no record of their holds, so their exclusion is sampled from outside while they run.

A sample is the set of locks that were observed between two moments on the file and on all files beside it. Where a
program held one, all that is known is that it did; where a lab's worker has recorded a hold of the file that began
before the first moment and ended after the second, and the two may not be held together, the holds overlapped.

A program that did not end well gets a reason: its exit code and last lines, its signal, or that it did not wait.
"""

from __future__ import annotations

import os
import signal
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import NamedTuple

from lab.analysis.holds import Row, Span
from lab.host.environment import anonymous_text
from lab.host.procfs import process_stat
from lab.locks.control import keepers_of
from lab.locks.observer import LockObserver, ObservedLock, observer_of
from lab.locks.registry import OWN
from lab.memory import workspace
from lab.processes import Exit, Orphan, Outputs, WorkerPool, become, cpus_for
from lab.processes.external import KEPT
from lab.processes.pool import Prepare
from lab.race.mailbox import EVIDENCE_KEPT, Mailbox, Report
from lab.race.worker import Setting
from lab.records import Failure, How, LockFile, Sampled

from .launch import Start, number_of

EVERY_NS = 2_000_000
"""The least time from one sample to the next: reading the list delays processes that lock."""

KEEPERS_EVERY_NS = 500_000_000
"""The time from one look at all processes to the next, while a worker waits."""

FILES_KEPT = 20


class Sample(NamedTuple):
    """The locks that were observed between two moments, in ns of CLOCK_MONOTONIC."""

    begun_ns: int
    ended_ns: int
    held: list[ObservedLock]
    waiting: list[ObservedLock]


class Samples:
    """Samples of one trial; `owners` are the workers by process id, of which those in `programs` are programs."""

    def __init__(self, observer: LockObserver, owners: Mapping[int, int], programs: range, *, nameless: bool) -> None:
        """Prepare the samples. With `nameless`, locks without a process, of open files, can only be the programs'."""
        self._observer = observer
        self._owners: dict[int, int | None] = {**owners, -1: programs.start if nameless else None}
        self._programs = programs
        self._unknown = programs.start if len(programs) == len(owners) else None
        self._due_ns = 0
        self._keepers: dict[str, list[str]] = {}
        self._keepers_due_ns = 0
        self._taken: list[Sample] = []

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
        self._due_ns = ended_ns + EVERY_NS
        self._look_for_keepers(waiting, ended_ns)

    def result(self, holds: Sequence[Row]) -> Sampled:
        """Return the result of the samples, compared with the holds that the lab's workers recorded."""
        inside: set[int] = set()
        overlaps: dict[int, str] = {}
        for sample, worker, span in self._beside(holds):
            inside.add(sample.begun_ns)
            for seen in sample.held:
                if not seen.file and seen.span.conflicts(span):
                    overlaps[sample.begun_ns] = _overlap_text(worker, span, seen, sample)
        return Sampled(
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
        return [
            LockFile(file, held, waiting, list(self._keepers.get(file, [])))
            for file, (held, waiting) in list(named.items())[:FILES_KEPT]
        ]

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
        held = [f", seen to hold {_lock(seen)}" for seen in last.held if self._owners[seen.pid] == index]
        waits = [
            f", seen to wait for {_lock(seen)}{self._kept(seen.file)}"
            for seen in last.waiting
            if self._owners[seen.pid] == index
        ]
        return "".join([*held, *waits])

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


def _overlap_text(worker: int, span: Span, seen: ObservedLock, sample: Sample) -> str:
    return (
        f"process {seen.pid} of the program held {_lock(seen)} while worker {worker} held "
        f"{_bytes(span)}: seen within {sample.ended_ns - sample.begun_ns:,} ns"
    )


def _lock(seen: ObservedLock) -> str:
    return f"{seen.kind} {_bytes(seen.span)}" + (f" of {seen.file}" if seen.file else "")


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


LOOK_MS = 1.0
"""The time, in milliseconds, of a wait for output before the next look whether a worker has ended."""

NAMELESS = tuple(name for name, entry in OWN.items() if entry.names_holder)
"""Locks of the lab under which a lock without a process, of an open file, can only be a program's."""


@dataclass(frozen=True, slots=True)
class Ran:
    """The facts about the processes of a trial once all have ended; times in ns of CLOCK_MONOTONIC.

    Where some programs did not wait for the start signal, in `unready`, no worker was released.
    """

    released_ns: int
    exits: list[Exit]
    ended_ns: dict[int, int]
    outputs: Outputs
    unready: set[int]
    samples: Samples
    orphans: Sequence[Orphan] = ()

    def well(self, index: int) -> bool:
        """Return True for a worker that ended by itself with exit code 0, having been released."""
        ended = self.exits[index]
        return ended.code == 0 and not ended.late and not self.unready


def run_programs(setting: Setting, file: Path, mailbox: Mailbox, seed: str, prepare: Prepare | None = None) -> Ran:
    """Race the program's copies on this file, and beside them the lab's own workers, prepared by `prepare`.

    When it returns no process is left, whatever the programs have forked. Raises CannotRunError or OSError where there
    are no processes, pipes or FIFOs available.
    """
    with ExitStack() as stack:
        observer = stack.enter_context(closing(observer_of(file)))
        start = stack.enter_context(_start(setting))
        outputs = stack.enter_context(Outputs(setting.programs))
        becoming = _becoming(setting, file, mailbox, seed, start, outputs)

        def prepared(index: int) -> Callable[[], None]:
            if prepare and index not in setting.programs:
                return prepare(index)
            return becoming(index)

        pool = stack.enter_context(WorkerPool(setting.workers, prepared, cpus_for(setting.pin)))
        outputs.hand_over()
        return _Watch(setting, pool, start, outputs, observer).run()


@contextmanager
def _start(setting: Setting) -> Iterator[Start | None]:
    """Make the FIFOs in the system's temporary directory: the tested one may be on a filesystem that has none."""
    if not (setting.program and setting.program.waits):
        yield None
        return
    with workspace(Path(os.environ.get("TMPDIR") or "/tmp")) as folder, Start(folder, setting.programs) as start:  # noqa: S108
        yield start


def _becoming(
    setting: Setting, file: Path, mailbox: Mailbox, seed: str, start: Start | None, outputs: Outputs
) -> Callable[[int], Callable[[], None]]:
    """Return the function that makes a worker the program.

    It runs before the barrier where the program waits for its own signal, else after it.
    """
    program = setting.program
    assert program  # noqa: S101 - only a case with a program comes here

    def prepare(index: int) -> Callable[[], None]:
        values = {
            "file": file,
            "worker": index,
            "workers": setting.workers,
            "rounds": setting.rounds,
            "seed": number_of(seed, index),
            "start": start.path(index) if start else "",
        }
        argv = program.argv(values)

        def run() -> None:
            try:
                become(program.path, argv, *outputs.ends[index])
            except OSError as error:
                mailbox.send(Report(index, {}, error.strerror or str(error), type(error).__name__))
                raise SystemExit(1) from error

        if start:
            run()
        return run

    return prepare


class _Watch:
    """The parent's part from the fork to the end of all."""

    def __init__(
        self, setting: Setting, pool: WorkerPool, start: Start | None, outputs: Outputs, observer: LockObserver
    ) -> None:
        self._setting = setting
        self._pool = pool
        self._start = start
        self._outputs = outputs
        self._ended_ns: dict[int, int] = {}
        nameless = setting.alone or setting.lock.name in NAMELESS
        self._samples = Samples(observer, pool.pids, setting.programs, nameless=nameless)

    def run(self) -> Ran:
        limit_s = self._setting.time_limit_s
        unready = self._gather(limit_s)
        if unready:
            exits = self._pool.wait(0.0, meanwhile=self._look)
            self._look()
            return Ran(monotonic_ns(), exits, {}, self._outputs, unready, self._samples, self._pool.orphans)
        released_ns = self._pool.release()
        if self._start:
            self._start.release()
        exits = self._pool.wait(limit_s, meanwhile=self._look_and_sample)
        self._look()
        return Ran(released_ns, exits, self._ended_ns, self._outputs, unready, self._samples, self._pool.orphans)

    def _gather(self, limit_s: float) -> set[int]:
        """Wait until each worker has arrived at the start or has ended before it.

        Return the programs that did not wait there.
        """
        deadline = monotonic() + limit_s
        start, programs = self._start, set(self._setting.programs)
        if start is None:
            self._pool.gather(limit_s)
            return set()
        while monotonic() < deadline:
            start.look()
            if programs <= start.arrived | {ended.index for ended in self._pool.gone()}:
                break
            self._outputs.drain(LOOK_MS)
        self._pool.gather(max(0.0, deadline - monotonic()), apart=programs)
        return (programs - start.arrived) | start.gone

    def _look(self) -> None:
        """Note which workers have ended since, and read what the others print."""
        now = monotonic_ns()
        for ended in self._pool.exits:
            self._ended_ns.setdefault(ended.index, now)
        self._outputs.drain(LOOK_MS)

    def _look_and_sample(self) -> None:
        self._look()
        self._samples.look()


STDOUT, STDERR = 1, 2
LINES = 12
FIX = "a script needs a #! line, or its interpreter named before it"
WIDTH = 200


def explain_programs(setting: Setting, trial: int, ran: Ran, refused: Mapping[int, str]) -> Iterator[Failure]:
    """Return one failure for each program that did not start, did not wait for the start, or did not end well."""
    for ended in ran.exits:
        index = ended.index
        if index not in setting.programs or (ran.unready and index not in ran.unready):
            continue
        if index in refused:
            yield _failure(trial, ended, ran, "raised", f"could not be started ({refused[index]}); {FIX}")
        elif not ran.well(index):
            yield _failure(trial, ended, ran, *_how_and_why(setting, ended, ran))


def _how_and_why(setting: Setting, ended: Exit, ran: Ran) -> tuple[How, str]:
    """Return how it failed, in the record's word and in a sentence."""
    limit = f"{setting.time_limit_s:g} s"
    if ended.code is None:
        where = f" in {ended.where}" if ended.where else ""
        return "late", f"did not end on SIGKILL: process {ended.pid} hangs{where} and was left behind"
    if ended.stopped:
        return "late", f"was stopped by a signal (SIGSTOP) and still was after {limit}"
    if ended.late and not ran.unready:
        before_ns = ran.released_ns + int(setting.time_limit_s * 1e9)
        return "late", f"was still at work after {limit}{ran.samples.stuck(ended.index, before_ns)}"
    if ended.late:
        return "late", f"ignored the start signal: it did not read {{start}} to its end (time limit {limit})"
    if ended.code < 0:
        return "killed", f"was killed by {_signal(-ended.code)}"
    if ended.code:
        return "raised", f"exited with {ended.code}"
    return "raised", "ignored the start signal: it exited with 0 and had not read {start} to its end"


def _failure(trial: int, ended: Exit, ran: Ran, how: How, reason: str) -> Failure:
    lines = _lines(ran, ended.index)
    last = f": {lines[-1]}" if lines else ""
    return Failure(
        trial=trial,
        worker=ended.index,
        round=0,
        how=how,
        reason=anonymous_text(f"(program) {reason}{last}"),
        trace=anonymous_text(_trace(ran, ended.index, lines)) if len(lines) > 1 else "",
        pid=ended.pid or None,
        where=ended.where,
        program=True,
    )


def _stream(ran: Ran, index: int) -> int:
    """Return its standard error where it wrote to it, else its standard output."""
    return STDERR if ran.outputs.counted[index, STDERR] else STDOUT


def _lines(ran: Ran, index: int) -> list[str]:
    """Return the last lines, without control characters that a terminal would obey."""
    text = ran.outputs.last(index, _stream(ran, index))
    return [_printable(line)[:WIDTH] for line in text.splitlines() if line.strip()][-LINES:]


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in line.expandtabs()).rstrip()


def _trace(ran: Ran, index: int, lines: list[str]) -> str:
    stream = _stream(ran, index)
    name = "standard error" if stream == STDERR else "standard output"
    counted = ran.outputs.counted[index, stream]
    lost = f", of {counted:,} bytes the last {KEPT:,} are kept" if counted > KEPT else ""
    return "\n".join([f"the last lines of the program's {name}{lost}:", *(f"  {each}" for each in lines)])


def _signal(number: int) -> str:
    known = {each.value for each in signal.Signals}
    return signal.Signals(number).name if number in known else f"signal {number}"
