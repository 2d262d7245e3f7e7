"""How a schedule can break, looked for in its steps; each pattern tells who met what because of whom.

Two accesses of one worker are cut apart by another's (Lu, Tucek, Qin and Zhou, "AVIO", ASPLOS 2006), on one value or
between the pieces of a longer one; or a ring of waiters closes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lab.model.holds import END
from lab.results import Step

from .names import shown
from .trace import GIVES_UP

TOLD = 3
"""Fields of which the same is told."""


class Pattern(NamedTuple):
    """What was found: the two sides, the reasons in order, and whose accesses were cut apart, from which place on."""

    headline: str
    reasons: list[str]
    victim: int = -1
    place: int = -1


@dataclass(slots=True)
class Access:
    """A load or store of one worker: the places in the schedule of its pieces, in the order of the addresses."""

    worker: int
    operation: str
    places: list[int]
    start: int
    end: int

    def met(self, other: Access) -> bool:
        """True when the two share a byte."""
        return self.start < other.end and other.start < self.end


def pattern(steps: Sequence[Step]) -> Pattern | None:
    """The most telling one that is found."""
    accesses = _accesses(steps)
    return _refused(steps) or _torn_load(steps, accesses) or _torn_stores(steps, accesses) or _cut_apart(steps)


def _accesses(steps: Sequence[Step]) -> list[Access]:
    """Loads and stores; pieces that one worker did one after the other, at adjoining addresses, are one."""
    open_ones: dict[int, Access] = {}
    found = []
    for place, step in enumerate(steps):
        mine = open_ones.get(step.worker)
        if step.operation not in ("load", "store"):
            open_ones.pop(step.worker, None)
        elif mine and mine.operation == step.operation and mine.end == step.start and step.length > 1:
            mine.places.append(place)
            mine.end += step.length
        else:
            mine = Access(step.worker, step.operation, [place], step.start, step.start + step.length)
            open_ones[step.worker] = mine
            found.append(mine)
    return found


def held(steps: Sequence[Step], worker: int) -> list[Step]:
    """The locks that the worker holds after these steps."""
    locks: list[Step] = []
    for step in steps:
        if step.worker == worker and step.operation == "lock":
            locks.append(step)
            if step.value == GIVES_UP:
                locks = []
        elif step.worker == worker and step.operation == "unlock":
            locks = [each for each in locks if (each.start, each.length) != (step.start, step.length)]
    return locks


def _refused(steps: Sequence[Step]) -> Pattern | None:
    """A ring of two or more that the kernel broke by refusing one of them."""
    place = next((at for at, step in enumerate(steps) if step.value == "EDEADLK"), -1)
    if place < 0:
        return None
    step, before = steps[place], steps[:place]
    others = dict.fromkeys(each.worker for each in before if each.worker != step.worker)
    holder = next((each for each in others if any(touch(step, lock) for lock in held(before, each))), -1)
    wants = next((s for s in steps[place + 1 :] if s.worker == holder and s.operation == "lock"), None)
    mine = ", ".join(each.field for each in held(before, step.worker)) or "nothing"
    return Pattern(
        f"worker {step.worker} and worker {holder} each hold what the other waits for",
        [
            f"worker {step.worker} holds {mine} and asks for {step.field}, which worker {holder} holds",
            f"worker {holder} waits for {wants.field}, which worker {step.worker} holds" if wants else "it waits",
            f"so the kernel refuses worker {step.worker} (EDEADLK): its wait would close the ring",
        ],
    )


def touch(one: Step, other: Step) -> bool:
    """True when the two share a byte."""
    end, other_end = (step.start + step.length if step.length else END for step in (one, other))
    return one.start < other_end and other.start < end


def _torn_load(steps: Sequence[Step], accesses: Sequence[Access]) -> Pattern | None:
    """One piece was loaded before the other worker stored it, another after."""
    for load, store in _pairs(accesses, "load", "store"):
        early, late = _halves(steps, load, store)
        if early and late:
            before, after = early[0], late[0]
            return Pattern(
                f"worker {load.worker} loads {_part(before, after)} while worker {store.worker} is storing it",
                [
                    f"worker {load.worker} met {shown(after.value)} in {after.field} because worker {store.worker} "
                    "had already stored it",
                    f"it met {shown(before.value)} in {before.field} because worker {store.worker} had not yet "
                    "stored it",
                    "so what it read is part new, part old",
                ],
                load.worker,
                load.places[0],
            )
    return None


def _torn_stores(steps: Sequence[Step], accesses: Sequence[Access]) -> Pattern | None:
    """Two long stores into each other: one piece is left from the one, another from the other."""
    for one, other in _pairs(accesses, "store", "store"):
        early, late = _halves(steps, one, other)
        if early and late:
            theirs, mine = early[1], late[0]
            return Pattern(
                f"worker {one.worker} and worker {other.worker} store {_part(mine, theirs)} at the same time",
                [
                    f"{mine.field} is left from worker {one.worker} because it stored there after "
                    f"worker {other.worker}",
                    f"{theirs.field} is left from worker {other.worker} because it stored there after "
                    f"worker {one.worker}",
                    "so what is left is part the one's, part the other's",
                ],
                one.worker,
                one.places[0],
            )
    return None


Pair = tuple[Step, Step]


def _halves(steps: Sequence[Step], one: Access, other: Access) -> tuple[Pair | None, Pair | None]:
    """Pieces of the one with their twins of the other: the last that came before its twin, the last that came after."""
    early = late = None
    for place in one.places:
        twin = next((each for each in other.places if steps[each].start == steps[place].start), None)
        if twin is not None and place < twin:
            early = steps[place], steps[twin]
        elif twin is not None:
            late = steps[place], steps[twin]
    return early, late


def _part(one: Step, other: Step) -> str:
    """The field that two pieces belong to."""
    names = {step.field.partition("[")[0].partition(" ")[0] for step in (one, other)}
    return " and ".join(sorted(names))


def _pairs(accesses: Sequence[Access], first: str, second: str) -> Iterator[tuple[Access, Access]]:
    for one in accesses:
        for other in accesses:
            if (
                one.worker != other.worker
                and (one.operation, other.operation) == (first, second)
                and len(one.places) > 1
                and one.met(other)
            ):
                yield one, other


def _cut_apart(steps: Sequence[Step]) -> Pattern | None:
    """Two accesses of one worker to one place, and another's in between that cannot be before or after both."""
    found: dict[str, dict[str, tuple[Step, Step, Step, int]]] = {}
    for place, third in enumerate(steps):
        if third.operation not in ("load", "store"):
            continue
        first_at = next(
            (at for at in range(place - 1, -1, -1) if steps[at].worker == third.worker and _same(steps[at], third)), -1
        )
        for at in range(first_at + 1 if first_at >= 0 else place, place):
            second = steps[at]
            if second.worker != third.worker and _same(second, third):
                first = steps[first_at]
                pattern = first.operation[0] + second.operation[0] + third.operation[0]
                found.setdefault(pattern, {}).setdefault(third.field, (first, second, third, first_at))
    for pattern, tell in (("lss", _lost), ("ssl", _foreign), ("sls", _halfway), ("lsl", _changed)):
        if pattern in found:
            told = list(found[pattern].items())[:TOLD]
            prefix = len(told) > 1
            reasons = []
            for name, (first, second, third, _) in told:
                _, lines = tell(first, second, third)
                reasons += [f"{name}: {line}" if prefix else line for line in lines]
            first, second, third, at = told[0][1]
            names = " and ".join(name for name, _ in told)
            return Pattern(f"{tell(first, second, third)[0]} {names}", reasons, first.worker, at)
    return None


def _same(one: Step, other: Step) -> bool:
    return (
        one.operation in ("load", "store")
        and one.start < other.start + other.length
        and other.start < one.start + one.length
    )


def _lost(first: Step, second: Step, third: Step) -> tuple[str, list[str]]:
    loaded = first.value
    grew = isinstance(second.value, int) and isinstance(loaded, int) and second.value > loaded
    return f"worker {first.worker} overwrites what worker {second.worker} stored in", [
        f"worker {third.worker} stored {shown(third.value)} because it had loaded {shown(loaded)}",
        f"it loaded {shown(loaded)} because worker {second.worker} had not yet stored {shown(second.value)}",
        f"so worker {second.worker}'s {'addition' if grew else 'store'} is lost",
    ]


def _foreign(first: Step, second: Step, third: Step) -> tuple[str, list[str]]:
    return f"worker {second.worker} stores over what worker {first.worker} had just put into", [
        f"worker {third.worker} loaded {shown(third.value)} although it had stored {shown(first.value)}",
        f"it loaded that because worker {second.worker} stored {shown(second.value)} in between",
        f"so worker {first.worker} does not find what is its own",
    ]


def _halfway(first: Step, second: Step, third: Step) -> tuple[str, list[str]]:
    return f"worker {second.worker} looks while worker {first.worker} is half done with", [
        f"worker {second.worker} loaded {shown(second.value)} because worker {first.worker} had stored it",
        f"worker {first.worker} had not yet stored {shown(third.value)}",
        f"so worker {second.worker} saw what was never meant to be seen",
    ]


def _changed(first: Step, second: Step, third: Step) -> tuple[str, list[str]]:
    return f"worker {second.worker} stores between two looks of worker {first.worker} at", [
        f"worker {first.worker} loaded {shown(first.value)}, and then {shown(third.value)}",
        f"worker {second.worker} stored {shown(second.value)} in between",
        f"so worker {first.worker}'s two looks do not belong together",
    ]
