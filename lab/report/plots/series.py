"""The cases of a benchmark as lines: which belong to one line, and what the line is called."""

from __future__ import annotations

from collections.abc import Iterable

from lab.report.words import duration
from lab.results import Bench, LockCost

from .style import Look, looks, words

NAME_WIDTH = 26


def measured(bench: Bench) -> list[LockCost]:
    """The cases that were measured, and to the end."""
    return [cost for cost in bench.locks if not cost.reason]


def variant(cost: LockCost) -> str:
    """What tells a line from others of its lock: the ranges, what is held already, the region."""
    told = [cost.ranges if cost.ranges != "same" else "", f"{cost.held:,} held" if cost.held else "", cost.region]
    return ", ".join(filter(None, told))


def key(cost: LockCost) -> tuple[str, str]:
    """The line that a case belongs to."""
    return cost.lock, variant(cost)


def label(cost: LockCost) -> str:
    """The line's name in the legend; matplotlib hides names that begin with an underscore, but not behind a space."""
    name = words(", ".join(filter(None, key(cost))), NAME_WIDTH)
    return f" {name}" if name.startswith("_") else name


def legend_height(costs: Iterable[LockCost]) -> float:
    """What the names of these cases' lines need, in inches."""
    return 0.4 + 0.22 * sum(1 + name.count("\n") for name in {label(cost) for cost in costs})


def looks_of(bench: Bench) -> dict[tuple[str, str], Look]:
    """The same lock looks the same in all pictures of a run."""
    return looks(key(cost) for cost in bench.locks)


def setting(bench: Bench) -> str:
    """What all queues of a run have in common, and which of its locks let two in: their prices mean nothing."""
    asked = bench.options
    two_in = dict.fromkeys(cost.lock for cost in bench.locks if cost.overlapping or cost.lost)
    told = [
        f"hold {duration(asked.hold_ns)}" if asked.hold_ns else "",
        f"think {duration(asked.think_ns)}" if asked.think_ns else "",
        {"none": "not pinned", "one": "all on one CPU"}.get(asked.pin, ""),
        f"NOT EXCLUSIVE: {' and '.join(two_in)}" if two_in else "",
    ]
    return "".join(f", {each}" for each in told if each)
