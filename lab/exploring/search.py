"""Run schedules in order: by their number of preemptions, depth first, or state by state.

A preemption takes the turn from a worker that could go on (Musuvathi and Qadeer, PLDI 2007, "iterative context
bounding"). Leaving one that waits for a lock, has finished, or was refused with EDEADLK costs nothing: the refused one
has to let the others by, or would be refused again for ever.

A state is the bytes, the lock, and where each worker is in its tree. No way comes back to a state, except where workers
try again. Workers that run the same text with the same input are interchangeable (Ip and Dill, "Better verification
through symmetry", 1996): what follows a state follows each one in which they have swapped their places too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple

from lab.records import Step

from .sandbox import NotDeterministic
from .tally import Found, Tally
from .trace import step_now, wait_now
from .walk import Walk, can_walk
from .world import End, NotInterchangeableError, World


class Bounded:
    """The search by rising bound: `level` is the bound that it has come to.

    `bound` is the largest that was covered in full, with `covered` schedules up to it; -1 before the first.
    `complete` says that no schedule has more preemptions than that: all have been run.
    """

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self.level = -1
        self.bound = -1
        self.covered = 0
        self.complete = False

    def run(self, most: int) -> None:
        """Raise the level until `most` is searched, nothing is left, or the tally ends the search."""
        while self.level < most and not self.complete:
            self.level += 1
            left_out = self._level(self.level)
            if left_out is None:
                return
            if not self._tally.too_long:
                self.bound, self.covered = self.level, self._tally.schedules
                self.complete = not left_out

    def _level(self, bound: int) -> bool | None:
        """Run the schedules with just so many preemptions; return True when others have more, None when it has to stop.

        The search also comes through the schedules with fewer, which the levels before have counted.
        """
        world, tally = self._world, self._tally
        do, undo, longest = world.do, world.undo, world.longest
        if not world.choices():
            return None if not bound and tally.add(world) else False
        left_out = False
        budgets = [bound]
        waiting = [self._options(-1)]
        while waiting:
            option = next(waiting[-1], None)
            if option is None:
                waiting.pop()
                budgets.pop()
                if waiting:
                    undo()
                continue
            worker, price = option
            budget = budgets[-1] - price
            if budget < 0:
                left_out = True
                continue
            do(worker)
            options = self._options(worker)
            first = next(options, None)
            if first and len(waiting) < longest:
                waiting.append(_with(first, options))
                budgets.append(budget)
                continue
            if tally.give_up() if first else not budget and tally.add(world):
                world.back_to(0)
                return None
            undo()
        return left_out

    def _options(self, last: int) -> Iterator[tuple[int, int]]:
        """Return the workers that could go next and what that costs, the one to be tried first before the others."""
        choices = self._world.choices()
        if last not in choices:
            count = len(self._world.at)
            return iter([(each, 0) for each in sorted(choices, key=lambda each: (each - last - 1) % count)])
        others = [each for each in choices if each != last]
        if others and self._world.steps_aside(last):
            return iter([*((each, 0) for each in others), (last, 0)])
        return iter([(last, 0), *((each, 1) for each in others)])


def _with(first: tuple[int, int], rest: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    yield first
    yield from rest


def preemptions(world: World, schedule: bytes) -> int:
    """Return how often the schedule takes the turn from a worker that could go on."""
    count, last = 0, -1
    for worker in schedule:
        if worker != last and last >= 0:
            count += world.could_go_on(last)
        world.do(worker)
        last = worker
    world.back_to(0)
    return count


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

    A state is the bytes, the lock, and where each worker is in its tree, which shows all that it knows. States are
    numbered exactly; nothing here is a hash that could collide.
    """

    def __init__(self) -> None:
        self._contents: dict[Hashable, int] = {}
        self._parts: dict[tuple[int, int, int], int] = {}
        self.ways: dict[int, Ways] = {}

    def key(self, world: World) -> int:
        """Return the number of the world's state; where workers are alike, it counts how many are where, not which."""
        if world.alike:
            key = self._contents.setdefault(bytes(world.content), len(self._contents))
            for _, part in sorted((first, self._part(world, i)) for i, first in enumerate(world.alike)):
                key = key << 32 | part
            return key
        key = self._contents.setdefault(world.whole(), len(self._contents)) << 32 | world.state
        for node in world.at:
            key = key << 32 | node.number
        return key

    def _part(self, world: World, worker: int) -> int:
        """Return the number of a worker's node, of what it has of the lock, and of its news."""
        news = 1 + (world.news >> worker & 1) if world.spins else 0
        part = world.at[worker].number, world.locks.part(world.state, worker), news
        return self._parts.setdefault(part, len(self._parts))


class Ways(NamedTuple):
    """The number of interleavings: all of them, and those that break."""

    all: int
    broken: int


@dataclass(slots=True)
class _Open:
    """A state whose choices are being tried."""

    key: int
    waiting: Iterator[int]
    all: int = 0
    broken: int = 0


def every_state(
    world: World, tally: Tally, *, native: bool = True, symmetric: bool = True, jobs: int = 1
) -> tuple[int, Ways | None]:
    """Reach every state that some interleaving reaches, once, and so every end; in C where it can, unless not `native`.

    Return the number of states, and of the interleavings that lead through them; where the tally stopped it, of those
    that were covered. None where a state leads back to itself, by workers that try again: they have no number.
    States in which interchangeable workers have swapped their places are one, unless not `symmetric`: as many
    interleavings go on from each, and as many of them break. Where a worker turns out not to be interchangeable, the
    search begins anew. So many `jobs` are threads of the search in C; there is one where workers try again.
    """
    alike = world.interchangeable() if symmetric else b""
    if not alike:
        return _every_state(world, tally, native=native, jobs=jobs)
    before = tally.copy()
    try:
        with world.sharing(alike):
            found = _every_state(world, tally, native=native, jobs=jobs)
    except NotInterchangeableError:
        tally.go_back_to(before)
        return _every_state(world, tally, native=native, jobs=jobs)
    if tally.found:
        tally.found = _by_their_own(world, tally.found)
    return found


def _by_their_own(world: World, found: Found) -> Found:
    """Return what was found with the end in the workers' own trees, which says of each what it did itself.

    Raises NotDeterministic where they end otherwise there.
    """
    done = world.try_to_follow(found.schedule)
    end = world.end() if done == len(found.schedule) else End(())
    world.back_to(0)
    if end.kinds != found.end.kinds:
        raise NotDeterministic(
            f"scenario {world.shape.found.name} is not deterministic: workers that have read neither w.index nor "
            "w.random differ; let only w.memory, w.index, w.round and w.random decide"
        )
    return replace(found, end=end)


FIRST_S = 0.05
"""The time of a search in depth before one in layers, in which no schedule ends before the last ones."""


def _every_state(world: World, tally: Tally, *, native: bool, jobs: int) -> tuple[int, Ways | None]:
    in_c = native and can_walk(world)
    before = tally.copy()
    if not in_c or jobs == 1:
        found = Walk(world, tally).run() if in_c else _in_python(world, tally)
    else:
        first = replace(before, deadline=min(tally.deadline, monotonic() + FIRST_S), first_only=True, report=None)
        found = Walk(world, first).run()
        if not (first.found and tally.first_only):
            found = Walk(world, tally).run(jobs)
        if first.found and not tally.found:
            tally.join(first)
    if found is None:
        tally.go_back_to(before)
        return _every_state(world, tally, native=native, jobs=1)
    count, ways = found
    return count, Ways(*ways) if ways else None


def _in_python(world: World, tally: Tally) -> tuple[int, tuple[int, int] | None] | None:
    """Do as `Walk.run`."""
    spins = world.spins
    states = States()
    choices = world.choices()
    if not choices:
        return 1, _ended(world, tally, cut=False)
    open_ones = [_Open(states.key(world), iter(choices))]
    on_the_way = {open_ones[0].key}
    circles = False
    met = 0
    while True:
        top = open_ones[-1]
        worker = next(top.waiting, -1)
        if worker < 0:
            ways = states.ways[top.key] = Ways(top.all, top.broken)
            open_ones.pop()
            on_the_way.discard(top.key)
            if not open_ones:
                return len(states.ways), None if circles else ways
            world.undo()
        else:
            world.do(worker)
            if world.spins != spins:  # the states before lack the news: begin anew
                world.back_to(0)
                return None
            key = states.key(world)
            known = states.ways.get(key)
            if key in on_the_way:
                known, circles = Ways(0, 0), True
            if known is None and (choices := world.choices()) and len(open_ones) < world.longest:
                open_ones.append(_Open(key, iter(choices)))
                on_the_way.add(key)
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
                return len(states.ways) + len(open_ones), None if circles else Ways(covered, broken)
        open_ones[-1].all += ways.all
        open_ones[-1].broken += ways.broken


def _ended(world: World, tally: Tally, *, cut: bool) -> Ways:
    """Record a state from which no worker goes on, or may go on; return its ways."""
    if cut:
        tally.give_up()
        return Ways(0, 0)
    before = tally.broken
    tally.add(world)
    return Ways(1, tally.broken - before)


class Move(NamedTuple):
    """The next step of a worker: `to` is the state that this leads to, None where it waits for the `blocker`.

    `stored` are the bytes that its step puts where its `start` is; empty where it stores nothing.
    """

    step: Step
    to: int | None
    blocker: int | None = None
    stored: bytes = b""


@dataclass(frozen=True, slots=True)
class State:
    """The next step of each worker (None once it has finished), and how it ended where none can go on."""

    moves: Sequence[Move | None]
    end: End | None


@dataclass(frozen=True, slots=True)
class Graph:
    """States in the order of their steps, from the beginning on; `ways` are the schedules from each to an end."""

    states: Sequence[State]
    ways: Sequence[Ways]

    def after(self, schedule: bytes) -> int:
        """Return the state that a schedule leads to."""
        at = 0
        for worker in schedule:
            move = self.states[at].moves[worker]
            if move is None or move.to is None:
                raise ValueError(f"worker {worker} cannot go on there")
            at = move.to
        return at


class TooManyStatesError(Exception):
    """The graph has more states than wanted, or schedules without an end."""


def graph_of(world: World, most: int) -> Graph:
    """Return all states; the world is at its beginning before and after. Raises TooManyStatesError beyond `most`."""
    numbers: dict[int, int] = {}
    paths: list[bytes] = []
    keys = States()

    def number() -> int:
        """Return the number of the world's present state; a new state is left for later, with a way to it."""
        key = keys.key(world)
        if key not in numbers:
            numbers[key] = len(paths)
            paths.append(bytes(world.path))
        return numbers[key]

    number()
    states = []
    for path in paths:
        world.follow(path)
        states.append(_state(world, number))
        world.back_to(0)
        if len(paths) > most:
            raise TooManyStatesError(f"more than {most:,} states")
    return Graph(states, _ways(states))


def _state(world: World, number: Callable[[], int]) -> State:
    choices = world.choices()
    moves = [
        _go(world, worker, number) if worker in choices else _stay(world, worker) for worker in range(len(world.at))
    ]
    return State(moves, None if choices else world.end())


def _go(world: World, worker: int, number: Callable[[], int]) -> Move:
    node = world.at[worker]
    step = step_now(world, worker)
    to = number()
    world.undo()
    return Move(step, to, None, node.data if step.operation == "store" else b"")


def _stay(world: World, worker: int) -> Move | None:
    return (
        None
        if world.at[worker].ended or world.broken()
        else Move(wait_now(world, worker), None, world.waits_for(worker))
    )


def _ways(states: Sequence[State]) -> list[Ways]:
    """Count the ways from each state to an end. Raises TooManyStatesError where a state leads back to itself."""
    ways: dict[int, Ways] = {}
    waiting, begun = [0], set()
    while waiting:
        number = waiting[-1]
        if number in ways:
            waiting.pop()
            continue
        end = states[number].end
        following = [move.to for move in states[number].moves if move and move.to is not None and not end]
        unknown = [to for to in following if to not in ways]
        if unknown:
            if number in begun:
                raise TooManyStatesError("a state leads back to itself")
            begun.add(number)
            waiting += unknown
            continue
        waiting.pop()
        found = [ways[to] for to in following]
        ways[number] = (
            Ways(1, int(bool(end.damage)))
            if end
            else Ways(sum(each.all for each in found), sum(each.broken for each in found))
        )
    return [ways[number] for number in range(len(states))]
