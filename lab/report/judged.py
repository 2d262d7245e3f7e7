"""What is to be said of the prices of locks, in words: the harness beside them, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

from lab.results import Bench, LockCost

from .digits import fine
from .steadiness import steadiness
from .words import duration, plural

BUSY_CORES = 0.12
"""Of others, over the whole run: a repeat may be shorter than what the kernel counts by."""

VISIBLE_STEP = 0.10
FEW_SWITCHES = 0.9
STRICT = 0.99


def conclusions(run: Bench) -> Iterator[str]:
    """The harness, then what is to be said of the figures, each with what to do next."""
    measured = [cost for cost in run.locks if cost.samples_ns]
    yield from _harness(run)
    yield from _strictness(measured)
    if not measured:
        return
    yield from steadiness({cost.name: spread(cost) for cost in measured}, "case")
    yield from _outliers(measured)
    yield from _company(run)
    yield from _clock(run, measured)
    if inexact := [cost.name for cost in measured if not cost.latency.exact]:
        yield (
            f"Not all samples were kept: of {plural(len(inexact), 'case')} the percentiles come from a histogram as "
            "well, to 1 in 128."
        )


def _harness(run: Bench) -> Iterator[str]:
    told = {each.name: each for each in run.harness if each.samples_ns}
    wake_up = told.pop("wake-up", None)
    if wake_up:
        yield (
            f"A bare wake-up, through a pipe to a process that sleeps: {fine(wake_up.median_ns)}. That much of a "
            "hand-off is the machine's, whatever the lock."
        )
    base = told.get("C loop") or told.get("CPython loop")
    if base is None:
        return
    figures = ", ".join(
        f"{name} {fine(each.median_ns)}" + ("" if each is base else f" ({each.median_ns / base.median_ns:.2f} x)")
        for name, each in told.items()
    )
    missing = "".join(f" The {each.name} is missing: {each.reason}." for each in run.harness if each.reason)
    yield (
        f"The harness itself, fcntl uncontended with an addition inside: {figures} a pair. What they differ by is "
        f"Python's and the lab's share of each figure above, not the lock's.{missing}"
    )


def _strictness(measured: list[LockCost]) -> Iterator[str]:
    for cost in measured:
        if cost.price != "hand-off":
            continue
        switches = cost.voluntary_switches + cost.involuntary_switches
        if cost.handed_over < STRICT:
            share = f"{100 * cost.handed_over:.0f} %"
            yield (
                f"{cost.name}: only {share} of the grants came from another worker, so this is no price of a hand-off; "
                "see `lab race` for whether the lock excludes."
            )
        if switches < FEW_SWITCHES:
            yield (
                f"{cost.name}: the kernel counted {switches:.2f} context switches a hand-off: who waits for this lock "
                "does not always sleep, so the figure is that of spinning, or of workers that take turns on one CPU."
            )


def _outliers(measured: list[LockCost]) -> Iterator[str]:
    far = [cost for cost in measured if cost.outliers]
    if far:
        count = sum(len(cost.outliers) for cost in far)
        repeats = plural(sum(len(cost.samples_ns) for cost in measured), "repeat")
        yield (
            f"* Far from their median, by more than three scaled median absolute deviations: {count:,} of {repeats}. "
            "They are in all figures; the document names them (outliers). Where they are many, something else ran now "
            "and then: measure longer."
        )


def _company(run: Bench) -> Iterator[str]:
    cores = run.noise.others_cores if run.noise else []
    if cores and mean(cores) > BUSY_CORES:
        yield (
            f"Not alone: other processes took {mean(cores):.2f} of a core, up to {max(cores):.2f} during a repeat. "
            "Stop them and measure again."
        )


def _clock(run: Bench, measured: list[LockCost]) -> Iterator[str]:
    if run.noise is None:
        return
    step = run.noise.clock_step_ns
    coarse = [cost for cost in measured if 0 < cost.latency.p50 * VISIBLE_STEP <= step]
    if coarse:
        yield (
            f"The clock's own step of {duration(step)} shows in the percentiles of {plural(len(coarse), 'case')}, as "
            f"in {coarse[0].name}: read its price from the time of a pair, which is measured over many."
        )


def spread(cost: LockCost) -> float:
    """The middle half of the samples, or the interval of their median where that is wider, as a share of the median."""
    low, high = cost.interval_95
    ordered = sorted(cost.samples_ns)
    quarter = len(ordered) // 4
    return max(high - low, ordered[-1 - quarter] - ordered[quarter]) / cost.median_ns
