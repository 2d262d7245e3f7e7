"""Run one trial: a fresh file, N workers released together, all rounds, one check.

The file may be seen through several directories, which stand for several hosts: two mounts of one filesystem, each
with a page cache of its own. The file is made through the first of them, removed through it, and read back through it
once all workers have ended. `with_recording` runs one more trial of a case, which is recorded and does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

from lab.analysis.holds import Exclusion, Overtaking, Row, as_held, overtaking, sweep
from lab.errors import CannotRunError, LabError, ScenarioError
from lab.locking import nested, prepared
from lab.memory import Backing, Shared, find_backing
from lab.memory.folder import status
from lab.processes import TOUCH_S, Exit, Orphan, WorkerPool, cpus_for, doing
from lab.processes.deadlines import Limited, TooLong
from lab.processes.pool import Prepare
from lab.records import Failure, Recording, SampledLocks
from lab.scenario import Damage, Layout, Outcome, Scenario
from lab.scenario.base import broken_invariant, endless_error, exception_text, has_invariant, listed_damage

from .fault_plan import plan_of
from .faults import shut_out
from .invariant import Checks, InvariantChecker
from .mailbox import EVIDENCE_KEPT, Mailbox, Report, explain
from .recorder import DEADLOCKS, FINISHED_NS, GAVE_UP, PRIVATE_BYTES, REFUSED, ROUNDS_DONE, UNRECORDED, Log
from .tracing import Tape, transcript
from .worker import Job, Setting, worker_of

if TYPE_CHECKING:
    from .programs.recorded import Recorded
    from .programs.watch import Ran
from collections.abc import Callable

from lab.host.environment import anonymous_text
from lab.locking import LockFailed
from lab.records import Case, Verdict

ADVICE = "give directories that are one and the same, seen through two mounts"


@contextmanager
def trial_file(
    backing: Backing, number: int, folders: Sequence[Path], content: bytes | bytearray, *, sparse: bool
) -> Iterator[tuple[tuple[str, ...], Shared]]:
    """Share bytes with this content, yield the file's name in each folder, and remove all of it after the block.

    The name is new even where another trial of this number was: through a second mount an old name may lead to the
    inode that it once had. Raises CannotRunError where the file cannot be made, where a folder does not show it as it
    was made, or where the backing is refused there.
    """
    name = f"{time_ns():x}-trial-{number}"
    first = folders[0] / name
    with ExitStack() as removed:
        with doing(f"making {first}", TOUCH_S):
            shared = removed.enter_context(backing.share(first, content, sparse=sparse))
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
    `faults_made` is how many times the fault of the case was made, `fault_note` what was done last.
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
    invariant_checks: int = 0
    fault_note: str = ""

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


class Pace:
    """The time limits that the workers of a trial get: one more, as long as they do rounds, up to `most`."""

    def __init__(self, log: Log, most: int) -> None:
        self.limits = 1
        self._log = log
        self._most = most
        self._done = 0

    def goes_on(self) -> bool:
        """Return True where they did rounds since the last look."""
        before, self._done = self._done, sum(self._log.header(ROUNDS_DONE))
        slow = self._done > before and self.limits < self._most
        self.limits += slow
        return slow


def run_trial(setting: Setting, number: int, folders: Sequence[Path]) -> Result:
    """Race once, on a new file in this folder.

    Several folders are one directory seen through several mounts: the workers are divided among them, and each opens
    the file by its own name of it. Raises CannotRunError where the file, the mapping or the fork is refused, or a
    folder does not show the file, and ScenarioError where the scenario raised outside its workers.

    Trial 0 also asks its workers for their private memory.
    """
    scenario = setting.scenario
    with fixed_by_its_author("layout", setting.time_limit_s):
        memory = scenario.layout(setting.workers, setting.rounds)
        scenario.Memory = memory
        layout = Layout(memory)
    content = bytearray(layout.size)
    with fixed_by_its_author("prepare", setting.time_limit_s):
        scenario.prepare(memory.from_buffer(content))
    backing = find_backing(setting.backing)
    records = setting.rounds * scenario.holds_per_round if setting.lock.excludes else 0
    log = Log(setting.workers, records, helpers=bool(setting.fault))
    with (
        trial_file(backing, number, folders, content, sparse=scenario.sparse) as (paths, shared),
        prepared(setting.lock, paths[0]) as lock,
    ):
        job = Job(
            paths=paths,
            shared=shared,
            memory=memory,
            layout=layout,
            backing=backing,
            lock=lock,
            workers=setting.workers,
            rounds=setting.rounds,
            seed=f"{setting.seed}/{number}",
            window_ns=setting.window_ns,
            stresses=setting.stresses,
            log=log,
            tape=Tape(log, setting.workers, content) if setting.recorded else None,
            plan=plan_of(setting.fault, f"{setting.seed}/{number}", setting.workers, log),
        )
        return _race(replace(setting, lock=lock), job, number)


@contextmanager
def fixed_by_its_author(method: str, limit_s: float) -> Iterator[None]:
    """Turn an exception of the scenario, in the process that forks, into a ScenarioError with its place.

    The end of its time, at which the method is interrupted, becomes such an error too.
    """
    try:
        with Limited(limit_s):
            yield
    except TooLong as error:
        raise endless_error(method, error, limit_s) from error
    except (LabError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if method == "layout" and isinstance(error, OverflowError):
            raise  # more rounds than a struct can be made for
        raise ScenarioError(f"{method} raised {exception_text(error)}; fix the file") from error


def _race(setting: Setting, job: Job, number: int) -> Result:
    mailbox = Mailbox()
    try:
        prepare = worker_of(setting, job, mailbox, weigh=number == 0)
        if setting.program:
            ran = _run_beside_programs(setting, job, mailbox, prepare)
            return _gather(setting, job, number, ran.released_ns, ran.exits, list(mailbox.read()), ran)
        with (
            InvariantChecker(setting, job) as checker,
            WorkerPool(job.workers, prepare, cpus_for(setting.pin), isolate=setting.isolated) as pool,
        ):
            pool.gather(setting.time_limit_s * setting.most_limits)
            released_ns = pool.release()
            checker.begin()
            pace, plan = Pace(job.log, setting.most_limits), job.plan
            meanwhile = (lambda: plan.look(pool.pids)) if plan else None
            exits = pool.wait(setting.time_limit_s, meanwhile=meanwhile, goes_on=pace.goes_on)
            checks = checker.result()
        setting = replace(setting, time_limit_s=setting.time_limit_s * pace.limits)
        result = _gather(setting, job, number, released_ns, exits, list(mailbox.read()), checks=checks)
        made = job.plan.made if job.plan else job.workers if setting.fault else 0
        return replace(result, orphans=pool.orphans, faults_made=made)
    finally:
        mailbox.close()


def _run_beside_programs(setting: Setting, job: Job, mailbox: Mailbox, prepare: Prepare) -> Ran:
    """Run the workers and the programs; for each program that ended well the figures of a worker are recorded.

    The forks of other races do not pay for the observation of programs.
    """
    from .programs.launch import without_extras
    from .programs.watch import run_programs

    with without_extras(Path(job.path)):
        ran = run_programs(setting, list(map(Path, job.paths)), mailbox, job.seed, prepare)
    for index in filter(ran.well, setting.programs):
        segment = job.log.segment(index)
        segment[FINISHED_NS], segment[ROUNDS_DONE] = ran.ended_ns[index], setting.rounds
    return ran


def _gather(
    setting: Setting,
    job: Job,
    number: int,
    released_ns: int,
    exits: list[Exit],
    reports: list[Report],
    ran: Ran | None = None,
    checks: Checks | None = None,
) -> Result:
    refused = [report for report in reports if report.kind == CannotRunError.__name__]
    if refused:
        raise CannotRunError(refused[0].error.partition(": ")[2])
    log, checks = job.log, checks or Checks()
    ends = [end or released_ns for end in log.header(FINISHED_NS)]
    holds = as_held(list(log.holds()), nested(job.lock))
    wall_ns = max(ends) - released_ns
    result = Result(
        wall_ns=wall_ns,
        rounds_done=log.header(ROUNDS_DONE),
        running_ns=[end - released_ns for end in ends],
        exits=exits,
        holds=holds,
        unrecorded=log.total(UNRECORDED),
        exclusion=sweep(holds),
        overtaking=overtaking(holds, setting.workers, wall_ns),
        private_bytes=max(log.header(PRIVATE_BYTES)),
        refused=log.total(REFUSED),
        deadlocks=log.total(DEADLOCKS),
        gave_up=log.total(GAVE_UP),
        invariant_checks=checks.count,
    )
    own = [] if ran and ran.unready else [ended for ended in exits if ended.index not in setting.programs]
    result.failures.extend(explain(job, number, setting.time_limit_s, own, reports, result.rounds_done))
    if ran:
        from .programs.explain import explain_programs

        result.failures.extend(explain_programs(setting, number, ran, {each.worker: each.error for each in reports}))
        result = replace(result, sampled=ran.samples.result(holds), orphans=ran.orphans)
    if job.plan:
        result.failures.extend(shut_out(number, log.deaths(), holds, result.gave_up))
    if not result.failures and not (setting.fault and setting.fault.kills):
        result.judge(_check(setting.scenario, job, result.rounds_done, reports, setting.time_limit_s, checks))
    if job.tape:
        with suppress(*[LabError] * bool(result.failures)):  # a file that a failed worker left may not be readable
            return replace(result, recording=transcript(job, released_ns, result))
    return result


def _check(
    scenario: Scenario, job: Job, done: list[int], reports: list[Report], limit_s: float, checks: Checks
) -> Iterable[Damage]:
    """Return what the scenario's own check and its invariant found, then what the workers saw meanwhile.

    Seen through several mounts, the file is read through the first, opened after all workers have closed it: a shared
    filesystem guarantees at least that an open shows what was closed before (close-to-open consistency). Data that is
    missing then is lost to every program that starts on that host, whatever another mount may still show.
    """
    with doing(f"reading back {job.path}", TOUCH_S):
        memory = job.memory.from_buffer(job.shared.read_back())
    with fixed_by_its_author("check", limit_s):
        damage = listed_damage(scenario.check(memory, Outcome(rounds=sum(done), by_worker=done)), scenario.check)
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


ATTEMPTS = 20
"""The most trials that are raced until one shows what is looked for."""

IN_IT = "in the recorded trial"


def with_recording(row: Case, setting: Setting, rounds: int, folders: Sequence[Path]) -> Case:
    """Add one more trial to the row, in which every access is recorded, of so many rounds of all workers together.

    It counts in none of the row's figures: recording takes time, and so widens the race window. Where the row was
    damaged, or was expected to be, the first damaged trial is kept; under a lock that holds, the first in which a
    request met a holder. A worker that fails in it, and a scenario or lock that raises, make the case a failed one. A
    row whose trials could not run stays as it is; `not_recorded` says why a trial could not be recorded.
    """
    if row.verdict == "unsupported" or not row.trials:
        return row
    each = min(setting.rounds, max(1, rounds // setting.workers))
    recorded = replace(setting, rounds=each, recorded=True, seed=f"{setting.seed}/recorded")
    wanted = "damaged" in (row.verdict, row.expected)
    try:
        recording, failures = _first(recorded, folders, _broke if wanted else _met)
    except (ScenarioError, LockFailed) as error:
        return row if row.failures else replace(row, verdict="died", reason=anonymous_text(f"{IN_IT}, {error}"))
    except (LabError, MemoryError, OverflowError, OSError) as error:
        return replace(row, not_recorded=anonymous_text(str(error) or type(error).__name__))
    row = replace(row, recording=recording)
    if not failures or row.failures:
        return row
    first = failures[0]
    reason = f"{IN_IT}, worker {first.worker} {first.reason}, in round {first.round}"
    verdict: Verdict = "timeout" if all(failure.how == "late" for failure in failures) else "died"
    return replace(row, failures=failures, verdict=verdict, reason=reason)


def _first(
    setting: Setting, folders: Sequence[Path], shows: Callable[[Result], bool]
) -> tuple[Recording | None, list[Failure]]:
    """Return the first trial that shows it, or the last of all attempts; and the workers that failed in it."""
    for attempt in range(1, ATTEMPTS + 1):
        result = run_trial(setting, attempt, folders)
        if shows(result):
            break
    recording = replace(result.recording, attempts=attempt) if result.recording else None
    return recording, result.failures


def _broke(result: Result) -> bool:
    return bool(result.damage or result.failures or result.exclusion.overlaps)


def _met(result: Result) -> bool:
    return bool(not result.holds or result.exclusion.contended or _broke(result))
