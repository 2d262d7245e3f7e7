"""Define the records of a race: a run, its cases, the raw samples behind their figures, and recorded trials.

In a recorded trial every load, store and lock was written down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Damage, Header, Holds, Quantiles
from .explore import ExploredCase
from .hosts import TIMEOUT_S, BetweenHosts, Host
from .watch import WatchedLocks


@dataclass(frozen=True, slots=True)
class Field:
    """The plain values of one name in the layout of the file: `start` is the first byte of the first of them.

    `dimensions` are the arrays that they stand in, outermost first: how many elements, and the bytes from one to the
    next; each fills a `[]` of the name. `size` is that of one value in bytes.
    """

    name: str
    start: int
    size: int
    kind: Literal["unsigned", "signed", "real", "text"]
    dimensions: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes of the file, as hexadecimal digits: before the workers were released, and after they had ended."""

    start: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Accesses:
    """The accesses of the workers to the file in the order in which they began, one column for each fact.

    `kind` is 0 for a load, 1 for a store, 2 for corruption that the worker reported. Times are in ns from the release
    of the start barrier; `ended_ns` is -1 where the worker ended before. `kept` bytes of each are in `content`: what
    was loaded, what was to be stored, or the words of the report, one after the other in the same order, compressed as
    zlib does (RFC 1950) and spelled as base64 (RFC 4648).
    """

    worker: list[int] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    begun_ns: list[int] = field(default_factory=list)
    ended_ns: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    content: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """One more trial of a case, recorded in full; recording takes time, so it counts in none of the case's figures.

    `rounds` are those of each worker, `done` those that each completed. A worker's number from the number of workers on
    is that of a second owner in a worker: its twin, or its children. `attempts` is how many trials were raced until one
    was damaged, where the case's own were, or until a request met a holder. `blocks` are the parts of the file's `size`
    bytes that held or were given anything but zeros; those that found no room are left out. The records that found no
    room in the log are counted.
    """

    rounds: int
    done: list[int]
    attempts: int
    wall_ns: int
    size: int
    fields: list[Field]
    blocks: list[Block]
    holds: Holds
    accesses: Accesses
    damage: list[Damage] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    blocks_left_out: int = 0
    unrecorded_holds: int = 0
    unrecorded_accesses: int = 0


How = Literal["raised", "refused", "killed", "late"]
Verdict = Literal["clean", "damaged", "died", "timeout", "unsupported", "inconclusive"]

ITS_OWN = "its own"
"""This is the lock and the backing of programs without a scenario, whatever they use."""

CRASHED = "killed, recovered"
"""The fault of the rows of `--crash kill`."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run; None, or no lock or backing, is the scenario's own choice.

    `record` is how many rounds of all workers together one more trial of each case was to write down. `program` is the
    command line of workers that are programs: all of them, judged by `check`, which is a Python file or a command, on a
    file whose first content the command `prepare` wrote, or `program_workers` of them
    beside the `workers` of a scenario. `detects` is the rate of false grants that each clean case under a lock had to
    be able to notice; null where any strength will do. `faults` is what was asked for: none, short or long; where it is
    empty, a lock of the user and a program alone had the short ones, unless something crashed. With `crash`, "kill", a
    holder was killed in each trial of a row of its own, and one more worker recovered; of a program alone the command
    `recover` did, or where it is empty the next copy. In a case with faults no ordinary trial began that would have
    ended more than `ordinary_s` after the first began; null where there is no such limit. `explore` says that
    clean cases were explored too. With `isolate`, "pid", each worker was in a pid namespace of its own.
    `directories` are all of them where there were several, one directory seen through different mounts: worker i used
    number i modulo their number, from 0. `directory` is the first. With `raise_rounds` a case that was expected to
    break and did not went on with trials of more rounds; the case's `rounds` are those of the last. `files` are the
    paths of the scenarios that are neither built in nor installed, by their names. With `watch` the calls of a program
    were recorded and judged, without the accesses that `suppress` covers and the causes to `ignore`. Over several
    `hosts`, reached with their `python` and the `ssh_config`, by the command `rsh` or by `mpi`, the holds drew
    `tickets`, and with `leak_on` the lock of these hosts alone granted falsely; an answer took at most `timeout_s`.
    """

    scenarios: list[str]
    locks: list[str]
    workers: list[int]
    rounds: int | None
    trials: int
    directory: str
    seed: int
    pin: str | None
    window_ns: int
    leak: float
    time_limit_s: float
    backings: list[str] = field(default_factory=list)
    record: int = 0
    program: str = ""
    program_workers: int = 0
    check: str = ""
    prepare: str = ""
    recover: str = ""
    detects: float | None = None
    faults: str = ""
    crash: str = ""
    explore: bool = False
    ordinary_s: float | None = None
    directories: list[str] = field(default_factory=list)
    isolate: str = ""
    raise_rounds: bool = False
    watch: bool = False
    suppress: list[str] = field(default_factory=list)
    ignore: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    python: str = ""
    ssh_config: str = ""
    rsh: str = ""
    mpi: bool = False
    tickets: bool = True
    leak_on: list[str] = field(default_factory=list)
    timeout_s: float = TIMEOUT_S


CHECK, HOST, RECOVERY = -1, -2, -3
"""These numbers of workers stand for the check of a file, where that is a command, for a host with all of its, and for
the command or the copy of a program that recovers after another copy was killed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of one worker: in which trial and round, why, and the traceback where it raised.

    Worker -1 is a check that is a command and failed itself; `trace` is the last of its output. Worker -2 is a `host`
    that ended or fell silent, with all of its workers; of any other, `host` is where it ran, if there are several.
    Worker -3 is the command that recovers a file after a copy of a program was killed, or the next copy.

    `pid` is that of a worker that did not end on SIGKILL and was left behind, `where` the function of the kernel in
    which it hangs, where the kernel reports it. Of a program the round is not known, and `trace` is the last that it
    wrote to its standard error.
    """

    trial: int
    worker: int
    round: int
    how: How
    reason: str
    trace: str = ""
    pid: int | None = None
    where: str = ""
    program: bool = False
    host: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as it was measured: the raw sample behind the case's figures."""

    wall_ns: int
    operations: int
    damaged: int
    holds: int
    contended: int
    overlapping_holds: int
    completed: bool
    damaged_of: int = 0


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of all workers, from their fork to their end (getrusage(2))."""

    user: float
    system: float


@dataclass(frozen=True, slots=True)
class Switches:
    """Context switches of all workers (getrusage(2))."""

    voluntary: int
    involuntary: int


@dataclass(frozen=True, slots=True)
class LockFile:
    """A file beside the data that programs locked: in how many samples one held it, and in how many one waited for it.

    `keepers` are the processes that had its lock when a process was last seen to wait for it, including a helper that
    only inherited it. A name that begins as that of the data is given as in the command line: {file}.lock. Where it is
    no lock of the `kernel`, the file or directory came and went, as one that is made to lock and removed to unlock, and
    was there in `held` of the samples.
    """

    name: str
    held: int
    waiting: int
    keepers: list[str] = field(default_factory=list)
    kernel: bool = True


@dataclass(frozen=True, slots=True)
class SampledLocks:
    """The exclusion of programs, which record no holds, as it was seen from outside: in samples, so not all of it.

    `source` is where the locks were seen, /proc/locks, or F_GETLK, which shows one lock in each sample and no waiting
    process. In `held` of the `samples` a program held a lock on the file, in `waiting` one waited for it; `holders`
    processes of programs were seen to hold one. During `inside` of the samples a worker of the lab held a lock all the
    time, by its own record: only these can show an overlap, and in `overlapping` of them a program was seen to hold a
    lock that may not be held together with it. `beside` are the other files in the folder that programs locked: locks
    of the kernel count in `held` and `waiting` too.
    """

    source: str
    samples: int
    held: int
    waiting: int
    holders: int
    inside: int
    overlapping: int
    evidence: list[str] = field(default_factory=list)
    beside: list[LockFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RacedCalls:
    """The calls of a structure with operations in a race, and how the histories of the trials were judged.

    `overlapping` calls ran while one of another worker did. A trial may have several histories: `by_lock` are explained
    by the order of the grants, `by_search` were searched for an order, `undecided` took too long.
    """

    calls: int = 0
    overlapping: int = 0
    by_lock: int = 0
    by_search: int = 0
    undecided: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The result of one case, scenario x lock x backing x workers: one row of the table.

    `shares` says that in its backing the workers load what another one stores; where they do not the data breaks under
    every lock. `damaged` of `damaged_of` is the corruption rate: operations, unless the check counted against something
    else. `overtaken` is the most conflicting grants that came before that of one request, though they were requested
    later; `starved` is how many requests more than 10 a worker overtook while they waited for longer than half of their
    trial and than 0.1 s. `fairness` is Jain's index of the workers' rates: it shows which workers were slow, not which
    had to wait. `gave_up` is how many requests a lock refused after a time of its own: their rounds are not among the
    operations. `detection_limit` is the smallest rate of falsely granted requests that the case would have noticed with
    95 % probability, from `contended_requests`, or from `refused_requests` where they were refused instead of queued;
    null where no request met a conflicting hold. A case that is `inconclusive` was clean, and its limit is weaker than
    what was asked for. `false_deadlocks` are requests that were made again after EDEADLK. Before each store there was a
    pause of `window_ns`. `interval_95` is the exact interval of the rate of damaged trials. `private_bytes` is the
    largest private memory (USS) of a worker after its last round, of those that were asked. The samples are every n-th
    hold, at most a thousand. `explanation` is the shortest interleaving with the same kind of corruption, where it was
    asked for and found. `not_recorded` says why the trial that was to be written down could not run. The last
    `programs` of the workers were copies of the program `program`, which keeps no record of its holds: `sampled` is
    what was seen of them. Where they were `watched`, `holds` and what follows from them are their own, and `sampled` is
    null. `orphans` is how many processes outlived the worker that had started them, and were killed at
    the end of their trial; `orphan_commands` are the first different command lines of them. `fault` is what was done to
    the workers meanwhile, such as "holder killed", and `faults_made` how many times; empty for the ordinary race.
    Where they recovered, `kills_inside` of the kills met a process that held a lock; null in other rows.
    `explored` is the short exploration of a case that stayed clean; where it breaks, a case that was expected to stay
    clean is `damaged`, though none of its operations is. `invariant_checks` is how many times the scenario's invariant
    was checked while the workers raced, beside the check at the end of each trial; null where it has none. What an
    invariant finds is damage, counted against these checks. `calls` are those of a structure with operations.
    `data_checked` is false where a process was killed in the middle of its work: holds, and who is let in, decide.
    A case that was raced for a time took `raced_s` seconds, with the starts of its trials. `manner` says what its
    workers did inside the lock, "yielded" or "slept", where they met too seldom by themselves. Where it went over
    several hosts, `between_hosts` is what that adds, and `contended_requests` met a holder on another host.
    """

    scenario: str
    lock: str
    backing: str
    workers: int
    rounds: int
    pin: str
    window_ns: int = 0
    shares: bool = True
    trials: int = 0
    operations: int = 0
    damaged: int = 0
    damaged_of: int = 0
    damage: list[Damage] = field(default_factory=list)
    overlapping_holds: int = 0
    overlaps: list[str] = field(default_factory=list)
    corruption_rate: float = 0.0
    damaged_trials: int = 0
    interval_95: tuple[float, float] = (0.0, 1.0)
    holds: int = 0
    unrecorded_holds: int = 0
    contended_requests: int = 0
    refused_requests: int = 0
    false_deadlocks: int = 0
    gave_up: int = 0
    detection_limit: float | None = None
    wall_s: float = 0.0
    operations_per_s: float = 0.0
    wait_ns: Quantiles | None = None
    hold_ns: Quantiles | None = None
    fairness: float | None = None
    overtaken: int | None = None
    starved: int = 0
    read_wait_max_ns: int | None = None
    write_wait_max_ns: int | None = None
    cpu_s: Cpu = Cpu(user=0.0, system=0.0)
    context_switches: Switches = Switches(voluntary=0, involuntary=0)
    minor_faults: int = 0
    private_bytes: int | None = None
    peak_rss_bytes: int | None = None
    verdict: Verdict
    expected: str
    reason: str = ""
    why: str = ""
    counterexample: bool = False
    allows_overlaps: bool = False
    failures: list[Failure] = field(default_factory=list)
    explanation: ExploredCase | None = None
    explored: ExploredCase | None = None
    recording: Recording | None = None
    not_recorded: str = ""
    program: str = ""
    programs: int = 0
    sampled: SampledLocks | None = None
    watched: WatchedLocks | None = None
    orphans: int = 0
    orphan_commands: list[str] = field(default_factory=list)
    fault: str = ""
    faults_made: int = 0
    kills_inside: int | None = None
    invariant_checks: int | None = None
    calls: RacedCalls | None = None
    data_checked: bool = True
    raced_s: float = 0.0
    manner: Literal["", "yielded", "slept"] = ""
    between_hosts: BetweenHosts | None = None
    trial_samples: list[Trial] = field(default_factory=list)
    wait_samples_ns: list[int] = field(default_factory=list)
    hold_samples_ns: list[int] = field(default_factory=list)

    @property
    def as_expected(self) -> bool:
        """Return True when nothing happened that the scenario does not announce; expected corruption may be absent.

        Overlaps of conflicting holds are announced only where the scenario says so, whatever happened to the data.
        """
        as_announced = self.verdict in ("clean", self.expected) and not self.has_faults
        return as_announced and (self.allows_overlaps or not self.has_overlaps)

    @property
    def has_overlaps(self) -> bool:
        """Return True where conflicting holds were seen to overlap, in the records or from outside."""
        return bool(self.overlapping_holds or (self.sampled and self.sampled.overlapping))

    @property
    def has_faults(self) -> bool:
        """Return True where the locking of a watched program is wrong, whatever happened to the data."""
        return bool(self.watched and self.watched.faults)

    @property
    def breaking_exploration(self) -> ExploredCase | None:
        """Return the exploration beside a race that stayed clean, where it found what the race did not."""
        return self.explored if self.explored and self.explored.verdict == "broken" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Header):
    """One invocation of the program; `hosts` are those that it went over, where there were several."""

    command: Literal["race"] = "race"
    options: Options
    cases: list[Case]
    hosts: list[Host] = field(default_factory=list)
