"""Why a schedule broke, edge by edge: who met what because who had not yet done what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from lab.results import Damage, Step

from .patterns import Pattern, held, pattern, touch


class Story(NamedTuple):
    """One line that names the damage and the two sides, and the reasons in order."""

    headline: str
    reasons: list[str]


def story(steps: Sequence[Step], damage: Sequence[Damage], lock: str, kinds: frozenset[str] = frozenset()) -> Story:
    """The first explanation that fits, headed by the first damage that is wanted: of any kind, where none is named."""
    kind = next((each.kind for each in damage if not kinds or each.kind in kinds), "damage")
    if kind == "deadlock":
        return _deadlock(damage[0].evidence)
    found = pattern(steps)
    if found:
        return Story(f"{kind}: {found.headline}", found.reasons + _not_kept_out(steps, found, lock))
    return _switches(kind, steps)


def _deadlock(evidence: Sequence[str]) -> Story:
    """The ring, and who waits behind it."""
    waits = {
        int(one): int(other)
        for one, other in re.findall(r"worker (\d+) waits for .*, which worker (\d+) holds", ";\n".join(evidence))
    }
    ring: list[int] = []
    at = min(waits, default=-1)
    while at in waits and at not in ring:
        ring.append(at)
        at = waits[at]
    ring = sorted(ring[ring.index(at) :]) if at in ring else ring
    told = " and ".join(f"worker {each}" for each in ring)
    behind = [f"worker {each} waits behind them" for each in sorted(waits.keys() - set(ring))]
    return Story(f"deadlock: {told} wait for each other", [*evidence, *behind, "so none of them can go on"])


def _not_kept_out(steps: Sequence[Step], found: Pattern, lock: str) -> list[str]:
    """Why the lock did not help the worker whose accesses were cut apart: what it held there did not cover them."""
    if lock == "none" or found.place < 0:
        return []
    locks = held(steps[: found.place], found.victim)
    wanted = steps[found.place]
    if any(touch(wanted, each) for each in locks):
        return []
    holds = f"a lock on {', '.join(each.field for each in locks)}, which does not cover it" if locks else "no lock yet"
    return [f"the lock did not help: when worker {found.victim} came to {wanted.field} it held {holds}"]


def _switches(kind: str, steps: Sequence[Step]) -> Story:
    """What can be said of any schedule: who took the turn from whom, and where."""
    cuts = [(before, step) for before, step in pairwise(steps) if step.turn == "preempted"]
    sides = [worker for before, step in cuts for worker in (before.worker, step.worker)]
    both = list(dict.fromkeys(sides)) or sorted({step.worker for step in steps})
    reasons = [
        f"worker {step.worker} took its turn after worker {before.worker} had done {before.operation} {before.field}, "
        "before it could go on"
        for before, step in cuts
    ]
    already = "nobody was cut short: it breaks when the workers take their turns in this order"
    return Story(f"{kind}: " + " and ".join(f"worker {each}" for each in both[:2]), reasons or [already])
