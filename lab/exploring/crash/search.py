"""Crash a scenario at every point of every interleaving, recover from each file that is left, and check that.

Where a worker is killed it vanishes between two of its steps: its locks are free, its stores stay, nobody is told, and
the others go on. Where the power fails all vanish, and each unit of the file is as it was at some moment since it was
last synced (`lab.model.disk`). Then one more worker comes, with `recover` and a round of work, and may crash as well.

States are searched by their number of steps, first those with few crashes: so the first failure is the shortest. A
state is the bytes, the lock, the place of each worker in its tree, and what the disk may have.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.exploring.case import Kind
from lab.exploring.node import Node
from lab.exploring.operation import LOAD, LOCK, UNLOCK, Operation, change_of
from lab.exploring.worker import Shape
from lab.exploring.world import World
from lab.model.disk import NO_VERSIONS, PAGE, Disk, Versions, how_many
from lab.scenario import Damage
from lab.scenario.base import Endless, exception_text

from .judge import Found, Image, Judge, Rounds
from .recovery import AGAIN, Crash, Dead, Life, Recoveries, new_on_the_disk, rounds_of

AHEAD = 64
"""So many steps of a worker are learnt at once."""


class State:
    """A state of the workers, and how it came about: `worker` did a step, or was `killed`, in the state before."""

    __slots__ = ("at", "before", "content", "killed", "locks", "versions", "worker")

    def __init__(
        self,
        at: tuple[Node, ...],
        content: bytes,
        locks: int,
        versions: Versions,
        before: State | None = None,
        worker: int = -1,
        *,
        killed: bool = False,
    ) -> None:
        self.at, self.content, self.locks, self.versions = at, content, locks, versions
        self.before, self.worker, self.killed = before, worker, killed

    def path(self) -> list[State]:
        """Return the states on the way to this one, the first of all left out."""
        found: list[State] = []
        state = self
        while state.before is not None:
            found.append(state)
            state = state.before
        return found[::-1]


class Recovery(NamedTuple):
    """A recovery to be made: of this image, after so many crashes, with these rounds of all workers to be found.

    It goes back to the crash of the recovery before it, or to the state in which the workers crashed. `again` are the
    rounds of the one that recovers.
    """

    image: Image
    rounds: Rounds
    again: int
    crashes: int
    state: State
    before: Recovery | None = None
    life: Life | None = None
    crash: Crash | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What was found broken after a recovery, or, where there is none, when all workers had ended without a crash.

    `found` are the contents of the units that the check read, beyond those that recovery had touched.
    """

    damage: Sequence[Damage]
    state: State
    recovery: Recovery | None = None
    life: Life | None = None
    found: Found = ()

    @property
    def crashes(self) -> int:
        """Return how many crashes it took."""
        return self.recovery.crashes if self.recovery else 0


@dataclass(slots=True)
class Counts:
    """The figures of a search: states of the workers, crash points, files that these may leave, and recoveries."""

    states: int = 0
    points: int = 0
    images: int = 0
    recoveries: int = 0
    complete: bool = False


@dataclass
class Search:
    """The search for a crash that breaks the scenario, until `deadline` (time.monotonic).

    At most `crashes` crash, one after the other; who comes afterwards has so many rounds `again`. With `relaxed`
    finished rounds may be missing. A sync takes whole pages, of so many bytes.
    """

    world: World
    kind: Kind
    unit: int
    crashes: int
    deadline: float
    again: int = AGAIN
    relaxed: bool = False
    page: int = PAGE
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        shape, world = self.world.shape, self.world
        world.in_between = False
        self.disk = disk_of(shape, self.unit, self.page)
        self.judge = Judge(shape, self.disk)
        self._contents: dict[bytes, bytes] = {world.initial: world.initial}
        self._effects: dict[object, tuple[bytes, Versions]] = {}
        self._versions: dict[object, Versions] = {frozenset(): NO_VERSIONS}
        self._dead: dict[tuple[int, int], Dead] = {}
        self.recoveries = Recoveries(world, self.disk, self.kind, self.again)
        self._late = False

    def try_check(self) -> None:
        """Let the check judge the end of workers that run one after the other, without a crash.

        Raises ScenarioError where the check is at fault.
        """
        world = self.world
        while choices := world.choices() if len(world.path) < world.longest else []:
            world.do(choices[0])
        state = State(tuple(world.at), bytes(world.content), world.state, NO_VERSIONS)
        if all(node.ended and not node.failed for node in state.at):
            self.judge.try_check(Image(state.content), self.rounds(state))
        world.back_to(0)

    def run(self) -> Failure | None:
        """Return the shortest failure that was found, None where there is none; `counts.complete` says if all was seen.

        Raises as the scenario's methods do outside a worker.
        """
        first = State(tuple(each.root for each in self.world.behaviours), self.world.initial, 0, NO_VERSIONS)
        states = [first]
        recoveries: list[Recovery] = []
        if self.kind == "power":
            recoveries.append(Recovery(Image(first.content), self.rounds(first), self.again, 1, first))
        known: set[object] = set()
        done: set[object] = set()
        for crashes in range(self.crashes + 1):
            following: list[Recovery] = []
            killed: list[State] = []
            for found in self._states(states, known, crashes, killed, recoveries):
                return found
            for recovery in recoveries:
                key = recovery.image, recovery.rounds, recovery.again
                if key in done:
                    continue
                done.add(key)
                self.counts.images += how_many(dict(recovery.image.open))
                if failure := self.recovered(recovery, following):
                    return failure
                if self._is_late():
                    return None
            states, recoveries = killed, following
        self.counts.complete = not self._late
        return None

    def _states(
        self, seeds: Sequence[State], known: set[object], crashes: int, killed: list[State], recoveries: list[Recovery]
    ) -> Iterator[Failure]:
        """Search the states after so many kills; yield a failure without a crash, and add what is left otherwise."""
        level = list(seeds)
        while level:
            following: list[State] = []
            for state in level:
                key = state.content, state.locks, state.at, id(state.versions)
                if key in known:
                    continue
                known.add(key)
                self.counts.states += 1
                self.counts.points += self.kind == "power"
                if self._is_late():
                    return
                yield from self._state(state, crashes, following, killed, recoveries)
            level = following

    def _state(
        self, state: State, crashes: int, following: list[State], killed: list[State], recoveries: list[Recovery]
    ) -> Iterator[Failure]:
        world = self.world
        world.set_state(state.at, state.content if world.has_invariant else None, state.locks)
        choices = world.choices()
        if not choices:
            failure = self._ended(state, crashes)
            if failure:
                yield failure
                return
            if self.kind == "kill":
                recoveries.append(Recovery(Image(state.content), self.rounds(state), self.again, crashes, state))
        for worker in choices:
            following.append(self.after(state, worker))
            if self.kind == "power":
                self._crash(state, following[-1], recoveries)
        if self.kind == "kill" and crashes < self.crashes:
            for worker, node in enumerate(state.at):
                if node.operation is not None and node.parent is not None:
                    self.counts.points += 1
                    rounds = rounds_of(node, world.shape.rounds)
                    dead = self._dead.setdefault(rounds, Dead(*rounds))
                    at = (*state.at[:worker], dead, *state.at[worker + 1 :])
                    locks = world.locks.drop(state.locks, worker)
                    killed.append(State(at, state.content, locks, NO_VERSIONS, state, worker, killed=True))

    def after(self, state: State, worker: int) -> State:
        """Return the state after this worker's step."""
        world, node = self.world, state.at[worker]
        operation = node.operation
        assert operation is not None  # noqa: S101 - it is one of the choices
        _, following, locks = world.following(worker, node, state.content, state.locks)
        content, versions = self._effect(state, operation, node.data)
        world.behaviours[worker].learn_on(following, content, AHEAD)
        at = (*state.at[:worker], following, *state.at[worker + 1 :])
        return State(at, content, locks, versions, state, worker)

    def _effect(self, state: State, operation: Operation, data: bytes) -> tuple[bytes, Versions]:
        """Return the content and the versions after a step, each of them one object: so states are compared at once."""
        content, versions = state.content, state.versions
        if operation.kind in (LOAD, LOCK, UNLOCK):
            return content, versions
        key = content, id(versions), operation, data
        known = self._effects.get(key)
        if known:
            return known
        change = change_of(operation, data, lambda start, end: state.content[start:end])
        for start, stored in change.stores:
            content = content[:start] + stored + content[start + len(stored) :]
        content = self._contents.setdefault(content, content)
        if self.kind == "power":
            for start, stored in change.stores:
                versions = self.disk.stored(versions, state.content, content, start, start + len(stored))
            for start, end in change.syncs:
                versions = self.disk.synced(versions, start, end)
        known = content, self._versions.setdefault(frozenset(versions.items()), versions)
        self._effects[key] = known
        return known

    def _crash(self, before: State, state: State, recoveries: list[Recovery]) -> None:
        """Add the files that a power failure may leave after this step and not already before it."""
        finished = self._finished(before, state.worker) != self._finished(state, state.worker)
        if not finished and state.versions is before.versions:
            return
        content = self.disk.failed(state.content)
        image = new_on_the_disk(self.disk, content, before.versions, state.versions, NO_VERSIONS)
        if finished:
            image = Image.of(self.disk, content, state.versions)
        elif image is None:
            return
        recoveries.append(Recovery(image, self.rounds(state), self.again, 1, state))

    def _finished(self, state: State, worker: int) -> int:
        """Return how many rounds a worker has finished that must be found."""
        return 0 if self.relaxed else rounds_of(state.at[worker], self.world.shape.rounds)[0]

    def rounds(self, state: State) -> Rounds:
        """Return the rounds that each worker has finished and begun, with none of the one that comes afterwards."""
        pairs = [*(rounds_of(node, self.world.shape.rounds) for node in state.at), (0, 0)]
        finished = tuple(0 if self.relaxed else each for each, _ in pairs)
        return Rounds(finished, tuple(begun for _, begun in pairs))

    def _ended(self, state: State, crashes: int) -> Failure | None:
        """Return what is wrong where no worker can go on, before anybody recovers."""
        world = self.world
        damage = world.stopped()
        if not damage and not crashes:
            damage, _ = self.judge.damage(Image(state.content), self.rounds(state), _seen(state))
        elif not damage and (seen := _seen(state)):
            damage = self.judge.reported(seen)
        return Failure(damage, state) if damage else None

    def recovered(self, recovery: Recovery, following: list[Recovery]) -> Failure | None:
        """Let one more worker recover; add what it leaves where it crashes, and return what is wrong at its end.

        What recovery left is checked before the round of work too, for that could heal it.
        """
        self.counts.recoveries += 1
        for again in sorted({0, recovery.again}):
            for life in self.recoveries.lives(recovery.image, again):
                if failure := self._failure(recovery._replace(again=again), life):
                    return failure
                if again == recovery.again and recovery.crashes < self.crashes:
                    following += self._crashed_again(recovery, life)
        return None

    def _failure(self, recovery: Recovery, life: Life) -> Failure | None:
        damage = _trouble(life)
        found: Found = ()
        if not damage:
            rounds = recovery.rounds
            if recovery.again:
                rounds = rounds.and_last(recovery.again, recovery.again, relaxed=self.relaxed)
            damage, found = self.judge.damage(life.end, rounds, life.seen)
        return Failure(damage, recovery.state, recovery, life, found) if damage else None

    def _crashed_again(self, recovery: Recovery, life: Life) -> Iterator[Recovery]:
        """Yield the recoveries that are to be made where this one crashes."""
        for crash in life.crashes:
            self.counts.points += 1
            rounds, again = recovery.rounds, recovery.again
            if crash.works:
                rounds, again = rounds.and_last(crash.finished, crash.begun, relaxed=self.relaxed), 0
            yield Recovery(crash.left, rounds, again, recovery.crashes + 1, recovery.state, recovery, life, crash)

    def _is_late(self) -> bool:
        """Look at the clock for each state and recovery: one alone may take thousands of steps of a worker."""
        self._late = self._late or time.monotonic() > self.deadline
        return self._late


def disk_of(shape: Shape, unit: int, page: int = PAGE) -> Disk:
    """Return the disk that the shape's memory and files are on."""
    directory = shape.directory
    if not directory:
        return Disk(unit, shape.layout.size, page)
    return Disk(unit, shape.layout.size, page, directory.parts(unit or PAGE), directory.volatile)


def _trouble(life: Life) -> list[Damage]:
    """Return what is wrong where the one that recovers does not end, or raised."""
    if life.endless or isinstance(life.failed, Endless):
        return [Damage("the next one does not end", 1, 1)]
    if life.failed:
        text = exception_text(life.failed).partition(": ")[2]
        return [Damage(f"the next one raised {type(life.failed).__name__}", 1, 1, [text] if text else [])]
    return []


def _seen(state: State) -> tuple[tuple[str, str], ...]:
    return tuple(report for node in state.at for report in node.seen)
