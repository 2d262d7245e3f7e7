"""Every interleaving, depth first; and every state, which leads to the same ends in far fewer steps."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .tally import Tally
from .world import World


def every_schedule(world: World, tally: Tally) -> None:
    """Run each interleaving that begins with the world's present path, once; none is left out."""
    base = len(world.path)
    do, back_to, choices_now, longest, path = world.do, world.back_to, world.choices, world.longest, world.path
    waiting: list[tuple[int, Iterator[int]]] = []
    choices = choices_now()
    while True:
        while len(choices) == 1 and len(path) < longest:
            do(choices[0])
            choices = choices_now()
        if choices and len(path) < longest:
            waiting.append((len(path), iter(choices)))
        elif tally.give_up() if choices else tally.add(world):
            break
        while waiting:
            length, others = waiting[-1]
            worker = next(others, -1)
            if worker >= 0:
                break
            waiting.pop()
        else:
            break
        back_to(length)
        do(worker)
        choices = choices_now()
    back_to(base)


class States:
    """The states that were met, and the interleavings that go on from each: how many, and how many of them break.

    A state is the bytes, the lock, and where each worker is in its tree, which tells all that it has met. States are
    numbered exactly; nothing here is a hash that could collide.
    """

    def __init__(self) -> None:
        self._contents: dict[Hashable, int] = {}
        self.ways: dict[int, Ways] = {}

    def key(self, world: World) -> int:
        """The number of the world's state."""
        key = self._contents.setdefault(bytes(world.content), len(self._contents)) << 32 | world.state
        for node in world.at:
            key = key << 32 | node.number
        return key


class Ways(NamedTuple):
    """Interleavings: all of them, and those that break."""

    all: int
    broken: int


@dataclass(slots=True)
class _Open:
    """A state whose choices are being tried."""

    key: int
    waiting: Iterator[int]
    all: int = 0
    broken: int = 0


def every_state(world: World, tally: Tally) -> tuple[int, Ways]:
    """Reach every state that some interleaving reaches, once, and so every end.

    The number of states, and of the interleavings that lead through them; where the tally stopped it, of those that
    were covered.
    """
    states = States()
    choices = world.choices()
    if not choices:
        return 1, _ended(world, tally, cut=False)
    open_ones = [_Open(states.key(world), iter(choices))]
    met = 0
    while True:
        top = open_ones[-1]
        worker = next(top.waiting, -1)
        if worker < 0:
            ways = states.ways[top.key] = Ways(top.all, top.broken)
            open_ones.pop()
            if not open_ones:
                return len(states.ways), ways
            world.undo()
        else:
            world.do(worker)
            key = states.key(world)
            known = states.ways.get(key)
            if known is None and (choices := world.choices()) and len(open_ones) < world.longest:
                open_ones.append(_Open(key, iter(choices)))
                continue
            if known is None:
                known = states.ways[key] = _ended(world, tally, cut=bool(choices))
            ways = known
            world.undo()
            met += 1
            if tally.over or (not met % 1024 and tally.late()):
                world.back_to(0)
                covered = ways.all + sum(each.all for each in open_ones)
                broken = ways.broken + sum(each.broken for each in open_ones)
                return len(states.ways) + len(open_ones), Ways(covered, broken)
        open_ones[-1].all += ways.all
        open_ones[-1].broken += ways.broken


def _ended(world: World, tally: Tally, *, cut: bool) -> Ways:
    """A state from which nobody goes on, or is let go on."""
    if cut:
        tally.give_up()
        return Ways(0, 0)
    before = tally.broken
    tally.add(world)
    return Ways(1, tally.broken - before)
