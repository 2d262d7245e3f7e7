"""How long requests took, as percentiles: the usual ones, and how far the rare ones are from them.

Both axes are those of HdrHistogram's plots (Gil Tene, http://hdrhistogram.github.io/HdrHistogram/plotFiles.html): each
further nine of the percentile takes the same width, and times are on a logarithmic scale.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import accumulate
from math import ceil, log10

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter

from lab.records import Bench, LockCost
from lab.report.format import plural

from .scaling import key, label, legend_height, looks_of, measured, setting
from .style import TIME, Look, Panel, Picture

PERCENTILES = ("50", "90", "99", "99.9", "99.99", "99.999")
MARKED = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
MEASURED = {
    "uncontended": "uncontended: from the call to its return",
    "hand-off": "hand-off, {}: from release to next grant",
    "queue": "queue, {}: from request to grant",
}


def waits(bench: Bench, *, every: bool = True) -> Picture | None:
    """A panel for each price and number of workers, or only the largest; none where no times were kept."""
    groups = _groups(bench, every=every)
    if not groups:
        return None
    far = max(log10(2 * sum(cost.distribution.count)) for costs in groups for cost in costs)
    columns = min(2, len(groups))
    height = max(4.2, legend_height(cost for costs in groups for cost in costs) / ceil(len(groups) / columns))
    panels = [_panel(costs, looks_of(bench), far, height) for costs in groups]
    heading = f"How long a lock is waited for, by percentile{setting(bench)}"
    return Picture(heading, panels, columns=columns, shared=True)


def _groups(bench: Bench, *, every: bool) -> list[list[LockCost]]:
    """The cases with times that are drawn together, in the order of prices and workers."""
    groups: dict[tuple[str, int], list[LockCost]] = defaultdict(list)
    for cost in measured(bench):
        if sum(cost.distribution.count):
            groups[cost.price, cost.workers].append(cost)
    largest = {price: max(workers for other, workers in groups if other == price) for price, _ in groups}
    order = sorted(groups, key=lambda group: (list(MEASURED).index(group[0]), group[1]))
    return [groups[price, workers] for price, workers in order if every or workers == largest[price]]


def _panel(costs: list[LockCost], looks: dict[tuple[str, str], Look], far: float, height: float) -> Panel:
    title = MEASURED[costs[0].price].format(plural(costs[0].workers, "worker"))
    return Panel(title, height, partial(_draw, costs=costs, looks=looks, far=far))


def _draw(axes: Axes, costs: list[LockCost], looks: dict[tuple[str, str], Look], far: float) -> None:
    for cost in costs:
        look = looks[key(cost)]
        axes.plot(*curve(cost), drawstyle="steps-post", **{**look._asdict(), "marker": ""})
        axes.plot(*_marks(cost), **{**look._asdict(), "linestyle": "none"})
        axes.plot([], [], label=label(cost), **look._asdict())
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_major_formatter(TIME)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0, far)
    shown = [each for each in PERCENTILES if place(float(each) / 100) <= far]
    axes.xaxis.set_major_locator(FixedLocator([place(float(each) / 100) for each in shown]))
    axes.xaxis.set_major_formatter(FixedFormatter(shown))
    axes.set_xlabel("percentile (%); marks: p50, p99, p99.9")
    axes.set_ylabel("time (log scale)")


def curve(cost: LockCost) -> tuple[list[float], list[int]]:
    """From which place on the percentile axis which time is reached: steps, to half a request before the end."""
    counts, times = cost.distribution.count, cost.distribution.from_ns
    total = sum(counts)
    begins = [below / total for below in accumulate(counts, initial=0)][:-1]
    return [*map(place, begins), log10(2 * total)], [max(1, ns) for ns in [*times, times[-1]]]


def _marks(cost: LockCost) -> tuple[list[float], list[int]]:
    return [place(share) for share in MARKED.values()], [max(1, getattr(cost.latency, name)) for name in MARKED]


def place(share: float) -> float:
    """Where a percentile, as a share below 1, lies on its axis: its number of nines."""
    return -log10(1 - share)
