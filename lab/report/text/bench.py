"""Write a benchmark of locks: a table of costs, their definitions, the cost of the harness itself, and conclusions.

The conclusions say how far the figures can be trusted, and at last which lock is the cheapest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

from lab.analysis.statistics import joined
from lab.errors import ExitCode
from lab.records import Bench, LockCost
from lab.report.documents import Report
from lab.report.format import PLAIN, Column, Style, Table, duration, fine, interval, plural, wrapped

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


def cheapest(measured: Sequence[LockCost]) -> Iterator[str]:
    """Yield which lock is the cheapest in each situation, and what waiting adds: no more than the intervals carry."""
    situations: dict[tuple[object, ...], list[LockCost]] = {}
    for cost in measured:
        if not cost.overlapping and not cost.lost:
            situations.setdefault(_situation(cost), []).append(cost)
    for costs in situations.values():
        yield from _cheaper(sorted(costs, key=lambda cost: cost.median_ns))
    yield from filter(None, (_growth(costs) for costs in _by_lock(measured)))


def _situation(cost: LockCost) -> tuple[object, ...]:
    """Return all that must be the same where two locks are compared."""
    return (cost.price, cost.workers, cost.ranges, cost.held, cost.backing, cost.hold_ns, cost.think_ns, cost.pin)


def _cheaper(costs: list[LockCost]) -> Iterator[str]:
    """Yield how much cheaper the first is than each other; they come in the order of their costs."""
    first, others = costs[0], costs[1:]
    apart = [cost for cost in others if first.interval_95[1] < cost.interval_95[0]]
    where = first.name.removeprefix(f"{first.lock} ").capitalize()
    if apart:
        figures = joined([f"{cost.median_ns / first.median_ns:.1f} x cheaper than {cost.lock}" for cost in apart])
        yield f"{where}: {first.lock} is {figures}."
    if same := [cost.lock for cost in others if cost not in apart]:
        yield f"{where}: {joined([first.lock, *same])} cannot be told apart; their intervals overlap."


def _by_lock(measured: Sequence[LockCost]) -> Iterator[list[LockCost]]:
    """Yield the cases of each lock that differ in nothing but the price and the number of workers."""
    groups: dict[tuple[object, ...], list[LockCost]] = {}
    for cost in measured:
        if cost.ranges == "same":
            groups.setdefault((cost.lock, cost.held, cost.backing, cost.pin), []).append(cost)
    yield from groups.values()


def _growth(costs: list[LockCost]) -> str:
    """Return how the price of one lock grows from uncontended to handed over, and with the number of workers."""
    alone, handed, queued = (
        sorted((cost for cost in costs if cost.price == price), key=lambda cost: cost.workers)
        for price in ("uncontended", "hand-off", "queue")
    )
    steps = [(alone[0], handed[0], "from uncontended to hand-off")] if alone and handed else []
    for each, where in ((handed, "handed over"), (queued, "in the queue")):
        if len(each) > 1:
            steps.append((each[0], each[-1], f"from {each[0].workers} to {each[-1].workers} workers {where}"))
    grown = [
        f"{later.median_ns / first.median_ns:.1f} x {how}"
        for first, later, how in steps
        if first.interval_95[1] < later.interval_95[0]
    ]
    return f"The price of {costs[0].lock} grows {joined(grown)}." if grown else ""


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


COLUMNS: list[Column[LockCost]] = [
    Column("case", lambda cost: cost.name + " *" * bool(cost.outliers), {
        "case": lambda cost: cost.name,
        "lock": lambda cost: cost.lock,
        "price": lambda cost: cost.price,
        "workers": lambda cost: cost.workers,
        "ranges": lambda cost: cost.ranges,
        "held": lambda cost: cost.held,
        "backing": lambda cost: cost.backing or None,
        "hold_ns": lambda cost: cost.hold_ns,
        "think_ns": lambda cost: cost.think_ns,
        "pin": lambda cost: cost.pin,
        "native": lambda cost: cost.native,
    }, left=True, key=True, fold=20),
    Column("a pair", lambda cost: fine(cost.median_ns), {"median_ns": lambda cost: cost.median_ns}),
    Column("95 % interval", lambda cost: interval(*cost.interval_95), {
        "low_ns": lambda cost: cost.interval_95[0],
        "high_ns": lambda cost: cost.interval_95[1],
    }),
    Column("pairs/s", lambda cost: f"{1e9 / cost.median_ns:,.0f}", {
        "pairs_per_s": lambda cost: 1e9 / cost.median_ns,
    }, wide=True),
    Column("p50", lambda cost: fine(cost.latency.p50), {"p50_ns": lambda cost: cost.latency.p50}),
    Column("p90", lambda cost: fine(cost.latency.p90), {"p90_ns": lambda cost: cost.latency.p90}, wide=True),
    Column("p99", lambda cost: fine(cost.latency.p99), {"p99_ns": lambda cost: cost.latency.p99}),
    Column("p99.9", lambda cost: fine(cost.latency.p999), {"p999_ns": lambda cost: cost.latency.p999}, wide=True),
    Column("max", lambda cost: fine(cost.latency.max), {"max_ns": lambda cost: cost.latency.max}, wide=True),
    Column("fair", lambda cost: "-" if cost.workers == 1 else f"{cost.fairness:.2f}", {
        "fairness": lambda cost: None if cost.workers == 1 else cost.fairness,
    }),
    Column("streak", lambda cost: "-" if _is_alone(cost) else f"{cost.longest_streak:,}", {
        "longest_streak": lambda cost: None if _is_alone(cost) else cost.longest_streak,
    }, wide=True),
    Column("CPU", lambda cost: fine(cost.cpu_ns), {"cpu_ns": lambda cost: cost.cpu_ns}, wide=True),
    Column("switches", lambda cost: f"{_switches(cost):.2f}", {"switches": lambda cost: _switches(cost)}, wide=True),
    Column("", data={"repeats": lambda cost: len(cost.samples_ns), "outliers": lambda cost: len(cost.outliers)}),
]  # fmt: skip
"""The columns of the table, a row for each case."""


def _is_alone(cost: LockCost) -> bool:
    return cost.workers == 1 or cost.ranges == "disjoint"


def _switches(cost: LockCost) -> float:
    return cost.voluntary_switches + cost.involuntary_switches


DEFINED = {
    "uncontended": "one worker locks and unlocks; nobody else wants the lock. Latency: of the lock call.",
    "hand-off": "the lock passes to another worker every time: N workers walk around N + 1 locks, and each asks for "
    "the next one before it releases its own. Latency: from the release to the next worker's grant.",
    "queue": "N workers lock and unlock in a closed loop, as fast as they come to it. Latency: from the request to "
    "the grant.",
    "a pair": "a lock and an unlock, of a hand-off one hand-over: the time that passed, over the pairs of all workers.",
    "backing": "each pair adds 1 to a counter in that backing; the sums are checked.",
    "held": "so many ranges of the file, far from the workers', are held by a process that does nothing else.",
    "p50, p99": "so much of the requests, in per cent, had at most this latency.",
    "fair": "Jain's index of the workers' pairs: 1 where all have as many.",
    "streak": "the most grants in a row of one worker.",
    "CPU": "processor time a pair.",
    "switches": "context switches a pair.",
}


def text_of(run: Bench, style: Style = PLAIN) -> str:
    """Return the whole report; a format that is not for people gets only the table."""
    if not run.locks:
        return copying.text_of(run, style)
    table = costs(run)
    if not style.is_for_people:
        return table.render(style)
    if not table.rows:
        return f"{heading(run)}\n\nnothing was measured"
    titles = [column.title for column in table.shown(style)]
    parts = [heading(run), table.render(style), definitions(run, titles), *(wrapped(line) for line in conclusions(run))]
    parts.append("\n".join(wrapped(line, indent=2) for line in cheapest(table.rows)))
    return "\n\n".join(filter(None, parts))


def heading(run: Bench) -> str:
    """Return what was measured, and where."""
    where, options = run.environment, run.options
    return wrapped(
        f"what a pair of lock and unlock costs: {where.filesystems}, {where.kernel}, "
        f"{plural(where.cpus_allowed, 'CPU')}, {where.python}, recorder {where.recorder}; "
        f"medians of {plural(options.repeats, 'repeat')} of {duration(1e9 * options.seconds / options.repeats)}"
    )


def costs(run: Bench) -> Table[LockCost]:
    """Return the table: one row for each case that was measured."""
    return Table(COLUMNS, [cost for cost in run.locks if cost.samples_ns])


def definitions(run: Bench, titles: Sequence[str]) -> str:
    """Define the kinds of cost in the table, its axes, and those of its columns whose meaning is not obvious."""
    measured = [cost for cost in run.locks if cost.samples_ns]
    axes = {"backing": any(cost.backing for cost in measured), "held": any(cost.held for cost in measured)}
    words = {*(cost.price for cost in measured), *(axis for axis, used in axes.items() if used), *titles, "p50, p99"}
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
