"""What locks cost, as a table, with each price defined, the harness's own beside it, and a judgement in words."""

from __future__ import annotations

from collections.abc import Iterator

from lab.results import Bench, LockCost

from .digits import fine, interval
from .formats import DEFAULT_FORMAT
from .judged import conclusions
from .tables import table
from .verdicts import CLEAN, DAMAGE, FAILED, INTERRUPTED, UNABLE
from .words import duration, plural, wrapped

HEAD = ("case", "a pair", "95 % interval", "pairs/s", "p50", "p90", "p99", "p99.9", "max", "fair", "streak")
USED = ("CPU", "switches")
NAMES = frozenset({"case"})

DEFINED = {
    "uncontended": "one worker locks and unlocks; nobody else wants the lock. Latency: of the lock call.",
    "hand-off": "the lock passes to another worker every time: N workers walk around N + 1 locks, and each asks for "
    "the next one before it gives back its own. Latency: from the release to the next worker's grant.",
    "queue": "N workers lock and unlock in a closed loop, as fast as they come to it. Latency: from the request to "
    "the grant.",
    "a pair": "a lock and an unlock, of a hand-off one hand-over: the time that passed, over the pairs of all workers.",
    "region": "each pair adds 1 to a counter in that region; the sums are checked.",
    "held": "so many ranges of the file, far from the workers', are held by a process that does nothing else.",
    "columns": "fair: Jain's index of the workers' pairs. streak: most grants in a row of one worker. CPU, switches: "
    "processor time and context switches a pair.",
}


def text_of(run: Bench, style: str) -> str:
    """The whole report; a format that is not for people gets the table and nothing else."""
    if style != DEFAULT_FORMAT:
        return costs(run, style)
    if not any(cost.samples_ns for cost in run.locks):
        return f"{heading(run)}\n\nnothing was measured"
    parts = [heading(run), costs(run, style), definitions(run), *(wrapped(line) for line in conclusions(run))]
    return "\n\n".join(filter(None, parts))


def heading(run: Bench) -> str:
    """What was measured, and where."""
    where, asked = run.environment, run.options
    return wrapped(
        f"what a pair of lock and unlock costs: {where.filesystem}, {where.kernel}, "
        f"{plural(where.cpus_allowed, 'CPU')}, {where.python}, recorder {where.recorder}; "
        f"medians of {plural(asked.repeats, 'repeat')} of {duration(1e9 * asked.seconds / asked.repeats)}"
    )


def costs(run: Bench, style: str) -> str:
    """One row a case that was measured."""
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
    """What the prices mean that are in the table, its axes, and the columns that nobody would guess."""
    measured = [cost for cost in run.locks if cost.samples_ns]
    axes = {"region": any(cost.region for cost in measured), "held": any(cost.held for cost in measured)}
    told = {*(cost.price for cost in measured), *(axis for axis, used in axes.items() if used)}
    told |= {"a pair", "columns"} if measured else set()
    return "\n".join(wrapped(text, f"{word:12}") for word, text in DEFINED.items() if word in told)


def complaints(run: Bench) -> Iterator[str]:
    """What could not be measured, and what the figures of a lock that does not exclude are worth."""
    for loop in run.harness:
        if loop.failed:
            yield f"the harness's {loop.name}: not measured: {loop.reason}"
    for cost in run.locks:
        if cost.reason:
            yield f"{cost.name}: not measured{' to the end' if cost.samples_ns else ''}: {cost.reason}"
        if cost.overlapping:
            yield (
                f"{cost.name}: NOT EXCLUSIVE: {plural(cost.overlapping, 'pair')} of holds overlapped, so its price "
                "means nothing; see `lab race`"
            )
        if cost.lost:
            yield f"{cost.name}: {cost.lost:,} of {plural(cost.pairs, 'addition')} inside the lock are lost"


def exit_code(run: Bench) -> int:
    """The first that is true of 130 (interrupted), 1 (does not exclude), 4 (died or hung), 3 (not measured).

    A case that a lock of this kind does not have counts only where no other case of the lock was measured.
    """
    if run.interrupted:
        return INTERRUPTED
    if any(cost.overlapping or cost.lost for cost in run.locks):
        return DAMAGE
    if any(cost.failed for cost in run.locks) or any(loop.failed for loop in run.harness):
        return FAILED
    measured = {cost.lock for cost in run.locks if cost.samples_ns}
    missing = [cost for cost in run.locks if cost.reason and (cost.exists or cost.lock not in measured)]
    return UNABLE if missing else CLEAN


def interruption(run: Bench) -> str:
    """What is said of a run that was cut short."""
    repeats = min((len(cost.samples_ns) for cost in run.locks if not cost.reason), default=0)
    return f"interrupted: {plural(repeats, 'repeat')} of {run.options.repeats} finished" if run.interrupted else ""
