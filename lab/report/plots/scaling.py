"""Draw pairs a second, a line for each lock: against the number of workers, and against the ranges already held.

It also decides which cases of a benchmark belong to one line, and what the line is called.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from lab.records import Bench, LockCost
from lab.report.format import duration, plural

from .style import COUNT, Look, Panel, Picture, looks, words

NAME_WIDTH = 26


def measured(bench: Bench) -> list[LockCost]:
    """Return the cases that were measured, and to the end."""
    return [cost for cost in bench.locks if not cost.reason]


def variant(cost: LockCost) -> str:
    """Return what distinguishes a line from others of its lock: the ranges, what is held already, the backing."""
    parts = [cost.ranges if cost.ranges != "same" else "", f"{cost.held:,} held" if cost.held else "", cost.backing]
    return ", ".join(filter(None, parts))


def key(cost: LockCost) -> tuple[str, str]:
    """Return the line that a case belongs to."""
    return cost.lock, variant(cost)


def label(cost: LockCost) -> str:
    """Return the line's name in the legend.

    matplotlib hides names that begin with an underscore, but not behind a space.
    """
    name = words(", ".join(filter(None, key(cost))), NAME_WIDTH)
    return f" {name}" if name.startswith("_") else name


def legend_height(costs: Iterable[LockCost]) -> float:
    """Return the height, in inches, that the names of these cases' lines need."""
    return 0.4 + 0.22 * sum(1 + name.count("\n") for name in {label(cost) for cost in costs})


def looks_of(bench: Bench) -> dict[tuple[str, str], Look]:
    """Return the looks of all lines: the same lock looks the same in all pictures of a run."""
    return looks(key(cost) for cost in bench.locks)


def setting(bench: Bench) -> str:
    """Say what all queues of a run have in common, and which locks did not exclude: their figures mean nothing."""
    options = bench.options
    broken = dict.fromkeys(cost.lock for cost in bench.locks if cost.overlapping or cost.lost)
    parts = [
        f"hold {duration(options.hold_ns)}" if options.hold_ns else "",
        f"think {duration(options.think_ns)}" if options.think_ns else "",
        {"none": "not pinned", "one": "all on one CPU"}.get(options.pin, ""),
        f"NOT EXCLUSIVE: {' and '.join(broken)}" if broken else "",
    ]
    return "".join(f", {each}" for each in parts if each)


TOO_FAR_APART = 30
"""From this ratio of the slowest to the fastest on, one scale of even steps would hide the slow ones."""

Line = list[LockCost]


@dataclass(frozen=True, slots=True)
class Across:
    """The horizontal axis of a panel: its name, and the place of a case on it.

    A line looks like the case `shown` of it, and is `called` as in the legend.
    """

    name: str
    of: Callable[[LockCost], int]
    shown: Callable[[Line], LockCost]
    called: Callable[[Line], str]


WORKERS = Across(
    "workers (processes)",
    of=lambda cost: cost.workers,
    shown=lambda line: line[-1],
    called=lambda line: label(line[-1]),
)
HELD = Across(
    "ranges held on the file already",
    of=lambda cost: cost.held,
    shown=lambda line: line[0],
    called=lambda line: label(replace(line[0], held=0)),
)


def scaling(bench: Bench) -> Picture | None:
    """Draw the picture; None where neither a queue nor more than one number of held ranges was measured."""
    looks = looks_of(bench)
    lines, held = lines_of(bench), held_lines_of(bench)
    height = max(5.4, legend_height(line[-1] for line in lines + held))
    panels = []
    if lines:
        panels.append(Panel("queue" if held else "", height, partial(_draw, lines=lines, looks=looks, across=WORKERS)))
    if held:
        first = held[0][0]
        title = "uncontended" if first.price == "uncontended" else f"queue, {plural(first.workers, 'worker')}"
        panels.append(Panel(title, 5.4, partial(_draw, lines=held, looks=looks, across=HELD)))
    heading = f"Pairs of lock and unlock a second, all workers together{setting(bench)}"
    return Picture(heading, panels) if panels else None


def lines_of(bench: Bench) -> list[Line]:
    """Return each lock's queues in the order of their workers.

    Where no queue has one worker, the uncontended lock comes first. It shares its range with no other worker, so it is
    the first point of disjoint ranges as well.
    """
    lines: dict[tuple[str, str], Line] = defaultdict(list)
    costs = _priced(bench)
    for cost in costs:
        if cost.price == "queue":
            lines[key(cost)].append(cost)
    for line in lines.values():
        if all(cost.workers > 1 for cost in line):
            line += [cost for cost in costs if _is_alone(cost, line[0])][:1]
        line.sort(key=WORKERS.of)
    return list(lines.values())


def held_lines_of(bench: Bench) -> list[Line]:
    """Return each lock in the order of the ranges held beside it.

    It is the uncontended lock, or else the queue with the most workers. None are returned where there is only one
    number of ranges.
    """
    costs = [cost for cost in _priced(bench) if cost.price == "uncontended"]
    if not costs:
        queues = [cost for cost in _priced(bench) if cost.price == "queue"]
        costs = [cost for cost in queues if cost.workers == max(each.workers for each in queues)]
    lines: dict[tuple[str, str], Line] = defaultdict(list)
    for cost in sorted(costs, key=HELD.of):
        lines[key(replace(cost, held=0))].append(cost)
    return list(lines.values()) if len({cost.held for cost in costs}) > 1 else []


def _priced(bench: Bench) -> list[LockCost]:
    return [cost for cost in measured(bench) if cost.median_ns > 0]


def _is_alone(cost: LockCost, queue: LockCost) -> bool:
    """Return True for the same lock, uncontended; a lock that is held for a while in the queue is not the same."""
    of_both = [(each.lock, each.held, each.backing, each.hold_ns, each.think_ns) for each in (cost, queue)]
    return cost.price == "uncontended" and of_both[0] == of_both[1]


def _draw(axes: Axes, lines: list[Line], looks: dict[tuple[str, str], Look], across: Across) -> None:
    for line in lines:
        look = looks[key(across.shown(line))]
        rates = [_rate(cost.median_ns) for cost in line]
        lows = [max(0.0, rate - _rate(cost.interval_95[1])) for rate, cost in zip(rates, line, strict=True)]
        highs = [max(0.0, _rate(cost.interval_95[0]) - rate) for rate, cost in zip(rates, line, strict=True)]
        axes.errorbar(
            [across.of(cost) for cost in line], rates, yerr=[lows, highs], label=across.called(line), **look._asdict(),
            capsize=look.markersize - 2, elinewidth=look.linewidth,
        )  # fmt: skip
    _places(axes, sorted({across.of(cost) for line in lines for cost in line}))
    _rates(axes)
    axes.set_xlabel(across.name)
    axes.set_ylabel("pairs a second; bars: 95 % interval")


def _rate(ns: float) -> float:
    return 1e9 / ns if ns > 0 else 0.0


def _places(axes: Axes, places: list[int]) -> None:
    """Set a tick for each number; even steps for even numbers, doublings otherwise, with a place for 0 beside them."""
    if places[-1] - places[0] >= len(places):
        axes.set_xscale("log" if places[0] else "symlog", base=2)
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(COUNT)


def _rates(axes: Axes) -> None:
    low, high = axes.dataLim.intervaly
    if low > 0 and high > TOO_FAR_APART * low:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08 * high)
    axes.yaxis.set_major_formatter(COUNT)
