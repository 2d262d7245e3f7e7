"""Run one interleaving of each class that differs only in the order of independent steps.

The search is source-DPOR with sleep sets (Abdulla, Aronis, Jonsson and Sagonas, POPL 2014): it runs a schedule, looks
for its races, and for each race notes the other order, to be tried where the race began. The end of a schedule does not
depend on the order of independent steps, so one of each class (Mazurkiewicz trace) shows every end. Locks are special:
a lock cannot swap with what happened while it had to wait, so the race is that with the lock before; a lock that still
waits when no worker can go on is in a race too; and a refusal (EDEADLK), which others cause by requesting their lock,
is taken to depend on everything, with every choice tried where one is possible.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .operation import LOCK, Operation
from .tally import Tally
from .world import World

Clock = tuple[int, ...]
"""A number for each worker: how many of its events happened before (Mattern, 1989)."""


class Event(NamedTuple):
    """A step that was taken: `number` counts those of its worker from 1, `clock` includes itself."""

    worker: int
    operation: Operation
    refused: bool
    number: int
    clock: Clock


@dataclass(slots=True)
class Frame:
    """A state on the path, with the workers that can go on, those to be tried, those tried, and those asleep.

    A worker that is asleep need not be tried.
    """

    choices: list[int]
    operations: list[Operation | None]
    refusals: bool
    state: int
    sleep: frozenset[int]
    backtrack: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)


class Dpor:
    """The search. `blocked` counts schedules that were given up because all workers that could go on were asleep."""

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._events: list[Event] = []
        self._frames: list[Frame] = []
        self._clocks: list[Clock] = [tuple([0] * len(world.at))] * len(world.at)
        self._saved: list[Clock] = []
        self.blocked = 0

    def run(self) -> None:
        """Explore until every class has been seen, or the tally ends the search."""
        self._enter(frozenset())
        while self._frames:
            frame = self._frames[-1]
            waiting = frame.backtrack - frame.done - frame.sleep
            if not waiting:
                self._leave()
                continue
            worker = min(waiting)
            asleep = self._asleep(frame, worker)
            frame.done.add(worker)
            self._step(worker, frame.refusals)
            if self._enter(asleep):
                break
        self._world.back_to(0)

    def _asleep(self, frame: Frame, worker: int) -> frozenset[int]:
        """Return the workers that need not be tried after this step.

        They were tried before, and the step makes no difference to them.
        """
        step = frame.operations[worker]
        if frame.refusals or step is None:
            return frozenset()
        return frozenset(
            other
            for other in frame.sleep | frame.done
            if other != worker and (does := frame.operations[other]) and not step.depends_on(does)
        )

    def _enter(self, sleep: frozenset[int]) -> bool:
        """Enter a new state on the path; return True when the search must stop."""
        world = self._world
        choices = world.choices()
        operations = [node.operation for node in world.at]
        refusals = any(world.waits_for(each) is not None for each in choices)
        frame = Frame(choices, operations, refusals, world.state, sleep)
        self._frames.append(frame)
        awake = [each for each in choices if each not in sleep]
        if not choices:
            for worker, operation in enumerate(operations):
                if operation is not None:
                    self._race(worker, operation, refused=False)
            return self._tally.add(world)
        if len(self._frames) > world.longest:
            return self._tally.give_up()
        if not awake:
            self.blocked += 1
            return not self.blocked % 64 and self._tally.late()
        last = world.path[-1] if world.path else -1
        frame.backtrack = set(choices) if refusals else {last if last in awake else awake[0]}
        return False

    def _leave(self) -> None:
        self._frames.pop()
        if self._events:
            event = self._events.pop()
            self._clocks[event.worker] = self._saved.pop()
            self._world.undo()

    def _step(self, worker: int, refusals: bool) -> None:
        """Compare the next step of the worker with those before it for races, then take it."""
        operation = self._world.at[worker].operation
        if operation is None:
            raise AssertionError("only workers with a step left are choices")
        refused = refusals and self._world.waits_for(worker) is not None
        clock = self._race(worker, operation, refused=refused)
        self._saved.append(self._clocks[worker])
        self._clocks[worker] = clock
        self._events.append(Event(worker, operation, refused, clock[worker], clock))
        self._world.do(worker)

    def _race(self, worker: int, operation: Operation, *, refused: bool) -> Clock:
        """Note the other order of each race of this step with an earlier one; return the clock that it would have."""
        known = clock = self._clocks[worker]
        races = []
        for place in range(len(self._events) - 1, -1, -1):
            event = self._events[place]
            if event.worker == worker or not _depend(event, operation, refused):
                continue
            if event.number > clock[event.worker]:
                clock = _join(clock, event.clock)
            if event.number > known[event.worker] and (refused or self._could_swap(place, worker, operation)):
                races.append(place)
                known = _join(known, event.clock)
        clock = tuple(count + (each == worker) for each, count in enumerate(clock))
        for place in races:
            self._reverse(place, Event(worker, operation, refused, clock[worker], clock))
        return clock

    def _could_swap(self, place: int, worker: int, operation: Operation) -> bool:
        """Return False for a lock that had to wait where the earlier event, an unlock or another lock, happened."""
        if operation.kind != LOCK:
            return True
        return self._world.locks.blocker(self._frames[place].state, worker, operation) is None

    def _reverse(self, place: int, second: Event) -> None:
        """Make sure that a worker is tried before the first event of a race whose step leads to the second there."""
        first = self._events[place]
        between = [event for event in self._events[place + 1 :] if event.clock[first.worker] < first.number]
        initials = _initials([*between, second])
        frame = self._frames[place]
        if initials & frame.backtrack:
            return
        possible = [each for each in frame.choices if each in initials]
        if second.worker in possible:
            frame.backtrack.add(second.worker)
        elif possible:
            frame.backtrack.add(possible[0])
        else:
            frame.backtrack.update(frame.choices)


def _depend(event: Event, operation: Operation, refused: bool) -> bool:
    return refused or event.refused or event.operation.depends_on(operation)


def _join(one: Clock, other: Clock) -> Clock:
    return tuple(map(max, one, other))


def _initials(events: list[Event]) -> set[int]:
    """Return the workers whose first event here does not depend on an event before it here."""
    found: set[int] = set()
    passed: set[int] = set()
    for at, event in enumerate(events):
        if event.worker in passed:
            continue
        passed.add(event.worker)
        if not any(event.clock[other.worker] >= other.number for other in events[:at]):
            found.add(event.worker)
    return found
