"""Run the worker of a race: a free-running process over the mapped file, under the real lock.

`RaceWorker` is the worker that the scenario uses; `worker_of` is the life of its process before and after the start
barrier. `Setting` has what is decided for one case before any of it runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from ctypes import Structure
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from time import monotonic_ns
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from lab.analysis.holds import Span
from lab.errors import ScenarioError
from lab.locking import GaveUp, Leaky, Lock
from lab.memory import Backing, Shared
from lab.memory.protocol import Held, OpenFile
from lab.memory.struct_proxy import BytesProxy, struct_proxy
from lab.output import print_to_stderr
from lab.processes import Child, detach_output, die, fork_child, private_bytes
from lab.scenario import Layout, Scenario
from lab.scenario.base import Bytes

from .fault_plan import AtGrant, Plan
from .faults import Fault
from .files import RaceFiles
from .mailbox import Mailbox, Report, Reports, report_of
from .perturb import AfterWay, HalvedStores, Pause, PausedStores, insisting, spin, yielding
from .recorder import (
    CURSOR,
    FINISHED_NS,
    GAVE_UP,
    HEADER,
    PRIVATE_BYTES,
    UNLOCKED,
    Hold,
    Log,
    bound,
    counted,
    end_holds,
    python_rounds,
)
from .tracing import Tape, recording

if TYPE_CHECKING:
    from random import Random

    from .call_log import CallLog
    from .crash import Doom
    from .fresh_starts import FreshStarts
    from .programs.launch import Program
    from .programs.recorded import Watcher


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings that the trials of one case share; `backing` is a name, the scenario's own or another.

    A trial that `stresses` yields before each request and each store, for `window_ns`, and makes a request again that
    was answered with EAGAIN or EDEADLK (`lab.racing.perturb`). A trial that is `recorded` is written down
    (`lab.racing.tracing`). So many `copies` of a `program` are among the workers. A trial has up to `most_limits` time
    limits, one after the other, as long as its workers do rounds. Meanwhile the `fault` is made, if there is one.
    With `isolate` each worker is in a pid namespace of its own. The `watcher` records what the copies call, and judges
    it. After a crash `recover` is run, or where it is None another copy.
    """

    scenario: Scenario
    lock: Lock
    backing: str
    workers: int
    rounds: int
    pin: str
    window_ns: int
    leak: float
    time_limit_s: float
    seed: str
    stresses: bool = False
    most_limits: int = 1
    recorded: bool = False
    program: Program | None = None
    copies: int = 0
    fault: Fault | None = None
    isolate: bool = False
    watcher: Watcher | None = None
    recover: Program | None = None

    @property
    def isolated(self) -> bool:
        """Return True where each worker is in a pid namespace of its own, by `isolate` or as the fault."""
        return self.isolate or (self.fault is not None and self.fault.what == "isolate")

    @property
    def programs(self) -> range:
        """Return the indexes of the workers that are copies of the program: the last ones."""
        return range(self.workers - self.copies, self.workers)

    @property
    def alone(self) -> bool:
        """Return True where all workers are programs."""
        return self.copies == self.workers


@dataclass(frozen=True, slots=True)
class Job:
    """The facts that one trial's workers have in common; `paths` are the names of its file, one a mount.

    `within` gets the number of a segment, the segment and each recorded hold on it; it returns the hold with what is to
    be done inside of it. Once the word of `stop` is not 0 no worker begins another round. `doom` says who is to die.
    """

    paths: tuple[str, ...]
    shared: Shared
    memory: type[Structure]
    layout: Layout
    backing: Backing
    lock: Lock
    workers: int
    rounds: int
    seed: str
    window_ns: int
    log: Log
    stresses: bool = False
    tape: Tape | None = None
    plan: Plan | None = None
    within: Callable[[int, memoryview, Held], Held] | None = None
    stop: memoryview | None = None
    doom: Doom | None = None
    has_files: bool = False
    calls: CallLog | None = None
    fresh: FreshStarts | None = None

    @property
    def path(self) -> str:
        """Return the name under which the file was made."""
        return self.paths[0]

    def pause(self, worker: RaceWorker) -> Pause | None:
        """Return the pause before each store of the worker, where there is one; one that is to die does so in it."""
        if self.doom and self.doom.worker == worker.index:
            return self.doom.pause(worker)
        if self.stresses:
            return yielding(self.window_ns)
        return spin(self.window_ns) if self.window_ns else None


class RaceWorker(RaceFiles):
    """`lab.Worker` for a real process; see there for what each method guarantees."""

    __slots__ = (
        "_bytes",
        "_child",
        "_children",
        "_file",
        "_first",
        "_inode",
        "_job",
        "_number",
        "_pause",
        "_random",
        "_read",
        "_record",
        "_records",
        "_segment",
        "_track",
        "_twin",
        "_write",
        "index",
        "local",
        "memory",
        "path",
        "reports",
        "round",
        "rounds",
        "workers",
    )

    def __init__(
        self,
        job: Job,
        index: int,
        *,
        segment: int | None = None,
        inode: int | None = None,
        file: OpenFile | None = None,
    ) -> None:
        self.index = index
        self.workers = job.workers
        self.rounds = job.rounds
        self.round = 0
        self.path = job.paths[index % len(job.paths)]
        self._random: Random | None = None
        self.local = SimpleNamespace()
        self.reports = Reports()
        self._job = job
        self._pause = job.pause(self)
        self._number = index if segment is None else segment
        self._segment = job.log.segment(self._number)
        self._first = self._segment[CURSOR] = self._segment[CURSOR] or HEADER
        self._inode = inode
        self._twin: RaceWorker | None = None
        self._child: Child | None = None
        self._children = 0
        self._record = job.calls.recorder(index) if job.calls else None
        self._begin_files(self.path if job.has_files else "", job.lock, self._pause)
        self._open(file)

    def _open(self, file: OpenFile | None = None) -> None:
        """Open the file by its name, as the backing does, unless it is given.

        Holds are recorded on the file that the trial began with. Those on a file that replaced it exclude others
        only among themselves, which a record cannot show, so they are counted as unrecorded.
        """
        job = self._job
        self._file = file or job.shared.open(self.path)
        inode = os.fstat(self._file.guard).st_ino
        self._inode = self._inode or inode
        self._records = self._segment if inode == self._inode else self._segment[:HEADER]
        self._track = job.tape.track(self._number, self.index, whole=inode == self._inode) if job.tape else None
        self.memory: Any = self._laid_out()
        self._write: dict[Any, Held] = {}
        self._read: dict[Any, Held] = {}
        self._bytes: dict[Any, Bytes] = {}

    def _laid_out(self) -> Any:
        """Return the struct over the mapping itself, where nothing comes between; else loads and stores are calls."""
        job = self._job
        place = recording(self._file, self._track)
        if self._pause:
            return struct_proxy(job.memory, PausedStores(place, self._pause))
        buffer = None if self._track else self._file.buffer
        return struct_proxy(job.memory, place) if buffer is None else job.memory.from_buffer(buffer)

    @property
    def random(self) -> Random:
        """See `lab.Worker.random`; made when first asked for, since the module reseeds itself in every fork."""
        if self._random is None:
            from random import Random

            self._random = Random(f"{self._job.seed}/{self.index}")  # noqa: S311 - repeatable draws, not secrets
        return self._random

    def write_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> Held:
        """See `lab.Worker.write_lock`."""
        try:
            return self._write[field] if index is None else self._write[field, index, count]
        except KeyError:
            pass
        return self._hold(self._write, field, index, count, write=True)

    def read_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> Held:
        """See `lab.Worker.read_lock`."""
        try:
            return self._read[field] if index is None else self._read[field, index, count]
        except KeyError:
            pass
        return self._hold(self._read, field, index, count, write=False)

    def _hold(self, made: dict[Any, Held], field: Any, index: int | None, count: int, *, write: bool) -> Held:
        """Build the hold of one range, once; every later round finds it made."""
        start, length = self._job.layout.extent(field, index, count)
        lock = self._job.lock
        hold: Held = UNLOCKED
        if lock.excludes:
            acquire, release = lock.actions(self._file.guard, start, length, write=write)
            if self._job.stresses:
                acquire = insisting(acquire, self._segment)
            span, waits = Span(start, length, write).pack(), self._job.log.histogram(self._number)
            hold = self._file.around(bound(Hold(acquire, release, self._records, span, waits), self.rounds))
            if self._job.within:
                hold = self._job.within(self._number, self._records, hold)
            if self._job.stresses and self._pause:
                hold = AfterWay(hold, self._pause)
            if self._job.plan:
                hold = AtGrant(hold, partial(self._job.plan.at_grant, self))
        made[field if index is None else (field, index, count)] = hold
        return hold

    def bytes(self, field: Any, index: int | None = None, count: int = 1) -> Bytes:
        """See `lab.Worker.bytes`."""
        try:
            return self._bytes[field, index, count]
        except KeyError:
            start, length = self._job.layout.extent(field, index, count)
            self._bytes[field, index, count] = made = self._bytes_at(start, length)
            return made

    def _bytes_at(self, start: int, length: int) -> Bytes:
        buffer = None if self._track else self._file.buffer
        if self._pause:
            return BytesProxy(recording(HalvedStores(self._file, self._pause), self._track), start, length)
        place = recording(self._file, self._track)
        return BytesProxy(place, start, length) if buffer is None else memoryview(buffer)[start : start + length]

    def damaged(self, kind: str, evidence: str = "") -> None:
        """See `lab.Worker.damaged`."""
        if self._track:
            self._track.report(f"{kind}: {evidence}" if evidence else kind)
        self.reports.damaged(kind, f"worker {self.index}, round {self.round}: {evidence}")

    def sync(self, field: Any = None, index: int | None = None, count: int = 1) -> None:
        """See `lab.Worker.sync`."""
        self._file.sync(*self._job.layout.extent(field, index, count))

    def call(self, number: int, make: Callable[[], Any]) -> None:
        """Make a call of `lab.Operations`, the one with this number, and record it."""
        if self._record:
            self._record(self.round, number, make)

    def pause(self) -> None:
        """See `lab.Worker.pause`."""
        os.sched_yield()

    def reopen(self) -> None:
        """See `lab.Worker.reopen`."""
        before = self._file
        self._open()
        before.abandon()

    def stale(self) -> bool:
        """See `lab.Worker.stale`."""
        mine = os.fstat(self._file.descriptor)
        return not os.path.samestat(mine, os.stat(self.path))  # noqa: PTH116 - the path is text here

    def twin(self) -> RaceWorker:
        """See `lab.Worker.twin`; a worker has one, which records in a segment of its own."""
        if self._twin is None:
            if self._child:
                raise ScenarioError("twin: a child has recorded in its place; a worker has one or the other")
            self._twin = self._second("second", self._job.log.twin_of(self.index))
            self._twin.reports = self.reports
        self._twin.round = self.round
        return self._twin

    def child(self, body: Callable[[RaceWorker], None]) -> Child:
        """See `lab.Worker.child`; the child records in the twin's segment, so there is one at a time."""
        if self._twin or (self._child and not self._child.ended):
            raise ScenarioError("child: the one before it, or a twin, still records; wait for it first")
        self._child = self._forked(body, self._job.log.twin_of(self.index))
        return self._child

    def helper(self, body: Callable[[RaceWorker], None]) -> Child:
        """Fork a child for a fault (`lab.racing.fault_plan`), which records apart from those of the scenario."""
        return self._forked(body, self._job.log.helper_of(self.index))

    def _forked(self, body: Callable[[RaceWorker], None], segment: int) -> Child:
        child = Child(fork_child(lambda: self._as_child(body, segment)))
        self._children += 1
        return child

    def _as_child(self, body: Callable[[RaceWorker], None], segment: int) -> None:
        """Run a child; it has its parent's round and a copy of its notes. One that gave up exits with 1."""
        child = self._second(f"child {self._children}", segment)
        child.round, child.local = self.round, self.local
        try:
            body(child)
        except GaveUp as error:
            child._segment[GAVE_UP] += 1
            raise SystemExit(1) from error

    def _second(self, seed: str, segment: int) -> RaceWorker:
        """Return a worker with an open file and random draws of its own, which records in this segment."""
        job = replace(self._job, seed=f"{self._job.seed}/{seed}")
        if isinstance(job.lock, Leaky):
            from random import Random

            job = replace(job, lock=job.lock.redrawn(Random(f"leak/{job.seed}/{self.index}")))  # noqa: S311
        return RaceWorker(job, self.index, segment=segment, inode=self._inode)

    def die(self) -> None:
        """See `lab.Worker.die`; what this process holds ends with it, as the record says (`lab.racing.recorder`)."""
        for each in filter(None, (self, self._twin)):
            end_holds(each._segment, each._first)
        die()


ASKED_FOR_MEMORY = 8
"""The number of workers of a trial that read their own private memory: it takes a walk over their page tables."""


def worker_of(
    setting: Setting, job: Job, mailbox: Mailbox, make: Callable[[int], RaceWorker], *, weigh: bool
) -> Callable[[int], Callable[[], None]]:
    """Return what each worker, made by `make`, does before the barrier and after it; its errors go to the mailbox."""
    scenario, plan = setting.scenario, job.plan
    work = partial(job.fresh.work, scenario) if job.fresh else scenario.work
    work = partial(plan.work, work, mailbox=mailbox) if plan else work

    def prepare(index: int) -> Callable[[], None]:
        detach_output() if setting.stresses else print_to_stderr()
        try:
            worker = make(index)
            scenario.start(worker)
            if plan:
                plan.start()
        except (Exception, SystemExit) as error:
            mailbox.send(report_of(index, error))
            raise SystemExit(1) from error
        return lambda: run(worker)

    def run(worker: RaceWorker) -> None:
        header = job.log.segment(worker.index)
        failed: BaseException | None = None
        try:
            _rounds(work, worker, header, job.stop)
        except BaseException as error:
            failed = error
        ended_ns = monotonic_ns()
        if failed:
            mailbox.send(report_of(worker.index, failed, worker.reports.seen))
            raise SystemExit(1)
        if worker.reports.seen:
            mailbox.send(Report(worker.index, worker.reports.seen))
        header[FINISHED_NS] = ended_ns  # after the report: a finished worker reports nothing more
        if weigh and worker.index < ASKED_FOR_MEMORY:
            header[PRIVATE_BYTES] = private_bytes()

    return prepare


def _rounds(work: Callable[[Any], None], worker: RaceWorker, header: memoryview, stop: memoryview | None) -> None:
    """Run the hot loop: nothing in it but the work and two stores.

    A round whose lock gave up is counted and not done; its number is the next round's, so that those done have no gap.
    """
    end = worker.rounds
    numbers = _until(stop, python_rounds(header, end)) if stop else counted(header, end)
    while True:
        try:
            for worker.round in numbers:
                work(worker)
        except GaveUp:
            header[GAVE_UP] += 1
            end -= 1
            numbers = python_rounds(header, end, worker.round)
            numbers = _until(stop, numbers) if stop else numbers
        else:
            return


def _until(stop: memoryview, numbers: Iterator[int]) -> Iterator[int]:
    """Return these numbers of rounds; none once the word is not 0, with the rounds before it counted as done."""
    return takewhile(lambda _: not stop[0], numbers)
