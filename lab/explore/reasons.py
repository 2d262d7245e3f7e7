"""Why a schedule broke, edge by edge: who met what because who had not yet done what."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from lab.results import Damage, Step

from .patterns import Pattern, patterns, touch


class Story(NamedTuple):
    """One line that names the damage and the two sides, and the reasons in order."""

    headline: str
    reasons: list[str]


def story(steps: Sequence[Step], damage: Sequence[Damage], lock: str) -> Story:
    """The first explanation that fits; the kind of the first damage heads it."""
    kind = damage[0].kind if damage else "damage"
    if kind == "deadlock":
        ring = " and ".join(f"worker {each}" for each in sorted({step.worker for step in steps}))
        return Story(f"deadlock: {ring} wait for each other", [*damage[0].evidence, "so none of them can go on"])
    found = next(patterns(steps), None)
    if found:
        return Story(f"{kind}: {found.headline}", found.reasons + _not_kept_out(steps, found, lock))
    return Story(*_switches(kind, steps))


def _not_kept_out(steps: Sequence[Step], found: Pattern, lock: str) -> list[str]:
    """Why the lock did not help the worker whose accesses were cut apart: what it held there did not cover them."""
    if lock == "none" or found.place < 0:
        return []
    held: list[Step] = []
    for step in steps[: found.place]:
        if step.worker == found.victim and step.operation == "lock":
            held.append(step)
        elif step.worker == found.victim and step.operation == "unlock":
            held = [each for each in held if (each.start, each.length) != (step.start, step.length)]
    wanted = steps[found.place]
    if any(touch(wanted, each) for each in held):
        return []
    holds = f"a lock on {', '.join(each.field for each in held)}, which does not cover it" if held else "no lock yet"
    return [f"the lock did not help: when worker {found.victim} came to {wanted.field} it held {holds}"]


def _switches(kind: str, steps: Sequence[Step]) -> tuple[str, list[str]]:
    """What can be said of any schedule: who took the turn from whom, and where."""
    reasons = []
    sides: list[int] = []
    for before, step in pairwise(steps):
        if step.turn == "preempted":
            sides += [before.worker, step.worker]
            reasons.append(
                f"worker {step.worker} took its turn after worker {before.worker} had done "
                f"{before.operation} {before.field}, before it could go on"
            )
    both = list(dict.fromkeys(sides)) or sorted({step.worker for step in steps})
    return f"{kind}: " + " and ".join(f"worker {each}" for each in both[:2]), reasons
