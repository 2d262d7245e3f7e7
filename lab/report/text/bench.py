"""Write a benchmark of locks: a table of costs, their definitions, the cost of the harness itself, and conclusions.

The conclusions say how far the figures can be trusted, and how widely the samples of a case are spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

from lab.errors import ExitCode
from lab.records import Bench, LockCost
from lab.report.documents import Report
from lab.report.format import PLAIN, Style, duration, fine, interval, plural, table, wrapped

from . import copying
from .copying import steadiness

BUSY_CORES = 0.12
"""Others may use so many processors on average over the run; a repeat may be shorter than the kernel's time unit."""

VISIBLE_STEP = 0.10
FEW_SWITCHES = 0.9
STRICT = 0.99


def conclusions(run: Bench) -> Iterator[str]:
    """Yield sentences about the harness, then about the figures, each with what to do next."""
    measured = [cost for cost in run.locks if cost.samples_ns]
    yield from _harness(run)
    yield from _strictness(measured)
    if not measured:
        return
    yield from steadiness({cost.name: spread(cost) for cost in measured}, "case")
    yield from _outliers(measured)
    yield from _other_load(run)
    yield from _clock(run, measured)
    if inexact := [cost.name for cost in measured if not cost.latency.exact]:
        yield (
            f"Not all samples were kept: of {plural(len(inexact), 'case')} the percentiles come from a histogram as "
            "well, to 1 in 128."
        )


def _harness(run: Bench) -> Iterator[str]:
    loops = {each.name: each for each in run.harness if each.samples_ns}
    wake_up = loops.pop("wake-up", None)
    if wake_up:
        yield (
            f"A bare wake-up, through a pipe to a process that sleeps: {fine(wake_up.median_ns)}. That much of a "
            "hand-off is the machine's, whatever the lock."
        )
    base = loops.get("C loop") or loops.get("CPython loop")
    if base is None:
        return
    figures = ", ".join(
        f"{name} {fine(each.median_ns)}" + ("" if each is base else f" ({each.median_ns / base.median_ns:.2f} x)")
        for name, each in loops.items()
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
                f"{cost.name}: only {share} of the grants came from another worker, so this is no cost of a hand-off; "
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


def _other_load(run: Bench) -> Iterator[str]:
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
            f"in {coarse[0].name}: read its cost from the time of a pair, which is measured over many."
        )


def spread(cost: LockCost) -> float:
    """Return the middle half of the samples, or their median's interval if that is wider, as a share of the median."""
    low, high = cost.interval_95
    ordered = sorted(cost.samples_ns)
    quarter = len(ordered) // 4
    return max(high - low, ordered[-1 - quarter] - ordered[quarter]) / cost.median_ns


HEAD = ("case", "a pair", "95 % interval", "pairs/s", "p50", "p90", "p99", "p99.9", "max", "fair", "streak")
USED = ("CPU", "switches")
NAMES = frozenset({"case"})

DEFINED = {
    "uncontended": "one worker locks and unlocks; nobody else wants the lock. Latency: of the lock call.",
    "hand-off": "the lock passes to another worker every time: N workers walk around N + 1 locks, and each asks for "
    "the next one before it releases its own. Latency: from the release to the next worker's grant.",
    "queue": "N workers lock and unlock in a closed loop, as fast as they come to it. Latency: from the request to "
    "the grant.",
    "a pair": "a lock and an unlock, of a hand-off one hand-over: the time that passed, over the pairs of all workers.",
    "backing": "each pair adds 1 to a counter in that backing; the sums are checked.",
    "held": "so many ranges of the file, far from the workers', are held by a process that does nothing else.",
    "columns": "fair: Jain's index of the workers' pairs. streak: most grants in a row of one worker. CPU, switches: "
    "processor time and context switches a pair.",
}


def text_of(run: Bench, style: Style = PLAIN) -> str:
    """Return the whole report; a format that is not for people gets only the table."""
    if not run.locks:
        return copying.text_of(run, style)
    if not style.is_for_people:
        return costs(run, style)
    if not any(cost.samples_ns for cost in run.locks):
        return f"{heading(run)}\n\nnothing was measured"
    parts = [heading(run), costs(run, style), definitions(run), *(wrapped(line) for line in conclusions(run))]
    return "\n\n".join(filter(None, parts))


def heading(run: Bench) -> str:
    """Return what was measured, and where."""
    where, options = run.environment, run.options
    return wrapped(
        f"what a pair of lock and unlock costs: {where.filesystems}, {where.kernel}, "
        f"{plural(where.cpus_allowed, 'CPU')}, {where.python}, recorder {where.recorder}; "
        f"medians of {plural(options.repeats, 'repeat')} of {duration(1e9 * options.seconds / options.repeats)}"
    )


def costs(run: Bench, style: Style = PLAIN) -> str:
    """Return the table: one row for each case that was measured."""
    return table([*HEAD, *USED], [_row(cost) for cost in run.locks if cost.samples_ns], style, left=NAMES)


def _row(cost: LockCost) -> list[str]:
    latency = cost.latency
    alone = cost.workers == 1 or cost.ranges == "disjoint"
    return [
        cost.name + (" *" if cost.outliers else ""),
        fine(cost.median_ns),
        interval(*cost.interval_95),
        f"{1e9 / cost.median_ns:,.0f}",
        *(fine(each) for each in (latency.p50, latency.p90, latency.p99, latency.p999, latency.max)),
        "-" if cost.workers == 1 else f"{cost.fairness:.2f}",
        "-" if alone else f"{cost.longest_streak:,}",
        fine(cost.cpu_ns),
        f"{cost.voluntary_switches + cost.involuntary_switches:.2f}",
    ]


def definitions(run: Bench) -> str:
    """Define the kinds of cost in the table, its axes, and the columns whose meaning is not obvious."""
    measured = [cost for cost in run.locks if cost.samples_ns]
    axes = {"backing": any(cost.backing for cost in measured), "held": any(cost.held for cost in measured)}
    words = {*(cost.price for cost in measured), *(axis for axis, used in axes.items() if used)}
    words |= {"a pair", "columns"} if measured else set()
    return "\n".join(wrapped(text, f"{word:12}") for word, text in DEFINED.items() if word in words)


def complaints(run: Bench) -> Iterator[str]:
    """Yield what could not be measured, and what the figures of a lock that does not exclude are worth."""
    yield from copying.complaints(run)
    for loop in run.harness:
        if loop.failed:
            yield f"the harness's {loop.name}: not measured: {loop.reason}"
    for cost in run.locks:
        if cost.reason:
            yield f"{cost.name}: not measured{' to the end' if cost.samples_ns else ''}: {cost.reason}"
        if cost.overlapping:
            yield (
                f"{cost.name}: NOT EXCLUSIVE: {plural(cost.overlapping, 'pair')} of holds overlapped, so its cost "
                "means nothing; see `lab race`"
            )
        if cost.lost:
            yield f"{cost.name}: {cost.lost:,} of {plural(cost.pairs, 'addition')} inside the lock are lost"
    if run.interrupted:
        repeats = min((len(cost.samples_ns) for cost in run.locks if not cost.reason), default=0)
        yield f"interrupted: {plural(repeats, 'repeat')} of {run.options.repeats} finished"


def exit_code(run: Bench) -> ExitCode:
    """Return DAMAGE where a lock does not exclude, FAILED where a process died or hung, UNABLE for what is missing.

    A case that a lock of this kind does not have is missing only where no other case of the lock was measured.
    """
    measured = {cost.lock for cost in run.locks if cost.samples_ns}
    true = {
        ExitCode.INTERRUPTED: run.interrupted,
        ExitCode.DAMAGE: any(cost.overlapping or cost.lost for cost in run.locks),
        ExitCode.FAILED: any(cost.failed for cost in run.locks) or any(loop.failed for loop in run.harness),
        ExitCode.UNABLE: any(cost.reason and (cost.exists or cost.lock not in measured) for cost in run.locks)
        or any(row.reason for row in run.copying),
    }
    return ExitCode.first(*(code for code, holds in true.items() if holds))


COLOURS = {r"(?m)^(Unsteady|Not alone):": "yellow", r"\bNOT EXCLUSIVE\b": "bold red"}
REPORT = Report(text_of, complaints, exit_code, COLOURS)
