"""One trial: a fresh file, N workers released together, all rounds, one check."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic_ns
from typing import Any

from lab.errors import CannotRunError, LabError, ScenarioError
from lab.locks import Leaky, Lock
from lab.model.holds import Exclusion, Row, sweep
from lab.processes import Crew, Exit, cpus_for, private_bytes
from lab.regions import REGIONS, create, read_back
from lab.results import Failure
from lab.scenario import Damage, Layout, Outcome, Scenario

from .failures import explain
from .log import FINISHED_NS, PRIVATE_BYTES, ROUNDS_DONE, Log
from .reports import EVIDENCE_KEPT, Mailbox, Report, Seen
from .worker import Job, RaceWorker

ASKED_FOR_MEMORY = 8
"""How many workers of a trial read their own private memory: it takes a walk over their page tables."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the trials of one case share."""

    scenario: Scenario
    lock: Lock
    workers: int
    rounds: int
    pin: str
    window_ns: int
    leak: float
    time_limit_s: float
    seed: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one trial left: raw, before anything is summed up."""

    wall_ns: int
    rounds_done: list[int]
    running_ns: list[int]
    exits: list[Exit]
    holds: list[Row]
    unrecorded: int
    exclusion: Exclusion
    private_bytes: int
    damage: list[Damage] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def operations(self) -> int:
        """Rounds that all workers completed."""
        return sum(self.rounds_done)


def run_trial(setting: Setting, number: int, folder: Path) -> Result:
    """Race once, on a new file in this folder.

    Raises CannotRunError where the file, the mapping or the fork is refused, and ScenarioError where the scenario
    raised outside its workers.

    Trial 0 also asks its workers for their private memory.
    """
    scenario = setting.scenario
    with _mended_by_its_author("layout"):
        memory = scenario.layout(setting.workers, setting.rounds)
        scenario.Memory = memory
        layout = Layout(memory)
    path = folder / f"trial-{number}"
    content = bytearray(layout.size)
    with _mended_by_its_author("prepare"):
        scenario.prepare(memory.from_buffer(content))
    region = REGIONS[scenario.region]
    try:
        create(path, content, sparse=scenario.sparse)
        region.map(path, layout.size).close()
        job = Job(
            path=str(path),
            memory=memory,
            layout=layout,
            region=region,
            lock=setting.lock,
            workers=setting.workers,
            rounds=setting.rounds,
            seed=f"{setting.seed}/{number}",
            window_ns=setting.window_ns,
            log=Log(setting.workers, setting.rounds * scenario.holds_per_round if setting.lock.excludes else 0),
        )
        return _race(setting, job, number)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _mended_by_its_author(method: str) -> Iterator[None]:
    """Around what a scenario does in the process that forks: its exception becomes a ScenarioError with its place."""
    try:
        yield
    except (LabError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if method == "layout" and isinstance(error, OverflowError):
            raise  # more rounds than a struct can be made for
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ScenarioError(
            f"{method} raised {type(error).__name__}: {error} ({place.filename}:{place.lineno}); mend the file"
        ) from error


def _race(setting: Setting, job: Job, number: int) -> Result:
    mailbox = Mailbox()
    try:
        prepare = _worker_of(setting, job, mailbox, weigh=number == 0)
        with Crew(job.workers, prepare, cpus_for(setting.pin)) as crew:
            crew.gather(setting.time_limit_s)
            released_ns = crew.release()
            exits = crew.wait(setting.time_limit_s)
        return _gather(setting, job, number, released_ns, exits, list(mailbox.read()))
    finally:
        mailbox.close()


def _worker_of(setting: Setting, job: Job, mailbox: Mailbox, *, weigh: bool) -> Callable[[int], Callable[[], None]]:
    """What each worker does before the barrier and after it; whatever goes wrong there ends up in the mailbox."""
    scenario = setting.scenario

    def prepare(index: int) -> Callable[[], None]:
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
    """The hot loop: nothing in it but the work and two stores."""
    for worker.round in range(worker.rounds):  # noqa: B020 - an attribute, not the worker, runs through the range
        header[ROUNDS_DONE] = worker.round
        work(worker)
    header[ROUNDS_DONE] = worker.rounds


def _leaking(setting: Setting, job: Job, index: int) -> Job:
    """The job with this worker's own liar in the place of the lock, where one was asked for."""
    if not setting.leak or not setting.lock.excludes:
        return job
    from random import Random

    return replace(job, lock=Leaky(setting.lock, setting.leak, Random(f"leak/{job.seed}/{index}")))  # noqa: S311


def _report(worker: int, seen: dict[str, Seen], error: BaseException | None) -> Report:
    if error is None:
        return Report(worker, seen)
    trace = "".join(traceback.format_exception(error))
    return Report(worker, seen, f"{type(error).__name__}: {error}", type(error).__name__, trace)


def _gather(
    setting: Setting, job: Job, number: int, released_ns: int, exits: list[Exit], reports: list[Report]
) -> Result:
    refused = [report for report in reports if report.kind == CannotRunError.__name__]
    if refused:
        raise CannotRunError(refused[0].error.partition(": ")[2])
    log = job.log
    ends = [end or released_ns for end in log.header(FINISHED_NS)]
    holds = list(log.holds())
    result = Result(
        wall_ns=max(ends) - released_ns,
        rounds_done=log.header(ROUNDS_DONE),
        running_ns=[end - released_ns for end in ends],
        exits=exits,
        holds=holds,
        unrecorded=log.unrecorded(),
        exclusion=sweep(holds),
        private_bytes=max(log.header(PRIVATE_BYTES)),
    )
    result.failures.extend(explain(job, number, setting.time_limit_s, exits, reports, result.rounds_done))
    if not result.failures:
        result.damage.extend(_check(setting.scenario, job, result.rounds_done, reports))
    return result


def _check(scenario: Scenario, job: Job, done: list[int], reports: list[Report]) -> Iterable[Damage]:
    """The scenario's own check, then what the workers saw on the way; only what is damaged."""
    memory = job.memory.from_buffer(read_back(Path(job.path), job.layout.size))
    with _mended_by_its_author("check"):
        found = scenario.check(memory, Outcome(rounds=sum(done), by_worker=done))
        damage = [found] if isinstance(found, Damage) else list(found)
        if not all(isinstance(each, Damage) for each in damage):
            raise TypeError(f"{damage!r} is no list of Damage")
    counts: Counter[str] = Counter()
    evidence: dict[str, list[str]] = {}
    for report in reports:
        for kind, seen in report.seen.items():
            counts[kind] += seen.count
            evidence.setdefault(kind, []).extend(seen.evidence)
    damage += [Damage(kind, count, sum(done), evidence[kind][:EVIDENCE_KEPT]) for kind, count in counts.items()]
    return [each for each in damage if each.count]
