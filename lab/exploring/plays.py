"""Make scenarios that a person can play: the graph of a small shape, without and with a lock, as tables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from math import inf
from textwrap import dedent

from lab.errors import LabError, UsageError
from lab.host.environment import anonymous_text
from lab.locking.registry import MODELLED, OWN
from lab.records import OPERATIONS, Damage, LeftOut, Play, Plays, ShortestFailure, Step
from lab.scenario import Found, Scenario, find_scenarios

from .operation import LINE, named, shown, value_of
from .reasons import story
from .run import damage_records
from .search import Bounded, Graph, Move, TooManyStatesError, graph_of
from .simplify import Repair, world_of
from .tally import Tally, check_steps
from .trace import trace
from .worker import shape_of
from .world import World

MOST = 520
"""The most states of one play: about 16 steps of two workers, as many as a person wants to choose."""

SHAPES = ((2, 2), (2, 1))
"""Workers and rounds; the first shape is tried first."""

LINES = (LINE, *(LINE << doubled for doubled in range(1, 6)))
"""The number of bytes of one step, the real one first.

Where copies of 4,096 bytes have too many steps of that, longer ones are used.
"""

LOCKS = tuple(name for name in MODELLED if OWN[name].kind.has_ranges)
"""The locks to play with: the first under which schedules come to an end.

Rings of refused requests (EDEADLK) may have no end.
"""

FOLDERS = re.compile(r"(?<=\()~?/[^\n()]*/(?=[^/\n()]+:\d+\))|(?<![\w./~])~?/(?:[^\s/()'\"]+/)+")
"""The folder of the place where a scenario raised, and of any other absolute path.

A page is given to other people and must not show them.
"""

Played = tuple[World, Graph]


def simulated_scenarios() -> list[Found]:
    """Return the built-in scenarios that run in the explorer: the default set, then counterexamples and their fixes."""
    return [found for found in find_scenarios([], counterexamples=True) if "explore" in found.kind.worlds]


def plays(scenarios: Sequence[Found]) -> Plays:
    """Return each scenario without a lock and with one; what cannot be played is left out, with the reason."""
    made: list[Play] = []
    left_out: list[LeftOut] = []
    for found in scenarios:
        try:
            found.check_world("explore", hint=": it is about processes or files, which are not simulated")
            made += [_play(*each) for each in _small(found)]
        except LabError as error:
            left_out.append(LeftOut(found.name, _without_folders(str(error))))
    return Plays(made, left_out)


def _small(found: Found) -> tuple[Played, Played]:
    """Return the same shape without and with a lock.

    It is the first that is small enough and breaks without, else the first.
    """
    fitting = list(_until_broken(found))
    if not fitting:
        raise UsageError(f"scenario {found.name}: every shape has more than {MOST:,} states, too many to be played")
    return fitting[-1] if fitting[-1][0][1].ways[0].broken else fitting[0]


def _until_broken(found: Found) -> Iterator[tuple[Played, Played]]:
    for line, (workers, rounds) in product(LINES, SHAPES):
        try:
            bare = _graph(found, "none", workers, rounds, line)
            yield bare, _locked(found, workers, rounds, line)
        except TooManyStatesError:
            continue
        if bare[1].ways[0].broken:
            return


def _locked(found: Found, workers: int, rounds: int, line: int) -> Played:
    """Return the play under the first of the locks that ends."""
    for lock in LOCKS[:-1]:
        try:
            return _graph(found, lock, workers, rounds, line)
        except TooManyStatesError:
            continue
    return _graph(found, LOCKS[-1], workers, rounds, line)


def _graph(found: Found, lock: str, workers: int, rounds: int, line: int) -> Played:
    world = world_of(shape_of(found, lock, workers, rounds, line))
    check_steps(world)
    return world, graph_of(world, MOST)


def _play(world: World, graph: Graph) -> Play:
    shape = world.shape
    tables = _Tables(world, graph)
    return Play(
        scenario=shape.found.name,
        summary=shape.found.summary,
        why=shape.found.kind.why,
        source=source(shape.found.kind),
        lock=shape.lock,
        workers=shape.workers,
        rounds=shape.rounds,
        line_bytes=shape.line,
        texts=list(tables.texts),
        cells=tables.cells,
        steps=[list(each) for each in tables.steps],
        endings=tables.endings,
        states=tables.states,
        shortest=_shortest(world) if graph.ways[0].broken else None,
    )


class _Tables:
    """A graph in the form of the tables of a `Play`."""

    def __init__(self, world: World, graph: Graph) -> None:
        self._memory = world.shape.memory
        self.texts: dict[str, int] = {}
        self.steps: dict[tuple[int, ...], int] = {}
        self._ends: dict[str, int] = {}
        self.endings: list[list[Damage]] = []
        self._cells = cells(graph)
        self.cells = [[self._text(self._name(*each)), self._value(world.initial, *each)] for each in self._cells]
        self.states = [self._state(graph, number) for number in range(len(graph.states))]

    def _text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def _name(self, start: int, end: int) -> str:
        return named(self._memory, start, end).name

    def _value(self, content: bytes, start: int, end: int) -> int:
        """Return the text of the bytes of a cell; the content begins with the file."""
        return self._text(shown(value_of(named(self._memory, start, end).kind, content[start:end])))

    def _state(self, graph: Graph, number: int) -> list[int]:
        state = graph.states[number]
        row = [*graph.ways[number], -1 if state.end is None else self._ending(damage_records(state.end))]
        for move in state.moves:
            row += [-1, -1] if move is None else [self._step(move), _target(move)]
        return row

    def _ending(self, damage: list[Damage]) -> int:
        key = repr(damage)
        if key not in self._ends:
            self._ends[key] = len(self.endings)
            self.endings.append([_damage_without_folders(each) for each in damage])
        return self._ends[key]

    def _step(self, move: Move) -> int:
        step = move.step
        value = -1 if step.value is None else self._text(_value_text(step))
        row = (step.worker, step.round, OPERATIONS.index(step.operation), self._text(step.field), value)
        return self.steps.setdefault((*row, *self._changes(move)), len(self.steps))

    def _changes(self, move: Move) -> list[int]:
        """Return the first cell that is stored into, and the texts of it and of those after it then."""
        if not move.stored:
            return []
        start = move.step.start
        image = bytes(start) + move.stored
        numbers = [n for n, (low, high) in enumerate(self._cells) if start <= low and high <= len(image)]
        return [numbers[0], *(self._value(image, *self._cells[n]) for n in numbers)]


def _damage_without_folders(damage: Damage) -> Damage:
    return Damage(damage.kind, damage.count, damage.of, [_without_folders(text) for text in damage.evidence])


def _without_folders(text: str) -> str:
    """Return the text without folders: first the home directory, which may have spaces in it, then all others."""
    return FOLDERS.sub("", anonymous_text(text))


def _value_text(step: Step) -> str:
    return shown(step.value) if step.operation in ("load", "store") else f"{step.value}"


def _target(move: Move) -> int:
    if move.to is not None:
        return move.to
    return -2 - (move.blocker or 0)


def cells(graph: Graph) -> list[tuple[int, int]]:
    """Return the touched bytes, cut wherever a step begins or ends.

    So each step loads or stores some of them, whole.
    """
    moves = [move for state in graph.states for move in state.moves if move and move.step.operation in OPERATIONS[:2]]
    touched = sorted({(move.step.start, move.step.start + move.step.length) for move in moves})
    cuts = sorted({cut for each in touched for cut in each})
    return [(low, high) for low, high in pairwise(cuts) if any(start <= low and high <= end for start, end in touched)]


def _shortest(world: World) -> ShortestFailure:
    """Return the first schedule that breaks with the fewest preemptions, as the explorer reports it."""
    tally = Tally(deadline=inf, first_only=True)
    Bounded(world, tally).run(world.longest)
    world.back_to(0)
    if tally.found is None:
        raise AssertionError("what breaks in the graph breaks in a schedule")
    steps, end = trace(world, tally.found.schedule)
    fixes = Repair(world, tally.found.schedule).fixes
    lock, by_invariant = world.shape.lock, end.by_invariant
    headline, reasons, _ = story(steps, damage_records(end), lock, fixes=fixes, by_invariant=by_invariant)
    return ShortestFailure(list(tally.found.schedule), headline, list(reasons))


def source(kind: type[Scenario]) -> str:
    """Return what the workers run, as its author wrote it: `start`, `work`, and the methods that they call."""
    names = [name for name in ("start", "work") if getattr(kind, name) is not getattr(Scenario, name)]
    for name in names:
        called = getattr(getattr(kind, name), "__code__", None)
        names += [each for each in (called.co_names if called else ()) if _is_own(kind, each) and each not in names]
    try:
        return "\n".join(dedent(inspect.getsource(getattr(kind, name))) for name in names)
    except (OSError, TypeError):  # the file is gone, or it is no Python
        return ""


def _is_own(kind: type[Scenario], name: str) -> bool:
    return inspect.isfunction(getattr(kind, name, None)) and not hasattr(Scenario, name)
