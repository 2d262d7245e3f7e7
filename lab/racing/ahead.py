"""Build the workers of a trial, the plain ones before the forks: a child copies each page that building writes to.

A worker that is built ahead has its struct, its log and its notes when its process begins, and opens and maps the file
itself, in the place of the parent's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any

from lab.locking import Leaky
from lab.locking.kernel import Fcntl, Flock, Ofd
from lab.memory import open_ahead
from lab.processes import TOUCH_S, doing

from .recorder import MANY_ROUNDS
from .worker import Job, RaceWorker, Setting

KERNEL_LOCKS = (Fcntl, Ofd, Flock)
FEW_FIELDS = 2
MOST_IMAGE = 1 << 16
"""The most bytes of a struct of which each worker of a trial with a window has an image of its own."""


class WorkersAhead:
    """The workers of one trial; the parent builds those that it forks next, and closes the file after the last fork."""

    def __init__(self, setting: Setting, job: Job) -> None:
        """Open the file, where workers can be built ahead; each meets itself what is refused."""
        self._setting = setting
        self._job = job
        self._workers: dict[int, RaceWorker] = {}
        self._opened = None
        if _is_plain(setting, job):
            with doing(f"opening {job.path}", TOUCH_S), suppress(OSError):
                self._opened = open_ahead(job.shared, job.path)

    def build(self, indexes: range) -> None:
        """Build these workers, in the parent, and forget those before them."""
        if self._opened:
            file = self._opened[0]
            self._workers = {index: RaceWorker(self._job, index, file=file) for index in indexes}
            for worker, field in product(self._workers.values(), _locked(self._job)):
                worker.write_lock(field)

    def make(self, index: int) -> RaceWorker:
        """Return this worker with an open file of its own, in its process; where that fails as if it were not built."""
        if self._opened and index in self._workers:
            with suppress(OSError):
                self._opened[1]()
                return self._workers[index]
        return RaceWorker(_leaking(self._setting, self._job, index), index)

    def close(self) -> None:
        """Close the parent's file."""
        self._workers = {}
        if self._opened:
            self._opened[0].abandon()
            self._opened = None


def _is_plain(setting: Setting, job: Job) -> bool:
    """Return True where a worker has nothing that its own process must make, but its open file."""
    special = setting.stresses or setting.recorded or setting.fault or setting.leak or setting.isolated
    images = setting.window_ns and job.layout.size > MOST_IMAGE
    own = job.calls or job.fresh or job.doom or job.has_files or len(job.paths) > 1
    return not (special or images or setting.program or own)


def _locked(job: Job) -> list[Any]:
    """Return the fields for which write locks of the kernel are built ahead: of a small struct, for few rounds.

    A lock of the user's may belong to the process that made it.
    """
    names = [name for name, *_ in job.memory._fields_]
    wanted = type(job.lock) in KERNEL_LOCKS and len(names) <= FEW_FIELDS and job.rounds < MANY_ROUNDS
    return [getattr(job.memory, name) for name in names] if wanted else []


def _leaking(setting: Setting, job: Job, index: int) -> Job:
    """Return the job with this worker's own leaky lock in the place of the lock, where one was requested."""
    if not setting.leak or not setting.lock.excludes:
        return job
    from random import Random

    return replace(job, lock=Leaky(setting.lock, setting.leak, Random(f"leak/{job.seed}/{index}")))  # noqa: S311
