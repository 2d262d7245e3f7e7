"""Let one more worker come after a crash: each way in which it may go on, and what it leaves where it crashes as well.

It begins with a file of which some units may have one of several contents. Such a unit is open for as long as all that
the worker loads of it is the same whichever it has: so what nobody reads need not be decided, and a file with many open
units is recovered in few ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lab.exploring.behaviour import Behaviour, met_alone
from lab.exploring.case import Kind
from lab.exploring.node import Node
from lab.exploring.operation import change_of
from lab.exploring.world import World
from lab.model.directory import Load
from lab.model.disk import NO_VERSIONS, Disk, Versions

from .judge import Found, Image

AGAIN = 1
"""The rounds that the worker has which comes after a crash: what recovery left must also be fit for work."""

LONGEST = 3000
"""The number of steps after which it is said not to end."""


class Dead(Node):
    """A worker that was killed: it has no step left, and its number says how many rounds it had finished and begun."""

    __slots__ = ("begun", "finished")

    def __init__(self, finished: int, begun: int) -> None:
        super().__init__(None, None, 1 << 31 | finished << 15 | begun)
        self.ended = True
        self.finished, self.begun = finished, begun


def rounds_of(node: Node, rounds: int) -> tuple[int, int]:
    """Return how many rounds the worker has finished, and how many it has begun."""
    if isinstance(node, Dead):
        return node.finished, node.begun
    if node.ended:
        return (node.round, node.round + 1) if node.failed else (rounds, rounds)
    if node.round < 0:
        return 0, 0
    return node.round, node.round + (node.parent is not None and node.parent.round == node.round)


class Choice(NamedTuple):
    """What an open unit is now if it was one of its contents, and what of that may be on the disk."""

    present: bytes
    disk: frozenset[bytes]


Open = dict[int, dict[bytes, Choice]]
"""The open units: what each may have been, and what would have become of it."""


class Crash(NamedTuple):
    """A moment at which the worker may crash: after so many steps, with this left.

    `works` is True once it has begun its round; of that so many are `finished` and `begun`.
    """

    steps: int
    left: Image
    open: Open
    finished: int
    begun: int
    works: bool


@dataclass(frozen=True, slots=True)
class Life:
    """One way in which it may go: what it found in the units that it had to read, those still open, and its end."""

    found: Found
    open: Open
    end: Image
    steps: int
    seen: tuple[tuple[str, str], ...]
    failed: Exception | SystemExit | None
    endless: bool
    crashes: tuple[Crash, ...]


def new_on_the_disk(disk: Disk, content: bytes, before: Versions, after: Versions, now: Versions) -> Image | None:
    """Return what may be left after a step and could not be before it; None where there is nothing new.

    One unit that has changed is on the disk as it is `now`; a unit that is not named there is as in `content`.
    """
    changed = [number for number, each in after.items() if before.get(number) != each]
    if not changed or not set(before) <= set(after):
        return None
    if len(changed) == 1:
        rest = {number: each for number, each in after.items() if number not in changed}
        after = rest | {number: now[number] for number in changed if number in now}
    return Image.of(disk, content, after)


@dataclass(slots=True)
class _Walk:
    """The worker on its way. Of an open unit the content is whatever was laid out for its last load."""

    content: bytearray
    open: Open
    versions: Versions
    node: Node
    found: Found = ()
    crashes: tuple[Crash, ...] = ()
    steps: int = 0

    def presents(self) -> dict[int, frozenset[bytes]]:
        """Return what each open unit may be now."""
        return {number: frozenset(each.present for each in choices.values()) for number, choices in self.open.items()}

    def on_the_disk(self) -> dict[int, frozenset[bytes]]:
        """Return what each unit may be on the disk, where that is not what it is for sure."""
        disks = {n: frozenset().union(*(each.disk for each in choices.values())) for n, choices in self.open.items()}
        return {**self.versions, **disks}

    def with_choices(self, disk: Disk, number: int, choices: dict[bytes, Choice]) -> _Walk:
        """Return another walk with fewer choices for this unit, which is closed where one is left."""
        content, versions = bytearray(self.content), self.versions
        still_open, found = {**self.open, number: choices}, self.found
        if len(choices) == 1:
            ((origin, (present, on_disk)),) = choices.items()
            content[:] = disk.put(content, number, present)
            versions = {**versions, number: on_disk} if on_disk != {present} else versions
            del still_open[number]
            found = (*found, (number, origin))
        return _Walk(content, still_open, versions, self.node, found, self.crashes, self.steps)


class _Branches(BaseException):
    """What the worker loads may be one or another: the walks to go on with."""

    def __init__(self, walks: list[_Walk]) -> None:
        super().__init__(walks)
        self.walks = walks


class Recoveries:
    """All that may come of an image; each is worked out once."""

    def __init__(self, world: World, disk: Disk, kind: Kind, again: int) -> None:
        self._disk = disk
        self._kind = kind
        self._world = world
        self._behaviours: dict[int, Behaviour] = {}
        self._most = again
        self._known: dict[tuple[Image, int], list[Life]] = {}

    def behaviour(self, again: int) -> Behaviour:
        """Return the tree of the worker that recovers and then has so many rounds."""
        shape = self._world.shape
        if again not in self._behaviours:
            self._behaviours[again] = Behaviour(shape, shape.workers, self._world.initial, again=again)
        return self._behaviours[again]

    def lives(self, image: Image, again: int) -> list[Life]:
        """Return each way in which a recovery from this image may go, with so many rounds of work after it."""
        key = image, again
        if key not in self._known:
            self._known[key] = list(self._walked(image, again))
        return self._known[key]

    def _walked(self, image: Image, again: int) -> Iterator[Life]:
        still_open = {number: {each: Choice(each, frozenset((each,))) for each in sorted(contents)}
                      for number, contents in image.open}  # fmt: skip
        waiting = [_Walk(bytearray(image.content), still_open, NO_VERSIONS, self.behaviour(self._most).root)]
        while waiting:
            walk = waiting.pop()
            branches = self._go(walk, again)
            waiting += branches
            if not branches:
                end, node = Image.of(self._disk, bytes(walk.content), walk.presents()), walk.node
                endless = not self._has_ended(node, again)
                yield Life(walk.found, walk.open, end, walk.steps, node.seen, node.failed, endless, walk.crashes)

    def _go(self, walk: _Walk, again: int) -> list[_Walk]:
        """Go on to the end, or up to a load of bytes that may be one or another: return a walk for each of these."""
        behaviour = self.behaviour(self._most)
        while walk.steps < LONGEST and not self._has_ended(walk.node, again):
            node, operation = walk.node, walk.node.operation
            assert operation is not None  # noqa: S101 - it has not ended
            try:
                met = met_alone(operation, self._loads(walk))
                walk.node = node.next.get(met) or behaviour.learn(node, met)
                stores, syncs = change_of(operation, node.data, self._loads(walk))
            except _Branches as several:
                return several.walks
            walk.steps += 1
            before = walk.on_the_disk() if stores else NO_VERSIONS
            for start, data in stores:
                self._store(walk, start, data)
            for start, end in syncs:
                self._sync(walk, start, end)
            after = walk.node
            moved = after.ended or after.round != node.round
            more = moved and rounds_of(after, again)[0] > rounds_of(node, again)[0]
            if stores or more:
                walk.crashes += self._crashes_of(walk, again, None if more else before)
        return []

    @staticmethod
    def _has_ended(node: Node, again: int) -> bool:
        """Return whether the worker has ended, or, where it is to recover only, has come to its first round.

        So it need not recover a second time where its round is not wanted.
        """
        return node.operation is None or (not again and node.round >= 0)

    def _loads(self, walk: _Walk) -> Load:
        """Return what loads bytes for the walk; it raises _Branches where they may be one or another."""

        def load(start: int, end: int) -> bytes:
            if walk.open:
                self._lay_out(walk, start, end)
            return bytes(walk.content[start:end])

        return load

    def _lay_out(self, walk: _Walk, start: int, end: int) -> None:
        """Lay out the bytes of a load where all choices agree on them; else raise _Branches."""
        for number in self._touched(walk.open, start, end):
            first, place = self._place(number, start, end)
            kinds: dict[bytes, dict[bytes, Choice]] = {}
            for origin, choice in walk.open[number].items():
                kinds.setdefault(choice.present[place], {})[origin] = choice
            if len(kinds) > 1:
                raise _Branches([walk.with_choices(self._disk, number, choices) for choices in kinds.values()])
            (met,) = kinds
            walk.content[first : first + len(met)] = met

    def _store(self, walk: _Walk, begin: int, data: bytes) -> None:
        end = begin + len(data)
        if self._kind == "kill":  # what is stored stays: the disk does not matter
            walk.content[begin:end] = data
            return
        old = bytes(walk.content)
        walk.content[begin:end] = data
        touched = self._touched(walk.open, begin, end)
        for number in touched:
            start, place = self._place(number, begin, end)
            part = data[start - begin :][: place.stop - place.start]
            walk.open[number] = {
                origin: Choice(new := present[: place.start] + part + present[place.stop :], on_disk | {new})
                for origin, (present, on_disk) in walk.open[number].items()
            }
        versions = self._disk.stored(walk.versions, old, walk.content, begin, end)
        walk.versions = {number: each for number, each in versions.items() if number not in touched}

    def _sync(self, walk: _Walk, start: int, end: int) -> None:
        walk.versions = self._disk.synced(walk.versions, start, end)
        kept = self._disk.synced({number: frozenset() for number in walk.open}, start, end)
        for number in walk.open.keys() - kept.keys():
            walk.open[number] = {
                origin: Choice(each.present, frozenset((each.present,))) for origin, each in walk.open[number].items()
            }

    def _touched(self, units: Mapping[int, object], start: int, end: int) -> list[int]:
        return [each for each in self._disk.units(start, end) if each in units] if units else []

    def _place(self, number: int, start: int, end: int) -> tuple[int, slice]:
        """Return the first of these bytes that is in this unit, and their place within the unit."""
        place = self._disk.place(number)
        start, end = max(start, place.start), min(end, place.stop)
        return start, slice(start - place.start, end - place.start)

    def _crashes_of(self, walk: _Walk, again: int, before: Versions | None) -> tuple[Crash, ...]:
        """Return what a crash leaves at this moment, without what it left `before`; one at most."""
        content, left = self._disk.failed(bytes(walk.content)), None
        if self._kind == "kill":
            left = Image(content)
        elif before is None:
            left = Image.of(self._disk, content, walk.on_the_disk())
        else:
            left = new_on_the_disk(self._disk, content, before, walk.on_the_disk(), walk.presents())
        finished, begun = rounds_of(walk.node, again)
        works = again > 0 and (begun > 0 or walk.node.ended)
        return (Crash(walk.steps, left, {**walk.open}, finished, begun, works),) if left else ()
