"""Run one invocation of `bench`, and make its record.

The records are made of the samples after the last fork: the bootstrap draws random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from lab.analysis.statistics import Latencies, jain_fairness, median_interval, outliers
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking import RECORDER
from lab.memory import workspaces
from lab.records import Bench, BenchOptions, BenchWorker, Copying, Distribution, HarnessCost, Latency, LockCost, Noise

from .prices import Prices, Timed, TimedCase, TimedLoop, price
from .repeat import Tally


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
