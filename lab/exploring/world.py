"""The simulated world: bytes, a lock and the workers' trees, one step at a time, forwards and backwards.

A search asks which workers could go on (`choices`), lets one of them do its step (`do`), takes the last step back
(`undo`), and asks what is broken where no worker can go on (`end`). Nothing here decides which worker goes next.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.errors import ScenarioError
from lab.model.record_locks import closes_ring
from lab.scenario import Damage, Outcome
from lab.scenario.base import Endless, broken_invariant, exception_text, has_invariant, listed_damage

from .behaviour import Behaviour, alone
from .locks import states_of
from .node import GRANTED, REFUSED, Node
from .operation import CALL, LOAD, LOCK, PAUSE, STORE, UNLOCK, Operation
from .sandbox import check_notes, guarded, notes
from .worker import Shape

ENDLESS = "goes on for ever"
"""The kind of damage where a worker takes no step any more, and does not end."""

KEPT = 200_000
"""The number of final states whose check is remembered."""


class NotInterchangeableError(Exception):
    """A worker that was taken to be interchangeable with others has read which one it is."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a schedule: the damage, in the order in which it was found; none is clean.

    `by_invariant`: the invariant found it, while no worker was inside; the schedule is shown up to there.
    """

    damage: tuple[Damage, ...]
    by_invariant: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        """Return the kinds of damage."""
        return frozenset(each.kind for each in self.damage)


class World:
    """The simulated processes of one shape; `path` names the worker of each step so far.

    `prepared` are the bytes before the workers' `start`, `initial` those after it.
    `longest` is the number of steps after which a worker that runs alone, or a schedule, is given up; `alone` are the
    nodes that each worker comes through when no other runs. A schedule ends early where the scenario's invariant does
    not hold; one that is not to be checked `in_between` is checked at the end only. Once some worker was seen to read
    the same until another stores something (`spins`), `news` has a bit for each for which there may be such a store.
    While workers are `alike` (see `interchangeable`), they have one tree together.
    """

    def __init__(self, shape: Shape, longest: int) -> None:
        self.shape = shape
        self.longest = longest
        self.locks = states_of(shape.lock)
        self.locked = shape.lock != "none"
        content = bytearray(shape.layout.size)
        before = notes(shape.scenario)
        guarded("prepare", lambda: shape.scenario.prepare(shape.memory.from_buffer(content)), shape.limit_s)
        content = content + (shape.directory.first() if shape.directory else b"")
        self.prepared = bytes(content)
        self.behaviours: list[Behaviour] = []
        for index in range(shape.workers):
            self.behaviours.append(Behaviour(shape, index, bytes(content)))
            content[:] = self.behaviours[-1].started
        self.initial = bytes(content)
        self.alone = [alone(behaviour, self.initial, longest) for behaviour in self.behaviours]
        for behaviour, nodes in zip(self.behaviours, self.alone, strict=True):
            if isinstance(nodes[-1].failed, Endless):
                raise nodes[-1].failed
            behaviour.again(nodes[-1])
        check_notes(before, shape.scenario)
        self.content = content
        everybody = (1 << shape.workers) - 1
        self._others = [everybody & ~(1 << worker) for worker in range(shape.workers)]
        self.news = everybody
        self.spins = any(behaviour.spins for behaviour in self.behaviours)
        self.at: list[Node] = [each.root for each in self.behaviours]
        self.path = bytearray()
        self.alike = b""
        self.state = 0
        self._back: list[tuple[Node, bytes | None, int, int]] = []
        self._ends: dict[Any, End] = {}
        self._first = True
        self.has_invariant = has_invariant(type(shape.scenario))
        self.in_between = True
        self._invariants: dict[bytes, tuple[Damage, ...]] = {}
        if self.broken():
            raise ScenarioError(self._broken_from_the_start())
        self._quiet = not any(nodes[-1].seen or nodes[-1].failed for nodes in self.alone)

    def choices(self) -> list[int]:
        """Return the workers that could do their step now.

        A refused lock request (EDEADLK) is a step, and so is one that releases a shared lock. None is left where the
        invariant does not hold.
        """
        if self.has_invariant and self.broken():
            return []
        if not self.locked:
            choices = [i for i, node in enumerate(self.at) if node.operation is not None]
        else:
            choices = [
                i for i, node in enumerate(self.at) if node.operation is not None and not self._waits(i, node.operation)
            ]
        return self._without_spinning(choices) if self.spins else choices

    def _without_spinning(self, choices: list[int]) -> list[int]:
        """Return those that do not wait for a store; all where nobody else is left, since one may count its tries."""
        return [each for each in choices if not self._spins_now(each)] or choices

    def _spins_now(self, worker: int) -> bool:
        operation = self.at[worker].operation
        return operation is not None and operation.kind == PAUSE and not self.news >> worker & 1

    def _waits(self, worker: int, operation: Operation) -> bool:
        if operation.kind != LOCK:
            return False
        blocker, after = self.locks.request(self.state, worker, operation)
        return blocker is not None and after == self.state and not self._refuses(worker, blocker)

    def _refuses(self, worker: int, blocker: int) -> bool:
        """Return True where every worker from the blocker on waits, in the end for this one: its request is refused."""
        return self.locks.detects and closes_ring(worker, blocker, self.waits_for)

    def waits_for(self, worker: int) -> int | None:
        """Return the worker that holds what this one requests next; None where there is none."""
        operation = self.at[worker].operation
        if operation is None or operation.kind != LOCK:
            return None
        return self.locks.request(self.state, worker, operation)[0]

    def gives_up(self, worker: int) -> bool:
        """Return True where the worker's next step releases a shared lock, to wait for an exclusive one (flock(2))."""
        operation = self.at[worker].operation
        if operation is None or operation.kind != LOCK:
            return False
        blocker, after = self.locks.request(self.state, worker, operation)
        return blocker is not None and after != self.state

    def steps_aside(self, worker: int) -> bool:
        """Return True for a worker whose last lock request was refused: it lets the others by until one is granted."""
        return self.locks.detects and self.at[worker].aside

    def do(self, worker: int) -> Any:
        """Let a worker, one of the choices, do its step; return what it met."""
        node, state = self.at[worker], self.state
        operation: Any = node.operation
        kind = operation.kind
        old: bytes | None = None
        if kind <= STORE:  # most steps: `following` does the same, and takes a tenth of a search's time
            here = bytes(self.content[operation.start : operation.end])
            met, old = (here, None) if kind == LOAD else (None, here)
            following = node.next.get(met) or self.learn(worker, node, met)
            if kind == STORE:
                self.content[operation.start : operation.end] = node.data
            if following.ended:
                self.state = self.locks.drop(state, worker)
        else:
            met, following, self.state = self.following(worker, node, self.content, state)
        if kind == CALL:
            old = bytes(self.content[operation.start : operation.end])
            for start, data in operation.perform(self.load).stores:
                self.content[start : start + len(data)] = data
        self._back.append((node, old, state, self.news))
        if self.spins and operation.tells:
            self._spread(worker, operation)
        self.path.append(worker)
        self.at[worker] = following
        return met

    def following(self, worker: int, node: Node, content: bytes | bytearray, state: int) -> tuple[Any, Node, int]:
        """Return what a worker meets in the step that it may do from this node, the node after it, and the lock then.

        Where it releases what it holds, to request again, the node is the same. What it stores is not stored here.
        """
        operation: Any = node.operation
        kind = operation.kind
        met: Any = None
        if kind == LOAD:
            met = bytes(content[operation.start : operation.end])
        elif kind == LOCK:
            blocker, after = self.locks.request(state, worker, operation)
            met = GRANTED if blocker is None else REFUSED
            if after != state and met is REFUSED:
                return met, node, after
            state = after
        elif kind == UNLOCK:
            state = self.locks.release(state, worker, operation)
        elif kind == CALL:
            met = operation.perform(lambda start, end: bytes(content[start:end])).met
        following = node.next.get(met) or self.learn(worker, node, met)
        return met, following, self.locks.drop(state, worker) if following.ended else state

    def learn(self, worker: int, node: Node, met: Any) -> Node:
        """Return the node after this one for this result, which the worker's tree does not have yet."""
        behaviour = self.behaviours[worker]
        following = behaviour.learn(node, met)
        if self.alike and behaviour.input is None:
            raise NotInterchangeableError
        self._quiet = self._quiet and not (following.seen or following.failed)
        self.spins = self.spins or behaviour.spins
        return following

    def _spread(self, worker: int, operation: Operation) -> None:
        """Note for all others that this worker has stored something, or for itself that it has looked."""
        others = self._others[worker]
        self.news = self.news & others if operation.kind == PAUSE else self.news | others

    def load(self, start: int, end: int) -> bytes:
        """Return these bytes as they are now."""
        return bytes(self.content[start:end])

    def whole(self) -> Hashable:
        """Return what makes up a state beside the lock and the workers' nodes."""
        return (bytes(self.content), self.news) if self.spins else bytes(self.content)

    def interchangeable(self) -> bytes:
        """Return for each worker the first one that is interchangeable with it; empty where each is the only one.

        Such workers run the same text with the same input: their `start` met the same bytes, and nothing that they ran
        so far has read which of them it is. A directory knows its callers, and so does a world with calls.
        """
        inputs = [behaviour.input for behaviour in self.behaviours]
        if type(self) is not World or self.shape.directory or self.path or None in inputs:
            return b""
        alike = bytes(map(inputs.index, inputs))
        return alike if len(set(alike)) < len(alike) else b""

    @contextmanager
    def sharing(self, alike: bytes) -> Iterator[None]:
        """Let interchangeable workers have one tree within the block; the world is at its beginning before and after.

        Raises NotInterchangeableError where one of them reads which one it is.
        """
        own = self.behaviours
        try:
            self.alike, self.behaviours = alike, [own[first] for first in alike]
            self.at[:] = [each.root for each in self.behaviours]
            yield
        finally:
            self.back_to(0)
            self.alike, self.behaviours = b"", own
            self.at[:] = [each.root for each in own]

    def set_state(self, at: Sequence[Node], content: bytes | None, state: int, news: int | None = None) -> None:
        """Go to this state, however it came about; no step can be undone from there.

        Without a content the bytes stay: the choices do not depend on them but by an invariant; so do the news.
        """
        self.at[:] = at
        if content is not None:
            self.content[:] = content
        self.state = state
        self.news = self.news if news is None else news
        self.path.clear()
        self._back.clear()

    def follow(self, schedule: bytes) -> None:
        """Let each worker of the schedule do its step."""
        for worker in schedule:
            self.do(worker)

    def could_go_on(self, worker: int) -> bool:
        """Return True for a worker from which taking the turn is a preemption."""
        return worker in self.choices() and not self.steps_aside(worker)

    def undo(self) -> None:
        """Undo the last step."""
        node, old, self.state, self.news = self._back.pop()
        self.at[self.path.pop()] = node
        if old is not None:
            operation: Any = node.operation
            self.content[operation.start : operation.end] = old

    def try_to_follow(self, schedule: bytes) -> int:
        """Do these steps from the beginning, as far as they can be done; return how many that were."""
        self.back_to(0)
        for place, worker in enumerate(schedule):
            if worker >= len(self.at) or worker not in self.choices():
                return place
            self.do(worker)
        return len(schedule)

    def back_to(self, length: int) -> None:
        """Undo steps until so many are left."""
        while len(self.path) > length:
            self.undo()

    def end(self) -> End:
        """Return what is broken now that no worker can go on."""
        broken = self.broken()
        if not all(node.ended for node in self.at):
            if broken:
                return End(broken, by_invariant=True)
            if self.locked:
                return End((self._deadlock(),))
        key: Any = bytes(self.content)
        if not self._quiet:
            key = key, *[(node.seen, node.failed) for node in self.at]
        end = self._ends.get(key)
        if end is None:
            damage = self._raised() or self._judged()
            end = end_of(damage, broken)
            self._first = False
            if len(self._ends) < KEPT:
                self._ends[key] = end
        return end

    def stopped(self) -> list[Damage]:
        """Return the deadlock in which workers wait for ever, or what workers raised; nothing where all ended well."""
        if not all(node.ended for node in self.at):
            return [self._deadlock()]
        return self._raised()

    def broken(self) -> tuple[Damage, ...]:
        """Return what the scenario's invariant finds broken now; nothing while a worker is inside."""
        if not self.has_invariant or not self._nobody_inside():
            return ()
        if not self.in_between and not all(node.ended for node in self.at):
            return ()
        key = bytes(self.content)
        found = self._invariants.get(key)
        if found is None:
            try:
                found = invariant_damage(self.shape, key)
            except ScenarioError as error:
                if isinstance(error, Endless) or not self._invariants:  # it raises at the beginning too
                    raise
                found = (self._raised_by("invariant", error),)
            if len(self._invariants) < KEPT:
                self._invariants[key] = found
        return found

    def _nobody_inside(self) -> bool:
        """Return True while no worker holds a lock; without a lock, while none is in a round."""
        return self.locks.is_free(self.state) if self.locked else all(node.between_rounds for node in self.at)

    def _broken_from_the_start(self) -> str:
        first = self.broken()[0]
        found = "; ".join([first.kind, *first.evidence])
        return f"the invariant does not hold before the first round ({found}); fix prepare, or the invariant"

    def _raised(self) -> list[Damage]:
        """Return as damage what workers raised in this schedule; the file that they left is not checked then."""
        return [
            Damage(*_failed(node.failed), self._rounds, [f"worker {i}: {exception_text(node.failed)}"])
            for i, node in enumerate(self.at)
            if node.failed
        ]

    def _deadlock(self) -> Damage:
        stuck = [i for i, node in enumerate(self.at) if not node.ended]
        return Damage("deadlock", len(stuck), self.shape.workers, [self._wait(i) for i in stuck])

    def _wait(self, worker: int) -> str:
        operation = self.at[worker].operation
        if operation is not None and operation.kind == PAUSE:
            return f"worker {worker} reads the same again and again"
        wanted = operation.named(self.shape.memory).name if operation else "nothing"
        return f"worker {worker} waits for {wanted}, which worker {self.waits_for(worker)} holds"

    @property
    def _rounds(self) -> int:
        return self.shape.workers * self.shape.rounds

    def _judged(self) -> list[Damage]:
        """Return what the check finds; raising is damage too, unless it does so where workers run one after the other.

        A check that does not end is an error anywhere: every further one would take as long.
        """
        reports = [report for node in self.at for report in node.seen]
        try:
            return damage_of(self.shape, self.content, reports)
        except ScenarioError as error:
            if self._first or isinstance(error, Endless):
                raise
            return [self._raised_by("check", error)]

    def _raised_by(self, method: str, error: ScenarioError) -> Damage:
        return Damage(f"{method} raised", 1, self._rounds, [str(error).removesuffix("; fix the file")])

    @property
    def ends(self) -> int:
        """Return how many different ends were met, whichever workers reported the same."""
        return len(set(map(_whoever, self._ends)))


def _whoever(key: Any) -> Hashable:
    """Return the key of an end without the workers' names."""
    content, *ended = (key,) if isinstance(key, bytes) else key
    reports = [([(kind, text.partition(", ")[2]) for kind, text in seen], repr(failed)) for seen, failed in ended]
    return content, *sorted(repr(each) for each in reports if each != ([], "None"))


def _failed(error: BaseException) -> tuple[str, int]:
    """Return the kind of damage that a worker's end is, and how often."""
    return ENDLESS if isinstance(error, Endless) else f"raised {type(error).__name__}", 1


def invariant_damage(shape: Shape, content: bytes | bytearray) -> tuple[Damage, ...]:
    """Return what the scenario's invariant, if it has one, finds broken in these bytes."""
    if not has_invariant(type(shape.scenario)):
        return ()
    memory = shape.memory.from_buffer_copy(content)
    return tuple(guarded("invariant", lambda: broken_invariant(shape.scenario, memory), shape.limit_s))


def end_of(damage: Sequence[Damage], broken: Sequence[Damage]) -> End:
    """Return the end at which the check found this damage, and the invariant that; a kind that both found is once."""
    kinds = {each.kind for each in damage}
    more = [each for each in broken if each.kind not in kinds]
    return End((*damage, *more), by_invariant=bool(broken) and not damage)


def damage_of(
    shape: Shape, content: bytes | bytearray, reports: list[tuple[str, str]], files: Mapping[str, bytes] | None = None
) -> list[Damage]:
    """Return what the workers saw go wrong, then what the scenario's check finds in the bytes that they left.

    Its files are those in the bytes, where no others are given.
    """
    total = shape.workers * shape.rounds
    outcome = Outcome(
        rounds=total, by_worker=[shape.rounds] * shape.workers, files=shape.files(content) if files is None else files
    )
    memory = shape.memory.from_buffer_copy(content)
    check = shape.scenario.check
    damage = guarded("check", lambda: listed_damage(check(memory, outcome), check), shape.limit_s)
    counts: dict[str, int] = {}
    evidence: dict[str, list[str]] = {}
    for each in [*(Damage(kind, 1, total, [text]) for kind, text in reports), *damage]:
        if each.count:
            counts[each.kind] = counts.get(each.kind, 0) + each.count
            evidence.setdefault(each.kind, []).extend(each.evidence)
    return [Damage(kind, count, total, evidence[kind]) for kind, count in counts.items()]
