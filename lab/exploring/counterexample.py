"""Look for patterns in the steps of a schedule that broke: which worker met what because of which other.

A pattern is not yet the reason: `simplify` finds out whether the damage goes with it. Either two accesses of one worker
are separated by another's (Lu, Tucek, Qin and Zhou, "AVIO", ASPLOS 2006), on one value, on two that belong together, or
between the pieces of a longer one; or a ring of waiting workers closes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import NamedTuple

from lab.analysis.holds import END
from lab.records import Step

from .operation import END_FIRST, shown
from .simplify import Cut, cut_between
from .trace import GIVES_UP

TOLD = 3
"""The number of fields that are named where the same happens to several."""


MOST_DATA = 400
"""The most loads and stores of a schedule in which two that belong together are looked for."""

PatternText = Callable[[Step, Step, Step], tuple[str, list[str]]]


class Pattern(NamedTuple):
    """A pattern in a schedule: the two sides, the reasons in order, whose accesses were separated, and where.

    Without any one of the `cuts` there would be no such pattern.
    """

    headline: str
    reasons: list[str]
    cuts: tuple[Cut, ...]
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
        """Return True when the two share a byte."""
        return self.start < other.end and other.start < self.end


def patterns(steps: Sequence[Step]) -> Iterator[Pattern]:
    """Return all patterns that are found, the most informative first."""
    accesses = _accesses(steps)
    yield from _refused(steps)
    yield from _torn_loads(steps, accesses)
    yield from _torn_stores(steps, accesses)
    lost, others = _cut_apart(steps)
    yield from lost
    yield from _half_done(steps)
    yield from others


def _accesses(steps: Sequence[Step]) -> list[Access]:
    """Return loads and stores; moves of one copy, which one worker does one after the other, are one (see `moves`)."""
    open_ones: dict[int, Access] = {}
    found = []
    for place, step in enumerate(steps):
        mine = open_ones.get(step.worker)
        if step.operation not in ("load", "store"):
            open_ones.pop(step.worker, None)
        elif mine and mine.operation == step.operation and _goes_on(mine, step):
            mine.places.append(place)
            mine.start, mine.end = min(mine.start, step.start), max(mine.end, step.start + step.length)
        else:
            mine = Access(step.worker, step.operation, [place], step.start, step.start + step.length)
            open_ones[step.worker] = mine
            found.append(mine)
    return found


def _goes_on(copy: Access, step: Step) -> bool:
    """Return True for the next move of a copy: it adjoins or overlaps, and goes further; or the end came first."""
    end = step.start + step.length
    if step.start < copy.start:
        return end >= copy.start and copy.end - step.start in (3, *END_FIRST) and len(copy.places) == 1
    return copy.start < step.start <= copy.end < end and (step.length > 1 or copy.end - copy.start > 1)


def held(steps: Sequence[Step], worker: int) -> list[Step]:
    """Return the locks that the worker holds after these steps."""
    locks: list[Step] = []
    for step in steps:
        if step.worker == worker and step.operation == "lock":
            locks.append(step)
            if step.value == GIVES_UP:
                locks = []
        elif step.worker == worker and step.operation == "unlock":
            locks = [each for each in locks if (each.start, each.length) != (step.start, step.length)]
    return locks


def _refused(steps: Sequence[Step]) -> Iterator[Pattern]:
    """Return the pattern of a ring of two or more that the kernel broke by refusing one of them."""
    for place, step in enumerate(steps):
        if step.value != "EDEADLK":
            continue
        before = steps[:place]
        others = dict.fromkeys(each.worker for each in before if each.worker != step.worker)
        holder = next((each for each in others if any(touch(step, lock) for lock in held(before, each))), -1)
        wanted = next(
            (at for at in range(place + 1, len(steps)) if (steps[at].worker, steps[at].operation) == (holder, "lock")),
            -1,
        )
        wants = steps[wanted] if wanted >= 0 else None
        mine = ", ".join(each.field for each in held(before, step.worker)) or "nothing"
        yield Pattern(
            f"worker {step.worker} and worker {holder} each hold what the other waits for",
            [
                f"worker {step.worker} holds {mine} and asks for {step.field}, which worker {holder} holds",
                f"worker {holder} waits for {wants.field}, which worker {step.worker} holds" if wants else "it waits",
                f"so the kernel refuses worker {step.worker} (EDEADLK): its wait would close the ring",
            ],
            (*holding(steps, place), *(holding(steps, wanted) if wants else ())),
        )


def holding(steps: Sequence[Step], place: int) -> tuple[Cut, ...]:
    """Return a cut from each lock that a worker holds to this one, which it requests.

    Without a break it would get both.
    """
    worker = steps[place].worker
    mine = held(steps[:place], worker)
    return tuple(cut_between(steps, at, place) for at in range(place) if any(steps[at] is lock for lock in mine))


def touch(one: Step, other: Step) -> bool:
    """Return True when the two share a byte."""
    end, other_end = (step.start + step.length if step.length else END for step in (one, other))
    return one.start < other_end and other.start < end


def _torn_loads(steps: Sequence[Step], accesses: Sequence[Access]) -> Iterator[Pattern]:
    """Return the pattern of a load that met some bytes before another worker stored them, and some after."""
    for load, store in _pairs(accesses, "load", "store"):
        parts = list(_parts(steps, load, store))
        new = next((part for part in parts if min(part.stores) < part.place), None)
        old = next((part for part in parts if min(part.stores) > part.place), None)
        if new and old:
            yield Pattern(
                f"worker {load.worker} loads {_of(new, old)} while worker {store.worker} is storing it",
                [
                    f"worker {load.worker} met {new.value} in {new.field} because worker {store.worker} "
                    "had already stored it",
                    f"it met {old.value} in {old.field} because worker {store.worker} had not yet stored it",
                    "so what it read is part new, part old",
                ],
                _whole(steps, load, store),
                load.worker,
                load.places[0],
            )


def _torn_stores(steps: Sequence[Step], accesses: Sequence[Access]) -> Iterator[Pattern]:
    """Return the pattern of two long stores into each other: some bytes are left from one, others from the other."""
    for one, other in _pairs(accesses, "store", "store"):
        parts = list(_parts(steps, one, other))
        last = {part.field: max(at for at in one.places if _touches(steps[at], part)) for part in parts}
        mine = next((part for part in parts if max(part.stores) < last[part.field]), None)
        theirs = next((part for part in parts if max(part.stores) > last[part.field]), None)
        if mine and theirs:
            yield Pattern(
                f"worker {one.worker} and worker {other.worker} store {_of(mine, theirs)} at the same time",
                [
                    f"{mine.field} is left from worker {one.worker} because it stored there after "
                    f"worker {other.worker}",
                    f"{theirs.field} is left from worker {other.worker} because it stored there after "
                    f"worker {one.worker}",
                    "so what is left is part the one's, part the other's",
                ],
                _whole(steps, one, other),
                one.worker,
                one.places[0],
            )


class Part(NamedTuple):
    """A range of bytes that one move reaches and the same moves of another worker's store.

    It has the places in the schedule of these moves.
    """

    place: int
    start: int
    end: int
    field: str
    value: str
    stores: tuple[int, ...]


def _parts(steps: Sequence[Step], one: Access, store: Access) -> Iterator[Part]:
    """Return the bytes of an access that a store of another worker reaches too, cut where its moves are."""
    for place in one.places:
        step = steps[place]
        start, end = step.start, step.start + step.length
        bounds = {at for twin in store.places for at in (steps[twin].start, steps[twin].start + steps[twin].length)}
        cuts = sorted({start, end, *(at for at in bounds if start < at < end)})
        for low, high in pairwise(cuts):
            stores = tuple(
                t for t in store.places if steps[t].start <= low and high <= steps[t].start + steps[t].length
            )
            if stores:
                yield Part(place, low, high, *_section(step, low, high), stores)


def _touches(step: Step, part: Part) -> bool:
    return step.start <= part.start and part.end <= step.start + step.length


def _section(step: Step, low: int, high: int) -> tuple[str, str]:
    """Return name and value of some bytes of a step: record[16:24]."""
    slices = re.fullmatch(r"(.*)\[(\d+):(\d+)\]", step.field)
    if (low, high) == (step.start, step.start + step.length) or not slices or not isinstance(step.value, str):
        return step.field, shown(step.value)
    first = int(slices[2]) + low - step.start
    data = step.value[2 * (low - step.start) : 2 * (high - step.start)]
    return f"{slices[1]}[{first}:{first + high - low}]", shown(data)


def _half_done(steps: Sequence[Step]) -> Iterator[Pattern]:
    """Return the patterns in which another worker comes between two accesses that belong together.

    Its own two accesses touch both: in the order of the one worker it is behind it at the first, and before it at the
    second. The nearest two come first.
    """
    data = [at for at, step in enumerate(steps) if step.operation in ("load", "store")]
    if len(data) > MOST_DATA:
        return
    spans = sorted((last - first, first, last) for first, last in combinations(data, 2))
    for _, first, last in spans:
        one, two = steps[first], steps[last]
        if one.worker != two.worker or touch(one, two):
            continue
        between = [at for at in range(first + 1, last) if steps[at].operation in ("load", "store")]
        behind = [at for at in between if _clash(one, steps[at])]
        ahead = [at for at in between if _clash(two, steps[at])]
        for after, before in product(behind, ahead):
            if steps[after].worker == steps[before].worker:
                yield Pattern(
                    f"worker {steps[after].worker} comes between what worker {one.worker} does to {one.field} and to "
                    f"{two.field}",
                    [*_edge(one, steps[after]), *_edge(steps[before], two), _so(steps[after], steps[before])],
                    (cut_between(steps, first, last),),
                    one.worker,
                    first,
                )
                break


def _clash(one: Step, other: Step) -> bool:
    return one.worker != other.worker and "store" in (one.operation, other.operation) and touch(one, other)


def _edge(earlier: Step, later: Step) -> list[str]:
    """Say what the order of two accesses to the same bytes caused."""
    if later.operation == "load":
        return [
            f"worker {later.worker} met {shown(later.value)} in {later.field} because worker {earlier.worker} had "
            "already stored it"
        ]
    if earlier.operation == "load":
        return [
            f"worker {earlier.worker} met {shown(earlier.value)} in {earlier.field} because worker {later.worker} had "
            f"not yet stored {shown(later.value)}"
        ]
    return [
        f"{later.field} is left from worker {later.worker} because it stored there after worker {earlier.worker}"
    ]  # fmt: skip


def _so(one: Step, other: Step) -> str:
    if (one.operation, other.operation) == ("store", "store"):
        return "so what is left is part the one's, part the other's"
    if one.operation == other.operation:
        return f"so worker {one.worker} saw the one change and not the other"
    return f"so worker {one.worker} comes after the one and before the other"


def _whole(steps: Sequence[Step], *copies: Access) -> tuple[Cut, ...]:
    return tuple(cut_between(steps, copy.places[0], copy.places[-1]) for copy in copies if len(copy.places) > 1)


def _of(one: Part, other: Part) -> str:
    """Return the field that two parts belong to."""
    names = {part.field.partition("[")[0].partition(" ")[0] for part in (one, other)}
    return " and ".join(sorted(names))


def _pairs(accesses: Sequence[Access], first: str, second: str) -> Iterator[tuple[Access, Access]]:
    for one in accesses:
        for other in accesses:
            if (
                one.worker != other.worker
                and (one.operation, other.operation) == (first, second)
                and max(len(one.places), len(other.places)) > 1
                and one.met(other)
            ):
                yield one, other


def _cut_apart(steps: Sequence[Step]) -> tuple[list[Pattern], list[Pattern]]:
    """Return the patterns in which another's access separates two accesses of one worker to one place.

    The other access cannot be before or after both. Lost updates are apart from the others. First come all fields that
    break in the same way, each by the first three accesses that do; then every three alone.
    """
    found: dict[str, list[tuple[int, int, int]]] = {}
    for place, third in enumerate(steps):
        if third.operation not in ("load", "store"):
            continue
        first = next(
            (at for at in range(place - 1, -1, -1) if steps[at].worker == third.worker and _same(steps[at], third)),
            place,
        )
        for second in range(first + 1, place):
            if steps[second].worker != third.worker and _same(steps[second], third):
                kind = "".join(steps[at].operation[0] for at in (first, second, place))
                found.setdefault(kind, []).append((first, second, place))
    ways = (("ssl", _foreign), ("sls", _halfway), ("lsl", _changed))
    return _patterns(steps, found, "lss", _lost), [
        each for kind, tell in ways for each in _patterns(steps, found, kind, tell)
    ]


def _patterns(
    steps: Sequence[Step], found: dict[str, list[tuple[int, int, int]]], kind: str, tell: PatternText
) -> list[Pattern]:
    fields: dict[str, tuple[int, int, int]] = {}
    for three in found.get(kind, ()):
        fields.setdefault(steps[three[2]].field, three)
    together = [_together(steps, tell, list(fields.values())[:TOLD])] if fields else []
    return together + [_together(steps, tell, [three]) for three in found.get(kind, ())]


def _together(steps: Sequence[Step], tell: PatternText, threes: Sequence[tuple[int, int, int]]) -> Pattern:
    """Make one pattern of several fields."""
    reasons, names = [], []
    for three in threes:
        first, second, third = (steps[at] for at in three)
        headline, lines = tell(first, second, third)
        reasons += [f"{third.field}: {line}" if len(threes) > 1 else line for line in lines]
        names.append(third.field)
    first_at, second_at, third_at = threes[0]
    headline, _ = tell(*(steps[at] for at in threes[0]))
    cuts = [cut_between(steps, first_at, third_at)]
    loaded = next((at for at in range(second_at - 1, -1, -1) if _loads_for(steps, at, second_at)), -1)
    if tell is _lost and loaded >= 0:
        cuts.append(cut_between(steps, loaded, second_at))
    return Pattern(f"{headline} {' and '.join(names)}", reasons, tuple(cuts), steps[first_at].worker, first_at)


def _loads_for(steps: Sequence[Step], at: int, store: int) -> bool:
    """Return True for the load from which the worker made what it stores."""
    return (steps[at].worker, steps[at].operation) == (steps[store].worker, "load") and _same(steps[at], steps[store])


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
