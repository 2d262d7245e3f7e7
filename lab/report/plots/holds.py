"""Draw when each worker waited for the lock and held it, and how long requests took, as percentiles.

The axes of the percentiles are those of HdrHistogram's plots (Gil Tene,
http://hdrhistogram.github.io/HdrHistogram/plotFiles.html): each further nine of the percentile takes the same width,
and times are on a logarithmic scale.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import ceil, log10

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter

from lab.records import NEVER, Bench, Holds, LockCost, Run
from lab.report.format import plural, unit_of

from .scaling import key, label, legend_height, looks_of, measured, setting
from .style import TIME, Look, Panel, Picture, words

WAITING = "#F0B77A"
HOLDING = "#0072B2"
SHARING = "#009E73"
HAIR = 0.4
"""The least width of what is drawn, in points, so that a hold of 80 ns is still visible among milliseconds."""
TITLE_WIDTH = {1: 105, 2: 52}


@dataclass(frozen=True, slots=True)
class Strip:
    """The holds of one case with so many workers; `of` names its lock and scenario.

    Everything is known between the two moments of `shown`; (0, 0) where all holds are there.
    """

    of: str
    title: str
    holds: Holds
    workers: int
    shown: tuple[int, int] = (0, 0)


Bar = tuple[float, float]
"""The begin and the length."""


def holds(document: Bench | Run, *, every: bool = True) -> Picture | None:
    """Draw a panel for each case whose holds were written down, or one for each lock and scenario; None without any."""
    strips = _of_bench(document) if isinstance(document, Bench) else _of_race(document)
    if not every:
        strips = _largest(strips)
    if not strips:
        return None
    columns = 2 if len(strips) > 3 else 1
    panels = [_panel(strip, TITLE_WIDTH[columns]) for strip in strips]
    return Picture("Who held the lock, and who waited for it", panels, columns)


def _of_bench(bench: Bench) -> list[Strip]:
    """Return the holds of queues; without queues those of hand-offs, and without these those of uncontended locks."""
    kept = [cost for cost in measured(bench) if cost.holds.worker]
    for price in ("queue", "hand-off", "uncontended"):
        found = [
            Strip(cost.lock, cost.name, cost.holds, cost.workers, cost.holds_ns) for cost in kept if cost.price == price
        ]
        if found:
            return found
    return []


def _largest(strips: list[Strip]) -> list[Strip]:
    """Return one strip of each lock or scenario: the first of those with the most workers."""
    found: dict[str, Strip] = {}
    for strip in strips:
        if strip.of not in found or strip.workers > found[strip.of].workers:
            found[strip.of] = strip
    return list(found.values())


def _of_race(run: Run) -> list[Strip]:
    found = []
    for case in run.cases:
        if case.recording and case.recording.holds.worker:
            of = f"{case.scenario}, {case.lock}"
            title = f"{of}, {plural(case.workers, 'worker')}"
            found.append(Strip(of, title, case.recording.holds, case.workers))
    return found


def _panel(strip: Strip, width: int) -> Panel:
    title = words(strip.title, width)
    lanes = len({*range(strip.workers), *strip.holds.worker})
    return Panel(title, 0.95 + 0.24 * max(3, lanes) + 0.2 * title.count("\n"), partial(_draw, strip=strip))


def _draw(axes: Axes, strip: Strip) -> None:
    columns = strip.holds
    begin, end = strip.shown if any(strip.shown) else _window(columns)
    scale, unit = unit_of(end - begin)
    lanes = sorted({*range(strip.workers), *columns.worker})
    for lane, worker in enumerate(lanes):
        drawn = _bars(columns, worker, begin, end, scale)
        for (name, colour, height), bars in zip(_KINDS, drawn, strict=True):
            if bars:
                axes.broken_barh(
                    bars, (lane - height / 2, height), facecolor=colour, edgecolor=colour, linewidth=HAIR, label=name
                )
    _unreleased(axes, columns, lanes, begin, scale)
    axes.set_xlim(0, (end - begin) / scale)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.set_yticks(range(len(lanes)), [lane_name(worker, strip.workers) for worker in lanes])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"time since the first grant shown ({unit})")


_KINDS = (
    ("waiting", WAITING, 0.34),
    ("holding", HOLDING, 0.8),
    ("holding, shared", SHARING, 0.6),
)


def lane_name(worker: int, workers: int) -> str:
    """Return the name of a worker, or of the second owner in one."""
    return f"worker {worker}" if worker < workers else f"2nd owner in {worker - workers}"


def _window(columns: Holds) -> tuple[int, int]:
    """Return the span from the first grant, as some had waited long before, to the last event; in ns."""
    begin = min((granted for granted in columns.granted_ns if granted != NEVER), default=min(columns.requested_ns))
    return begin, max(begin + 1, *columns.requested_ns, *columns.granted_ns, *columns.released_ns)


def _bars(columns: Holds, worker: int, begin: int, end: int, scale: float) -> tuple[list[Bar], list[Bar], list[Bar]]:
    """Return when a worker waited, held alone, and held with others; one that was never granted waited to the end."""
    waited: list[Bar] = []
    held: list[Bar] = []
    shared: list[Bar] = []
    for each in columns.requests():
        if each.worker != worker:
            continue
        until = each.granted_ns if each.was_granted else end
        waited.append(((each.requested_ns - begin) / scale, (until - each.requested_ns) / scale))
        if each.was_released:
            length = (each.released_ns - each.granted_ns) / scale
            (held if each.write else shared).append(((each.granted_ns - begin) / scale, length))
    return waited, held, shared


def _unreleased(axes: Axes, columns: Holds, lanes: list[int], begin: int, scale: float) -> None:
    """Draw a cross where a lock was granted that was never released: the worker ended inside."""
    found = [
        ((each.granted_ns - begin) / scale, lanes.index(each.worker))
        for each in columns.requests()
        if each.was_granted and not each.was_released
    ]
    if found:
        axes.plot(
            *zip(*found, strict=True), "X", color="#000000", linestyle="none", label="never released", clip_on=False
        )


PERCENTILES = ("50", "90", "99", "99.9", "99.99", "99.999")
MARKED = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
MEASURED = {
    "uncontended": "uncontended: from the call to its return",
    "hand-off": "hand-off, {}: from release to next grant",
    "queue": "queue, {}: from request to grant",
}


def waits(bench: Bench, *, every: bool = True) -> Picture | None:
    """Draw a panel for each kind of cost and number of workers, or only the largest; None where no times were kept."""
    groups = _groups(bench, every=every)
    if not groups:
        return None
    far = max(log10(2 * sum(cost.distribution.count)) for costs in groups for cost in costs)
    columns = min(2, len(groups))
    height = max(4.2, legend_height(cost for costs in groups for cost in costs) / ceil(len(groups) / columns))
    panels = [_waits_panel(costs, looks_of(bench), far, height) for costs in groups]
    heading = f"How long a lock is waited for, by percentile{setting(bench)}"
    return Picture(heading, panels, columns=columns, shared=True)


def _groups(bench: Bench, *, every: bool) -> list[list[LockCost]]:
    """Return the cases with times that are drawn together, in the order of kinds of cost and workers."""
    groups: dict[tuple[str, int], list[LockCost]] = defaultdict(list)
    for cost in measured(bench):
        if sum(cost.distribution.count):
            groups[cost.price, cost.workers].append(cost)
    largest = {price: max(workers for other, workers in groups if other == price) for price, _ in groups}
    order = sorted(groups, key=lambda group: (list(MEASURED).index(group[0]), group[1]))
    return [groups[price, workers] for price, workers in order if every or workers == largest[price]]


def _waits_panel(costs: list[LockCost], looks: dict[tuple[str, str], Look], far: float, height: float) -> Panel:
    title = MEASURED[costs[0].price].format(plural(costs[0].workers, "worker"))
    return Panel(title, height, partial(_draw_waits, costs=costs, looks=looks, far=far))


def _draw_waits(axes: Axes, costs: list[LockCost], looks: dict[tuple[str, str], Look], far: float) -> None:
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
    """Return places on the percentile axis and the time reached there: steps, to half a request before the end."""
    counts, times = cost.distribution.count, cost.distribution.from_ns
    total = sum(counts)
    begins = [below / total for below in accumulate(counts, initial=0)][:-1]
    return [*map(place, begins), log10(2 * total)], [max(1, ns) for ns in [*times, times[-1]]]


def _marks(cost: LockCost) -> tuple[list[float], list[int]]:
    return [place(share) for share in MARKED.values()], [max(1, getattr(cost.latency, name)) for name in MARKED]


def place(share: float) -> float:
    """Return the place of a percentile, a share below 1, on its axis: its number of nines."""
    return -log10(1 - share)
