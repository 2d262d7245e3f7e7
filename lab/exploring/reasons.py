"""Say why a schedule broke, and which of its steps ought not to be cut apart.

Of all patterns in a schedule it takes the first whose absence fixes it (see `simplify`): run with those steps
together, the schedule ends well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from lab.records import Damage, Step

from .counterexample import Pattern, held, holding, patterns, touch
from .operation import shown
from .simplify import Cut, cuts_of
from .trace import WAITS

MOST_CUTS = 2_000
"""The most cuts that are tried where no pattern is to blame."""

SHOWN = 3
"""The number of steps of the other workers that are named."""


class Story(NamedTuple):
    """The explanation: one line that names the damage and the two sides, the reasons in order, and the cut.

    Without the cut the scenario holds.
    """

    headline: str
    reasons: list[str]
    cut: Cut | None = None


Fixes = Callable[[Cut], bool]


def story(
    steps: Sequence[Step],
    damage: Sequence[Damage],
    lock: str,
    kinds: frozenset[str] = frozenset(),
    fixes: Fixes | None = None,
    *,
    by_invariant: bool = False,
) -> Story:
    """Return the first explanation that fits, headed by the first damage that is wanted: of any kind, where none is
    named.

    `fixes` says whether the schedule ends well without a cut; without it the first pattern has to do. Damage that was
    found `by_invariant` has a last reason, which says when.
    """
    kind = next((each.kind for each in damage if not kinds or each.kind in kinds), "damage")
    told = _story(steps, kind, damage, lock, fixes, by_invariant=by_invariant)
    return told._replace(reasons=[*told.reasons, *_seen_by_invariant(steps, damage, lock)]) if by_invariant else told


def _seen_by_invariant(steps: Sequence[Step], damage: Sequence[Damage], lock: str) -> Iterator[str]:
    when = "no worker is in a round" if lock == "none" else "no worker holds a lock"
    yield f"after step {len(steps)} {when}, and the invariant does not hold"
    yield from (f"it found: {text}" for each in damage[:1] for text in each.evidence[:1])


def _story(
    steps: Sequence[Step],
    kind: str,
    damage: Sequence[Damage],
    lock: str,
    fixes: Fixes | None,
    *,
    by_invariant: bool,
) -> Story:
    if kind == "deadlock":
        waits = [at for at, step in enumerate(steps) if step.value == WAITS]
        cuts = [cut for at in waits for cut in holding(steps, at)]
        return _deadlock(damage[0].evidence)._replace(cut=_first(cuts, fixes))
    for found in patterns(steps):
        cut = _first(found.cuts, fixes)
        if cut or not fixes:
            return Story(f"{kind}: {found.headline}", found.reasons + _not_kept_out(steps, found, lock), cut)
    cut = _first(islice(cuts_of(steps), MOST_CUTS), fixes)
    if cut:
        return _between(kind, steps, cut)
    if by_invariant and steps and len({step.worker for step in steps}) == 1:
        last = steps[-1]
        return Story(
            f"{kind}: worker {last.worker} leaves it so after its {_did(last)}",
            ["no other worker came in between: all of the change needs one lock"],
        )
    if fixes and all(one.worker == other.worker or _has_finished(steps, at) for at, (one, other) in _turns(steps)):
        return Story(
            f"{kind}: without any interleaving",
            ["each worker had finished before the next one began, so no order of steps is to blame"],
        )
    return _switches(kind, steps)


def _first(cuts: Iterator[Cut] | Sequence[Cut], fixes: Fixes | None) -> Cut | None:
    return next((cut for cut in cuts if fixes and fixes(cut)), None)


def _turns(steps: Sequence[Step]) -> Iterator[tuple[int, tuple[Step, Step]]]:
    return enumerate(pairwise(steps))


def _has_finished(steps: Sequence[Step], at: int) -> bool:
    """Return True where the worker of this step has no further one."""
    return all(step.worker != steps[at].worker for step in steps[at + 1 :])


def _between(kind: str, steps: Sequence[Step], cut: Cut) -> Story:
    """Say which worker did what between which steps, where no worker overwrote anything by itself."""
    worker = steps[cut.place].worker
    mine = [at for at in range(cut.place, len(steps)) if steps[at].worker == worker][: cut.more + 1]
    first, last = steps[mine[0]], steps[mine[-1]]
    others = [
        step for step in steps[mine[0] : mine[-1]] if step.worker != worker and step.operation in ("load", "store")
    ]
    touched = [step for step in steps if step.worker == worker and step.operation in ("load", "store")]
    telling = [
        step
        for step in others
        if any("store" in (step.operation, own.operation) and touch(step, own) for own in touched)
    ] or others  # fmt: skip
    names = list(dict.fromkeys(step.worker for step in telling)) or sorted(
        {step.worker for step in steps[mine[0] : mine[-1]]} - {worker}
    )
    who = " and ".join(f"worker {each}" for each in names)
    between = f"worker {worker}'s {_did(first)} and its {_did(last)}"
    reasons = [
        f"worker {step.worker} {'stored' if step.operation == 'store' else 'loaded'} {shown(step.value)} "
        f"{'in' if step.operation == 'store' else 'from'} {step.field} between {between}"
        for step in telling[:SHOWN]
    ]
    return Story(
        f"{kind}: {who} {'comes' if len(names) == 1 else 'come'} between {between}",
        [*(reasons or [f"{who} went on between {between}"]), "had nobody come in between there, it would have held"],
        cut,
    )


def _did(step: Step) -> str:
    """Return a step as a noun: the store to value."""
    words = {"load": "load of", "store": "store to", "nothing": "call", "pause": "next try"}
    return f"{words.get(step.operation, f'{step.operation} of')} {step.field}".rstrip()


def _deadlock(evidence: Sequence[str]) -> Story:
    """Return the ring, and the workers that wait behind it."""
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
    """Say why the lock did not help the worker whose accesses were cut apart: its locks did not cover all of them."""
    if lock == "none" or found.place < 0:
        return []
    locks = held(steps[: found.place], found.victim)
    wanted = steps[found.place]
    covering = [each for each in locks if touch(wanted, each)]
    if covering:
        return _let_go(steps, found, covering)
    holds = f"a lock on {', '.join(each.field for each in locks)}, which does not cover it" if locks else "no lock"
    return [f"the lock did not help: when worker {found.victim} came to {wanted.field} it held {holds}"]


def _let_go(steps: Sequence[Step], found: Pattern, locks: Sequence[Step]) -> list[str]:
    """Say which lock the worker released between its accesses, so that others were let in there."""
    place, more = found.cuts[0]
    mine = [step for step in steps[place:] if step.worker == found.victim][: more + 1]
    ranges = [(each.start, each.length) for each in locks]
    let_go = next((s for s in mine if s.operation == "unlock" and (s.start, s.length) in ranges), None)
    if not let_go or found.cuts[0].place != found.place:
        return []
    who = f"worker {found.victim}"
    return [f"the lock did not help: {who} released {let_go.field} before it came to {mine[-1].field}"]


def _switches(kind: str, steps: Sequence[Step]) -> Story:
    """Say which worker took the turn from which other, and where: this can be said of any schedule."""
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
