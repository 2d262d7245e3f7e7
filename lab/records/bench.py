"""Define the records of `bench` and `compare`.

Of a benchmark they are the cost of each case, and the samples behind each figure; of a comparison two runs of the same
cases, before and after.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Document, Environment, Header, Holds

Price = Literal["uncontended", "hand-off", "queue"]
Ranges = Literal["same", "disjoint"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts of times in ns, as an HDR histogram keeps them.

    `count[i]` times lie in the bucket that begins at `from_ns[i]` and is at most 1/128 of that wide (below 256 ns, 1
    ns). Empty buckets are left out.
    """

    from_ns: list[int] = field(default_factory=list)
    count: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Latency:
    """The latencies of requests, in ns, by nearest rank.

    Those of an uncontended lock last from the call to its return, of a hand-off from the release by one worker to the
    grant to the next, in a queue from the request to the grant. `exact` is true where all samples were kept, false
    where some are known from the histogram only, to 1/128.
    """

    count: int = 0
    p50: int = 0
    p90: int = 0
    p99: int = 0
    p999: int = 0
    max: int = 0
    exact: bool = True


@dataclass(frozen=True, slots=True)
class BenchWorker:
    """One worker of a case over all repeats: its pairs, its longest streak of grants in a row, its CPU seconds."""

    pairs: int
    longest_streak: int
    cpu_s: float
    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class LockCost:
    """The cost of one pair of lock and unlock in one case of a benchmark: one row of its table.

    `name` distinguishes the case from all others, and pairs it with the same case of another run. `samples_ns` has one
    sample for each repeat: the time that passed, divided by the pairs of all workers; for a hand-off a pair is one
    hand-over. `median_ns` is their median, `interval_95` its bootstrap interval; `outliers` are the repeats (from 0)
    that lie further than three scaled median absolute deviations from it, and are in all figures.

    `pairs_by_second` are pairs a second in each second, or shorter rest, of the measured time, one repeat after the
    other. `fairness` is Jain's index of the workers' pairs (1: all have the same; 1/workers: one has all), the median
    of the repeats; `cpu_ns` is user and system time a pair; the switches are the kernel's, a pair. `handed_over` is the
    share of grants whose lock was last held by another worker. `overlapping` pairs of holds were in progress together:
    the lock did not exclude, and its cost means nothing. `memory_bytes` is the largest private memory of a worker.
    `lost` additions are missing that were made inside the lock, where it has a `backing`. The loop of a `native` case
    is in C, with one addition inside. `holds` are all holds and waits of the last repeat that were under way between
    the two moments of `holds_ns`, from the release of its barrier: some hundreds. `reason` says why a case could not be
    measured, or not to the end; where a worker `failed` it died or hung, and where the case does not `exist` the lock
    is of another kind.
    """

    name: str
    lock: str
    price: Price
    workers: int
    ranges: Ranges = "same"
    held: int = 0
    backing: str = ""
    hold_ns: int = 0
    think_ns: int = 0
    pin: str = "spread"
    native: bool = False
    samples_ns: list[float] = field(default_factory=list)
    median_ns: float = 0.0
    interval_95: tuple[float, float] = (0.0, 0.0)
    outliers: list[int] = field(default_factory=list)
    pairs: int = 0
    latency: Latency = field(default_factory=Latency)
    distribution: Distribution = field(default_factory=Distribution)
    by_worker: list[BenchWorker] = field(default_factory=list)
    pairs_by_second: list[float] = field(default_factory=list)
    fairness: float = 0.0
    longest_streak: int = 0
    cpu_ns: float = 0.0
    voluntary_switches: float = 0.0
    involuntary_switches: float = 0.0
    handed_over: float = 0.0
    overlapping: int = 0
    lost: int = 0
    memory_bytes: int = 0
    holds: Holds = field(default_factory=Holds)
    holds_ns: tuple[int, int] = (0, 0)
    reason: str = ""
    failed: bool = False
    exists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessCost:
    """The cost of the same loop without the lab: lock, add 1, unlock of `fcntl` by one worker, in ns a pair.

    `name` is `C loop`, `CPython loop`, `the lab` or, in a native run, `the lab, native`. `reason` says why one has no
    figure, `failed` that a process of it died or hung. Beside hand-offs there is `wake-up`: the ns that a byte
    takes through a pipe to another process, which sleeps until then; it contains no lock.
    """

    name: str
    samples_ns: list[float] = field(default_factory=list)
    median_ns: float = 0.0
    interval_95: tuple[float, float] = (0.0, 0.0)
    reason: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Noise:
    """Other activity of the machine: `others_cores` processors were busy with other processes, one figure a repeat.

    `clock_step_ns` is the smallest step between two reads of the clock that was seen, `clock_read_ns` what reading it
    costs.
    """

    others_cores: list[float]
    clock_step_ns: int
    clock_read_ns: float


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The options of a benchmark: backings by name, sizes in bytes, seconds a case (or a backing), repeats.

    Each figure has so many repeats. Without locks the benchmark measures copying. `held` ranges of the file are locked
    already; each pair holds its lock for `hold_ns` and waits `think_ns` before the next, and uses the processor during
    both. `directories` are as in the options of a race. With `native` the loops are in C.
    """

    backings: list[str]
    sizes: list[int]
    directory: str
    seconds: float
    repeats: int
    locks: list[str] = field(default_factory=list)
    prices: list[Price] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    ranges: list[Ranges] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    hold_ns: int = 0
    think_ns: int = 0
    pin: str = "spread"
    native: bool = False
    directories: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """The cost of one load or store of so many bytes in a backing, in ns a call.

    Each sample is the mean of `calls` calls; `interval_95` is the bootstrap interval of their median. The backing
    `call` is the baseline: a call of the same shape that copies nothing. `reason` says why a backing could not be
    measured, and is empty where it was.
    """

    backing: str
    access: Literal["load", "store"] = "load"
    bytes: int = 0
    calls: int = 0
    samples_ns: list[float] = field(default_factory=list)
    median_ns: float = 0.0
    interval_95: tuple[float, float] = (0.0, 0.0)
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench(Header):
    """One invocation of `bench`: of locks, or of copying."""

    command: Literal["bench"] = "bench"
    options: BenchOptions
    copying: list[Copying]
    locks: list[LockCost] = field(default_factory=list)
    harness: list[HarnessCost] = field(default_factory=list)
    noise: Noise | None = None


Judgement = Literal["better", "same", "worse", "cannot tell"]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of a comparison: the names of the two files; a change below `margin`, a share, counts as none.

    `fail_slower` says that a case that is worse makes the command fail; `anyway`, that unlike runs are compared too.
    """

    before: str
    after: str
    margin: float
    fail_slower: bool = False
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class CaseComparison:
    """One case of both runs, in ns a pair, an operation or a call: the two medians, and their ratio, after to before.

    `ratio` is the median after divided by the median before, `interval_95` its bootstrap interval over the samples of
    both. Both are divided by the ratio of the `control`, a loop that has no code of the lab and not this lock in it:
    that ratio is the `machine`'s part, 1 where there is no control. The verdict is `same` where the whole interval is
    within the margin of 1; `worse`, or `better`, where the ratio is beyond that and the interval does not contain 1,
    both as measured and beside the control; else `cannot tell`, also where either run has too few samples, or where it
    changed and there is no control in both runs. `note` says why, and what else there is.
    """

    name: str
    before_ns: float
    after_ns: float
    ratio: float
    interval_95: tuple[float, float]
    verdict: Judgement
    note: str = ""
    machine: float = 1.0
    control: str = ""


@dataclass(frozen=True, slots=True)
class EnvironmentDifference:
    """A field of the environment in which the two runs differ."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One of the two runs: when it began, where, and how many processors others used meanwhile (of a race: 0)."""

    started: str
    environment: Environment
    others_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class LeftOutCase:
    """A case that is not compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Document):
    """One invocation of `compare`: the cases in the order of the run before; `harness` are the bare loops of both."""

    command: Literal["compare"] = "compare"
    options: CompareOptions
    before: MeasuredRun
    after: MeasuredRun
    unlike: list[EnvironmentDifference]
    cases: list[CaseComparison]
    harness: list[CaseComparison]
    left_out: list[LeftOutCase]
