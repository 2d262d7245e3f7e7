"""The life of a worker: what it does before the start barrier and after it, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic_ns
from typing import Any

from lab.errors import refusal
from lab.locks import GaveUp, Leaky, told
from lab.processes import detach_output, private_bytes
from lab.processes.streams import print_to_stderr

from .log import FINISHED_NS, GAVE_UP, PRIVATE_BYTES, counted, python_rounds
from .reports import Mailbox, Report, Seen
from .setting import Setting
from .traces import trace_of
from .worker import Job, RaceWorker

ASKED_FOR_MEMORY = 8
"""How many workers of a trial read their own private memory: it takes a walk over their page tables."""


def worker_of(setting: Setting, job: Job, mailbox: Mailbox, *, weigh: bool) -> Callable[[int], Callable[[], None]]:
    """What each worker does before the barrier and after it; whatever goes wrong there ends up in the mailbox."""
    scenario = setting.scenario

    def prepare(index: int) -> Callable[[], None]:
        detach_output() if setting.soaks else print_to_stderr()
        try:
            worker = RaceWorker(_leaking(setting, job, index), index)
            scenario.start(worker)
        except (Exception, SystemExit) as error:
            mailbox.send(_report(index, {}, error))
            raise SystemExit(1) from error
        return lambda: run(worker)

    def run(worker: RaceWorker) -> None:
        header = job.log.segment(worker.index)
        failed: BaseException | None = None
        try:
            _rounds(scenario.work, worker, header)
        except BaseException as error:
            failed = error
        ended_ns = monotonic_ns()
        if failed or worker.reports.seen:
            mailbox.send(_report(worker.index, worker.reports.seen, failed))
        if failed:
            raise SystemExit(1)
        header[FINISHED_NS] = ended_ns  # after the report: who has finished has nothing left to say
        if weigh and worker.index < ASKED_FOR_MEMORY:
            header[PRIVATE_BYTES] = private_bytes()

    return prepare


def _rounds(work: Callable[[Any], None], worker: RaceWorker, header: memoryview) -> None:
    """The hot loop: nothing in it but the work and two stores.

    A round whose lock gave up is counted and not done; its number is the next round's, so that those done have no gap.
    """
    end = worker.rounds
    numbers = counted(header, end)
    while True:
        try:
            for worker.round in numbers:
                work(worker)
        except GaveUp:
            header[GAVE_UP] += 1
            end -= 1
            numbers = python_rounds(header, end, worker.round)
        else:
            return


def _leaking(setting: Setting, job: Job, index: int) -> Job:
    """The job with this worker's own liar in the place of the lock, where one was asked for."""
    if not setting.leak or not setting.lock.excludes:
        return job
    from random import Random

    return replace(job, lock=Leaky(setting.lock, setting.leak, Random(f"leak/{job.seed}/{index}")))  # noqa: S311


def _report(worker: int, seen: dict[str, Seen], error: BaseException | None) -> Report:
    if error is None:
        return Report(worker, seen)
    return Report(worker, seen, told(error), type(error).__name__, trace_of(error), refusal(error))
