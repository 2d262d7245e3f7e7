"""Run one trial of workers of which some are programs: fork, release together, watch, and end them.

Programs keep no record of their holds, so their locks are observed from outside while they run (`samples`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns

from lab.locking.observer import LockObserver, observer_of
from lab.locking.registry import OWN
from lab.memory import workspace
from lab.processes import Exit, Orphan, Outputs, WorkerPool, become, cpus_for
from lab.processes.pool import Prepare
from lab.racing.mailbox import Mailbox, Report
from lab.racing.worker import Setting

from .launch import Start, number_of
from .meddle import Meddler
from .samples import Samples

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
    pids: Mapping[int, int]
    orphans: Sequence[Orphan] = ()

    def well(self, index: int) -> bool:
        """Return True for a worker that ended by itself with exit code 0, having been released."""
        ended = self.exits[index]
        return ended.code == 0 and not ended.late and not self.unready


def run_programs(
    setting: Setting,
    files: Sequence[Path],
    mailbox: Mailbox,
    seed: str,
    prepare: Prepare | None = None,
    *,
    meddler: Meddler | None = None,
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Race the program's copies on this file, and beside them the lab's own workers, prepared by `prepare`.

    Meanwhile the `meddler` makes its faults. The environment of the copies has these `variables` more.

    Several `files` are names of one, each through another mount: the copies are dealt out over them.

    When it returns no process is left, whatever the programs have forked. Raises CannotRunError or OSError where there
    are no processes, pipes or FIFOs available.
    """
    with ExitStack() as stack:
        observer = stack.enter_context(closing(observer_of(*files)))
        start = stack.enter_context(_start(setting))
        outputs = stack.enter_context(Outputs(setting.programs))
        meddler = stack.enter_context(meddler or Meddler(seed, files[0]))
        becoming = _becoming(setting, files, mailbox, seed, start, outputs, meddler, variables or {})

        def prepared(index: int) -> Callable[[], None]:
            if prepare and index not in setting.programs:
                return prepare(index)
            return becoming(index)

        cpus = cpus_for(setting.pin)
        pool = stack.enter_context(WorkerPool(setting.workers, prepared, cpus, isolate=setting.isolated))
        outputs.hand_over()
        return _Watch(setting, pool, start, outputs, observer, files[0].name, meddler).run()


@contextmanager
def _start(setting: Setting) -> Iterator[Start | None]:
    """Make the FIFOs in the system's temporary directory: the tested one may be on a filesystem that has none."""
    if not (setting.program and setting.program.waits):
        yield None
        return
    with workspace(Path(os.environ.get("TMPDIR") or "/tmp")) as folder, Start(folder, setting.programs) as start:  # noqa: S108
        yield start


def _becoming(
    setting: Setting,
    files: Sequence[Path],
    mailbox: Mailbox,
    seed: str,
    start: Start | None,
    outputs: Outputs,
    meddler: Meddler,
    variables: Mapping[str, str],
) -> Callable[[int], Callable[[], None]]:
    """Return the function that makes a worker the program.

    It runs before the barrier where the program waits for its own signal, else after it.
    """
    program = setting.program
    assert program  # noqa: S101 - only a case with a program comes here

    def prepare(index: int) -> Callable[[], None]:
        values = {
            "file": files[index % len(files)],
            "worker": index,
            "workers": setting.workers,
            "rounds": setting.rounds,
            "seed": number_of(seed, index),
            "start": start.path(index) if start else "",
        }
        argv = program.argv(values)

        def run() -> None:
            meddler.before_exec(index)
            os.environ.update(variables)
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
        self,
        setting: Setting,
        pool: WorkerPool,
        start: Start | None,
        outputs: Outputs,
        observer: LockObserver,
        file: str,
        meddler: Meddler,
    ) -> None:
        self._setting = setting
        self._pool = pool
        self._start = start
        self._outputs = outputs
        self._ended_ns: dict[int, int] = {}
        self._pids = dict(pool.pids)
        nameless = setting.alone or setting.lock.name in NAMELESS
        self._samples = Samples(observer, pool.pids, setting.programs, file, nameless=nameless)
        self._meddler = meddler
        meddler.begin(pool, self._samples, start)

    def run(self) -> Ran:
        limit_s = self._setting.time_limit_s
        unready = self._gather(limit_s)
        if unready:
            exits = self._pool.wait(0.0, meanwhile=self._look)
            self._look()
            return self._ran(monotonic_ns(), exits, unready)
        self._meddler.release()
        released_ns = self._pool.release()
        if self._start:
            self._start.release()
        exits = self._pool.wait(limit_s, meanwhile=self._look_and_sample)
        self._look()
        return self._ran(released_ns, exits, unready)

    def _ran(self, released_ns: int, exits: list[Exit], unready: set[int]) -> Ran:
        orphans = self._pool.orphans
        return Ran(released_ns, exits, self._ended_ns, self._outputs, unready, self._samples, self._pids, orphans)

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
            self._meddler.look_at_start()
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
        self._meddler.look()
