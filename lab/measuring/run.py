"""Run one invocation of `bench`, and make its record.

Every case and every loop of the harness is measured once in each repeat, forwards, then backwards. So a machine that
grows slower favours none of them (A B, then B A). The results of the first pass are discarded: it warms up the machine,
and finds the cases that cannot be measured. The records are made of the samples after the last fork: the bootstrap
draws random numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from lab.analysis.statistics import Latencies, jain_fairness, median_interval, outliers
from lab.errors import CannotRunError, LabError
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking import RECORDER, find_lock
from lab.memory import workspaces
from lab.processes.rpc import Unanswered
from lab.racing.probe import probe_within
from lab.records import Bench, BenchOptions, BenchWorker, Copying, Distribution, HarnessCost, Latency, LockCost, Noise

from .baselines import Loop, Others, WakeUp, clock, loops
from .cases import Case, cases_of
from .repeat import Failed, Tally, run_repeat, tally


def run(options: BenchOptions, tell: Callable[[str], None]) -> Bench:
    """Measure what the options ask for, in a fresh directory inside the one, or those, that they name.

    Raise CannotRunError where that directory cannot be used.
    """
    begun = RunStart()
    with workspaces([Path(each) for each in options.directories or [options.directory]]) as folders:
        prices = price(options, folders, tell) if options.locks else None
        copying = [] if prices else _copying(options, folders[0], tell)
        recorder = RECORDER if prices else "none"
        where = environment(folders[0], begun.load, recorder, several=options.directories)
    done = Bench(
        **begun.header(where),
        options=replace(
            options,
            directory=anonymous_text(options.directory),
            directories=list(map(anonymous_text, options.directories)),
        ),
        copying=copying,
    )
    return _with_prices(done, prices) if prices else done


def _copying(options: BenchOptions, folder: Path, tell: Callable[[str], None]) -> list[Copying]:
    from .copying import copy_costs  # it draws random numbers, which a process that forks must not

    return [replace(each, reason=anonymous_text(each.reason)) for each in copy_costs(options, folder, tell)]


def _with_prices(done: Bench, prices: Prices) -> Bench:
    return replace(
        done,
        locks=[lock_cost(each) for each in prices.cases],
        harness=[harness_cost(each) for each in prices.harness],
        noise=Noise(prices.others.cores, *prices.clock),
        interrupted=prices.interrupted,
    )


def harness_cost(timed: TimedLoop) -> HarnessCost:
    """Return what a loop of the harness costs."""
    samples = timed.samples_ns
    row = HarnessCost(name=timed.name, reason=anonymous_text(timed.reason), failed=timed.failed)
    if not samples:
        return row
    return replace(row, samples_ns=samples, median_ns=round(median(samples), 2), interval_95=_interval(timed))


def lock_cost(timed: TimedCase) -> LockCost:
    """Return the row of one case; without figures where it was never measured."""
    row = replace(timed.case.row(anonymous_text(timed.reason)), failed=timed.failed)
    samples, tallies = timed.samples_ns, timed.tallies
    if not samples:
        return row
    every = _all_latencies(tallies, range(row.workers))
    spread = every.distribution()
    return replace(
        _summed(row, tallies),
        samples_ns=samples,
        median_ns=round(median(samples), 2),
        interval_95=_interval(timed),
        outliers=outliers(samples),
        latency=_latency(every, tallies),
        distribution=Distribution(list(spread), list(spread.values())),
        by_worker=[_worker(tallies, index) for index in range(row.workers)],
        holds=tallies[-1].window,
        holds_ns=tallies[-1].window_ns,
    )


def _summed(row: LockCost, tallies: Sequence[Tally]) -> LockCost:
    """Return the row with the figures over all repeats: for one pair, the worst, or the sum."""
    pairs = sum(sum(done.pairs) for done in tallies)
    grants = sum(done.grants for done in tallies)
    return replace(
        row,
        pairs=pairs,
        pairs_by_second=[rate for done in tallies for rate in done.by_second],
        fairness=round(median(jain_fairness(done.pairs) for done in tallies), 4),
        longest_streak=max(max(done.streaks) for done in tallies),
        cpu_ns=_share(1e9 * sum(sum(done.cpu_s) for done in tallies), pairs),
        voluntary_switches=_share(sum(done.voluntary for done in tallies), pairs),
        involuntary_switches=_share(sum(done.involuntary for done in tallies), pairs),
        handed_over=_share(sum(done.handed_over for done in tallies), grants),
        overlapping=sum(done.overlapping for done in tallies),
        lost=sum(done.lost for done in tallies),
        memory_bytes=max(done.memory_bytes for done in tallies),
    )


def _worker(tallies: Sequence[Tally], index: int) -> BenchWorker:
    return BenchWorker(
        pairs=sum(done.pairs[index] for done in tallies),
        longest_streak=max(done.streaks[index] for done in tallies),
        cpu_s=round(sum(done.cpu_s[index] for done in tallies), 6),
        latency=_latency(_all_latencies(tallies, [index]), tallies),
    )


def _all_latencies(tallies: Sequence[Tally], workers: Sequence[int]) -> Latencies:
    every = Latencies()
    for done in tallies:
        for index in workers:
            every.add(done.latencies[index])
    return every


def _latency(times: Latencies, tallies: Sequence[Tally]) -> Latency:
    p50, p90, p99, p999, longest = times.percentiles()
    return Latency(times.count, p50, p90, p99, p999, longest, exact=not any(done.overflowed for done in tallies))


def _interval(timed: Timed) -> tuple[float, float]:
    return median_interval(timed.samples_ns, seed=timed.name)


def _share(total: float, of: int) -> float:
    return round(total / of, 4) if of else 0.0


class Timed(ABC):
    """A case or a loop that is measured once in each repeat: its samples in ns for one pair.

    `reason` says why there are no more, `failed` that a worker died or hung.
    """

    def __init__(self, name: str, reason: str = "") -> None:
        self.name = name
        self.reason = reason
        self.failed = False
        self.samples_ns: list[float] = []

    def measure(self, slice_s: float, *, keep: bool, last: bool) -> None:
        """Measure once more, unless that is impossible; a sample with `keep` false only warms up."""
        if self.reason:
            return
        try:
            sample = self._measured(slice_s, keep=keep, last=last)
        except (Failed, LabError, OSError) as error:
            self.reason = str(error) or type(error).__name__
            self.failed = isinstance(error, Failed | Unanswered)
        else:
            self.samples_ns += [round(sample, 2)] * keep

    @abstractmethod
    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        """Return ns for one pair."""


class TimedLoop(Timed):
    """A loop of the harness."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop.name)
        self._loop = loop

    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        return self._loop.measure(slice_s)


class TimedCase(Timed):
    """A case, with the tally of each repeat."""

    def __init__(self, case: Case, folders: Sequence[Path], reason: str) -> None:
        super().__init__(case.name, reason)
        self.case = case
        self.tallies: list[Tally] = []
        self._folders = folders

    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        found = tally(run_repeat(self.case, self._folders, slice_s), window=last)
        self.tallies += [found] * keep
        return found.pair_ns


ANSWER_S = 10.0
"""A lock that no process holds and that does not answer within this time is not measured."""


@dataclass(slots=True)
class Prices:
    """All results, the processors that `others` used meanwhile, and the clock as `baselines` measures it."""

    cases: list[TimedCase]
    harness: list[TimedLoop]
    others: Others
    clock: tuple[int, float]
    interrupted: bool = False

    @property
    def all(self) -> list[Timed]:
        """Return cases and loops, in the order of a pass."""
        return [*self.cases, *self.harness]


def price(options: BenchOptions, folders: Sequence[Path], tell: Callable[[str], None]) -> Prices:
    """Measure all cases in these folders, which are one seen through several mounts; the loops in the first.

    When interrupted, return the repeats that were finished, once all have one.
    """
    with ExitStack() as opened:
        cases = [case for name in options.locks for case in _cases(name, options, folders)]
        harness = [TimedLoop(loop) for loop in loops(folders[0], options.pin, opened, native=options.native)]
        if any(each.case.price == "hand-off" for each in cases):
            harness.append(TimedLoop(WakeUp(options.pin)))
        prices = Prices(cases, harness, Others(), clock())
        try:
            _pass_all(prices.all, prices.others, options, tell)
        except KeyboardInterrupt:
            if not settled(prices.all):
                raise
            prices.interrupted = True
    return prices


def _cases(name: str, options: BenchOptions, folders: Sequence[Path]) -> Iterator[TimedCase]:
    """Yield the cases of one lock, each once; with the reason where the lock does not work here, or has none such."""
    lock = find_lock(name)
    try:
        for folder in folders:
            probe_within(lock, folder, ANSWER_S)
        refused = ""
    except CannotRunError as error:
        refused = str(error)
    cases = {case.name: case for case in cases_of(lock, options)}
    for case in cases.values():
        yield TimedCase(case, folders, refused or case.unable)


def settled(all_timed: Sequence[Timed]) -> bool:
    """Return True once each has a figure, or a reason for having none: enough to be reported."""
    return all(each.samples_ns or each.reason for each in all_timed)


def _pass_all(all_timed: Sequence[Timed], others: Others, options: BenchOptions, tell: Callable[[str], None]) -> None:
    slice_s = options.seconds / options.repeats
    tell("warming up")
    _pass(all_timed, slice_s, keep=False, last=False)
    others.begin()
    for number in range(1, options.repeats + 1):
        tell(f"repeat {number} of {options.repeats}")
        _pass(all_timed[:: -1 if number % 2 else 1], slice_s, keep=True, last=number == options.repeats)
        others.lap()


def _pass(all_timed: Sequence[Timed], slice_s: float, *, keep: bool, last: bool) -> None:
    for each in all_timed:
        each.measure(slice_s, keep=keep, last=last)
