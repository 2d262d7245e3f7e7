"""Run one trial: a fresh file, N workers released together, all rounds, one check.

The file may be seen through several directories, which stand for several hosts: two mounts of one filesystem, each
with a page cache of its own. The file is made through the first of them, removed through it, and read back through it
once all workers have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

from lab.analysis.between_hosts import BetweenHosts
from lab.analysis.holds import Exclusion, Overtaking, Row, as_held, overtaking, sweep
from lab.errors import CannotRunError, LabError
from lab.locking import nested, prepared
from lab.memory import Backing, Shared, find_backing
from lab.memory.folder import status
from lab.memory.named_files import files_left, named_files
from lab.processes import TOUCH_S, Exit, Orphan, WorkerPool, cpus_for, doing
from lab.records import Failure, Recording, SampledLocks
from lab.scenario import Damage, Operations, Outcome, Scenario
from lab.scenario.base import broken_invariant, has_invariant, listed_damage

from .ahead import WorkersAhead
from .call_log import CallLog
from .fault_plan import plan_of
from .faults import shut_out
from .first_content import FirstContent, fixed_by_its_author
from .fresh_starts import fresh_starts
from .invariant import Checks, InvariantChecker
from .mailbox import EVIDENCE_KEPT, Mailbox, Pace, Report, explain
from .recorder import DEADLOCKS, FINISHED_NS, GAVE_UP, PRIVATE_BYTES, REFUSED, ROUNDS_DONE, UNRECORDED, Log
from .tracing import Tape, transcript
from .worker import Job, Setting, worker_of

if TYPE_CHECKING:
    from .calls import JudgedCalls
    from .programs.recorded import Recorded

NO_FILES: Mapping[str, bytes | None] = {}
ADVICE = "give directories that are one and the same, seen through two mounts"


@contextmanager
def trial_file(
    backing: Backing,
    number: int,
    folders: Sequence[Path],
    content: bytes | bytearray,
    *,
    sparse: bool,
    files: Mapping[str, bytes | None] = NO_FILES,
) -> Iterator[tuple[tuple[str, ...], Shared]]:
    """Share bytes with this content, yield the file's name in each folder, and remove all of it after the block.

    The scenario's own `files` are made beside it.

    The name is new even where another trial of this number was: through a second mount an old name may lead to the
    inode that it once had. Raises CannotRunError where the file cannot be made, where a folder does not show it as it
    was made, or where the backing is refused there.
    """
    name = f"{time_ns():x}-trial-{number}"
    first = folders[0] / name
    with ExitStack() as removed:
        with doing(f"making {first}", TOUCH_S):
            shared = removed.enter_context(backing.share(first, content, sparse=sparse))
            removed.enter_context(named_files(first, files))
            for folder in folders:
                check_shown(folder / name, len(content) if backing.of_file else 0, first)
                shared.open(folder / name).close()
        try:
            yield tuple(str(folder / name) for folder in folders), shared
        finally:
            with doing(f"removing {first}", TOUCH_S):
                removed.close()


def check_shown(path: Path, size: int, made: Path) -> None:
    """Raise CannotRunError where this name does not lead to a file of that size: a mapping of it could kill."""
    try:
        shown = status(path).st_size
    except OSError as error:
        raise CannotRunError(
            f"{path.parent}: does not show a file made in {made.parent} ({error.strerror}); {ADVICE}"
        ) from error
    if shown != size:
        raise CannotRunError(
            f"{path.parent}: shows {shown:,} of the {size:,} bytes of a file made in {made.parent}; {ADVICE}"
        )


@dataclass(frozen=True, slots=True)
class Result:
    """The raw figures of one trial, before anything is summed up.

    `zeros` are the kinds of damage that the check looked for and did not find. `gave_up` is how many requests a lock of
    limited patience refused: their rounds are not among those done. `orphans` outlived the workers that had started
    them.

    `unkept` is the number of recorded holds that are no longer among `holds`, of which a long stress keeps a sample.
    `refused` and `deadlocks` are the requests that a stress test had to make again, after EAGAIN and EDEADLK.
    `invariant_checks` is how many times the scenario's invariant was checked before the workers had ended.
    `faults_made` is how many times the fault of the case was made, `fault_note` what was done last, and `kills_inside`
    how many of the processes that crashed held a lock then.
    `between` has what several hosts add to it, `calls` what became of the calls of a structure with operations.
    """

    wall_ns: int
    rounds_done: list[int]
    running_ns: list[int]
    exits: list[Exit]
    holds: list[Row]
    unrecorded: int
    exclusion: Exclusion
    private_bytes: int
    unkept: int = 0
    refused: int = 0
    deadlocks: int = 0
    damage: list[Damage] = field(default_factory=list)
    zeros: list[Damage] = field(default_factory=list)
    gave_up: int = 0
    overtaking: Overtaking = field(default_factory=Overtaking)
    failures: list[Failure] = field(default_factory=list)
    recording: Recording | None = None
    sampled: SampledLocks | None = None
    recorded: Recorded | None = None
    orphans: Sequence[Orphan] = ()
    faults_made: int = 0
    kills_inside: int = 0
    invariant_checks: int = 0
    fault_note: str = ""
    between: BetweenHosts | None = None
    calls: JudgedCalls | None = None

    def judge(self, found: Iterable[Damage]) -> None:
        """Add what the check found."""
        for each in found:
            (self.damage if each.count else self.zeros).append(each)

    @property
    def bases(self) -> dict[str, int]:
        """Return what each kind of damage is counted against, `Damage.of`, of the kinds that were looked for."""
        every = [*self.zeros, *self.damage]
        return {kind: max(each.of for each in every if each.kind == kind) for kind in {each.kind for each in every}}

    @property
    def operations(self) -> int:
        """Return the number of rounds that all workers completed."""
        return sum(self.rounds_done)

    @property
    def held(self) -> int:
        """Return how many holds were recorded."""
        return len(self.holds) + self.unkept


def run_trial(setting: Setting, number: int, folders: Sequence[Path]) -> Result:
    """Race once, on a new file in this folder.

    Several folders are one directory seen through several mounts: the workers are divided among them, and each opens
    the file by its own name of it. Raises CannotRunError where the file, the mapping or the fork is refused, or a
    folder does not show the file, and ScenarioError where the scenario raised outside its workers.

    Trial 0 also asks its workers for their private memory.
    """
    if setting.fault and setting.fault.what == "crash":
        from .crash import run_crash_trial

        return run_crash_trial(setting, number, folders)
    content = FirstContent.of(setting)
    backing = find_backing(setting.backing)
    with (
        trial_file(backing, number, folders, content.bytes, sparse=setting.scenario.sparse, files=content.files) as (
            paths,
            shared,
        ),
        prepared(setting.lock, paths[0]) as lock,
    ):
        setting = replace(setting, lock=lock)
        job = job_of(setting, number, content, paths, shared)
        if setting.program:
            return _raced_beside_programs(setting, job, number)
        job = replace(job, fresh=fresh_starts(setting, job, len(folders)))
        with started(setting, job, number, range(setting.workers)) as race:
            found = race(None)
        return _judged(setting, job, number, found, result_of(found, sweep(found.holds)))


def job_of(
    setting: Setting,
    number: int,
    content: FirstContent,
    paths: tuple[str, ...],
    shared: Shared,
    *,
    populated: bool = True,
) -> Job:
    """Return what the workers of a trial have in common, with a new log; the lock of the setting is prepared."""
    kind = type(setting.scenario)
    records = setting.rounds * setting.scenario.holds_per_round if setting.lock.excludes else 0
    log = Log(setting.workers, records, helpers=bool(setting.fault), populated=populated)
    return Job(
        paths=paths,
        shared=shared,
        memory=content.memory,
        layout=content.layout,
        backing=find_backing(setting.backing),
        lock=setting.lock,
        workers=setting.workers,
        rounds=setting.rounds,
        seed=f"{setting.seed}/{number}",
        window_ns=setting.window_ns,
        stresses=setting.stresses,
        log=log,
        has_files=bool(content.files),
        tape=Tape(log, setting.workers, content.bytes) if setting.recorded else None,
        calls=CallLog(kind, setting.workers, setting.rounds) if issubclass(kind, Operations) else None,
        plan=plan_of(setting.fault, f"{setting.seed}/{number}", setting.workers, log),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What the workers of one machine left in a trial, before anything is concluded from it.

    The lists by worker have the workers of this machine alone, in their order; a worker's number is that among all
    workers of the trial. Times are in ns of this machine's CLOCK_MONOTONIC. They had `time_limit_s` in all.
    """

    released_ns: int
    workers: int
    time_limit_s: float
    exits: list[Exit]
    reports: list[Report]
    failures: list[Failure]
    holds: list[Row]
    ended_ns: list[int]
    rounds_done: list[int]
    unrecorded: int
    refused: int
    deadlocks: int
    gave_up: int
    private_bytes: int
    orphans: Sequence[Orphan] = ()
    checks: Checks = field(default_factory=Checks)


@contextmanager
def started(
    setting: Setting, job: Job, number: int, workers: range, *, looks: bool = True
) -> Iterator[Callable[[Callable[[], None] | None], Gathered]]:
    """Fork these workers of a trial, hold them at the start barrier, and yield the function that lets them race.

    It returns what they left once all have ended; after the block none of them is left. What it gets is called again
    and again meanwhile, and passes some time itself. The invariant of the scenario is checked meanwhile if it `looks`.
    """
    first = workers.start
    with closing(Mailbox()) as mailbox, closing(WorkersAhead(setting, job)) as ahead:
        prepare = worker_of(setting, job, mailbox, ahead.make, weigh=number == 0)
        with (
            InvariantChecker(setting, job) if looks else nullcontext() as checker,
            WorkerPool(
                len(workers),
                lambda index: prepare(first + index),
                cpus_for(setting.pin),
                isolate=setting.isolated,
                before=lambda some: ahead.build(workers[some.start : some.stop]),
            ) as pool,
        ):
            ahead.close()
            pool.gather(setting.time_limit_s * setting.most_limits)

            def race(meanwhile: Callable[[], None] | None = None) -> Gathered:
                released_ns = pool.release()
                if checker:
                    checker.begin()
                plan = job.plan
                # Under a fault a limit is short: a machine with a busy disk may stand still for as long.
                stalled = partial(pool.stalled, setting.time_limit_s) if setting.fault else bool
                pace = Pace(job.log, setting.most_limits, stalled)
                look = (lambda: plan.look(pool.pids)) if plan else meanwhile
                halfway = None if setting.fault or setting.stresses else pace.look
                exits = pool.wait(setting.time_limit_s, meanwhile=look, halfway=halfway, goes_on=pace.goes_on)
                checks = checker.result() if checker else Checks()
                exits = [replace(each, index=first + each.index) for each in exits] if first else exits
                reports, limit_s = list(mailbox.read()), setting.time_limit_s * pace.limits
                found = gather(job, number, released_ns, exits, reports, limit_s, workers)
                return replace(found, orphans=pool.orphans, checks=checks)

            yield race


def _raced_beside_programs(setting: Setting, job: Job, number: int) -> Result:
    """Run the workers and the programs; for each program that ended well the figures of a worker are recorded.

    The forks of other races do not pay for the observation of programs.
    """
    from .programs.explain import explain_programs
    from .programs.launch import without_extras
    from .programs.watch import run_programs

    with closing(Mailbox()) as mailbox, without_extras(Path(job.path)):
        prepare = worker_of(setting, job, mailbox, WorkersAhead(setting, job).make, weigh=number == 0)
        ran = run_programs(setting, list(map(Path, job.paths)), mailbox, job.seed, prepare)
        reports = list(mailbox.read())
    for index in filter(ran.well, setting.programs):
        segment = job.log.segment(index)
        segment[FINISHED_NS], segment[ROUNDS_DONE] = ran.ended_ns[index], setting.rounds
    own = [] if ran.unready else [ended for ended in ran.exits if ended.index not in setting.programs]
    workers, limit_s = range(setting.workers), setting.time_limit_s
    found = gather(job, number, ran.released_ns, own, reports, limit_s, workers)
    found.failures.extend(explain_programs(setting, number, ran, {each.worker: each.error for each in reports}))
    found = replace(found, exits=ran.exits, orphans=ran.orphans)
    result = replace(result_of(found, sweep(found.holds)), sampled=ran.samples.result(found.holds))
    return _judged(setting, job, number, found, result)


def gather(
    job: Job,
    number: int,
    released_ns: int,
    exits: list[Exit],
    reports: list[Report],
    time_limit_s: float,
    workers: range,
) -> Gathered:
    """Return what these workers left, and why some of them failed. Raises CannotRunError where one was refused."""
    refused = [report for report in reports if report.kind == CannotRunError.__name__]
    if refused:
        raise CannotRunError(refused[0].error.partition(": ")[2])
    log, done = job.log, job.log.header(ROUNDS_DONE)
    return Gathered(
        released_ns=released_ns,
        workers=job.workers,
        time_limit_s=time_limit_s,
        exits=exits,
        reports=reports,
        failures=list(explain(job, number, time_limit_s, exits, reports, done)),
        holds=as_held(list(log.holds()), nested(job.lock)),
        ended_ns=[end or released_ns for end in log.header(FINISHED_NS)[workers.start : workers.stop]],
        rounds_done=done[workers.start : workers.stop],
        unrecorded=log.total(UNRECORDED),
        refused=log.total(REFUSED),
        deadlocks=log.total(DEADLOCKS),
        gave_up=log.total(GAVE_UP),
        private_bytes=max(log.header(PRIVATE_BYTES)),
    )


def result_of(found: Gathered, exclusion: Exclusion) -> Result:
    """Return the figures of a trial from what its workers left, and from the overlaps among their holds."""
    wall_ns = max(found.ended_ns) - found.released_ns
    return Result(
        wall_ns=wall_ns,
        rounds_done=found.rounds_done,
        running_ns=[end - found.released_ns for end in found.ended_ns],
        exits=found.exits,
        holds=found.holds,
        unrecorded=found.unrecorded,
        exclusion=exclusion,
        overtaking=overtaking(found.holds, found.workers, wall_ns),
        private_bytes=found.private_bytes,
        refused=found.refused,
        deadlocks=found.deadlocks,
        gave_up=found.gave_up,
        invariant_checks=found.checks.count,
        failures=found.failures,
        orphans=found.orphans,
    )


def _judged(setting: Setting, job: Job, number: int, found: Gathered, result: Result) -> Result:
    """Return the result with what the check found, and in a recorded trial with the record of it."""
    if job.plan:
        result.failures.extend(shut_out(number, job.log.deaths(), found.holds, found.gave_up))
    made = job.plan.made if job.plan else job.workers if setting.fault else 0
    result = replace(result, faults_made=made)
    if not result.failures and not (setting.fault and setting.fault.kills):
        result.judge(check(setting.scenario, job, found.rounds_done, found.reports, found.time_limit_s, found.checks))
    if job.calls and not result.failures:
        from .calls import judged_calls  # searches of histories are mapped, and each fork would copy the maps

        judged = judged_calls(setting.scenario, job, found.holds)
        result = replace(result, calls=judged)
        result.judge(judged.damage)
    if job.tape:
        with suppress(*[LabError] * bool(result.failures)):  # a file that a failed worker left may not be readable
            return replace(result, recording=transcript(job, found.released_ns, result))
    return result


def check(
    scenario: Scenario,
    job: Job,
    done: list[int],
    reports: list[Report],
    limit_s: float,
    checks: Checks,
    *,
    begun: Sequence[int] = (),
) -> Iterable[Damage]:
    """Return what the scenario's own check and its invariant found, then what the workers saw meanwhile.

    Seen through several mounts, the file is read through the first, opened after all workers have closed it: a shared
    filesystem guarantees at least that an open shows what was closed before (close-to-open consistency). Data that is
    missing then is lost to every program that starts on that host, whatever another mount may still show.
    """
    with doing(f"reading back {job.path}", TOUCH_S):
        memory = job.memory.from_buffer(job.shared.read_back())
        files = files_left(job.path) if job.has_files else {}
    with fixed_by_its_author("check", limit_s):
        outcome = Outcome(rounds=sum(done), by_worker=done, begun=begun, files=files)
        damage = listed_damage(scenario.check(memory, outcome), scenario.check)
    if has_invariant(type(scenario)):
        with fixed_by_its_author("invariant", limit_s):
            checks.add(broken_invariant(scenario, memory), "at the end")
        damage = checks.beside(damage)
    counts: Counter[str] = Counter()
    evidence: dict[str, list[str]] = {}
    for report in reports:
        for kind, seen in report.seen.items():
            counts[kind] += seen.count
            evidence.setdefault(kind, []).extend(seen.evidence)
    return damage + [Damage(kind, count, sum(done), evidence[kind][:EVIDENCE_KEPT]) for kind, count in counts.items()]
