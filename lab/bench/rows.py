"""From the samples of a benchmark to its records. Made after the last fork: the bootstrap draws random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from lab.analysis.latencies import Latencies, outliers
from lab.analysis.statistics import jain_fairness, median_interval
from lab.host.environment import anonymous_text
from lab.records import BenchWorker, Distribution, HarnessCost, Latency, LockCost

from .prices import Timed, TimedCase, TimedLoop
from .repeat import Tally


def harness_cost(timed: TimedLoop) -> HarnessCost:
    """What a loop of the harness costs."""
    samples = timed.samples_ns
    row = HarnessCost(name=timed.name, reason=anonymous_text(timed.reason), failed=timed.failed)
    if not samples:
        return row
    return replace(row, samples_ns=samples, median_ns=round(median(samples), 2), interval_95=_interval(timed))


def lock_cost(timed: TimedCase) -> LockCost:
    """The row of one case; without figures where it was never measured."""
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
    """With what is summed up over the repeats: a pair, at the worst, or altogether."""
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
