"""Tell a crash step by step: what the workers did, what was left of the file, what recovery did, and why it broke."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from lab.exploring.behaviour import Behaviour
from lab.exploring.node import Node
from lab.exploring.token import operations_of
from lab.exploring.trace import step_now, step_of, turn_of, wait_now
from lab.exploring.worker import Shape
from lab.records import Step

from .left import Old, changes, to_be_synced, what_is_old, what_was_done
from .recovery import LONGEST, Choice
from .script import Event
from .search import Failure, Recovery, Search, State

REPEATS, MOST_SHOWN = 4, 40
"""The steps that are shown of a recovery that does not end: so many after its last change, and so many in all."""

Cause = Literal["", "without a crash", "recovery", "half an update", "not durable", "out of order"]


class Moment(NamedTuple):
    """The file after a step, by the number of the step; 0 is before the first."""

    number: int
    content: bytes


class Stale(NamedTuple):
    """A unit of the file that is older on the disk than it was in memory: as after step `number`.

    `missing` is the first step whose store is not on the disk.
    """

    unit: int
    number: int
    missing: int


@dataclass
class Story:
    """The steps of a failure, numbered from 1, and the reasons for it."""

    search: Search
    failure: Failure
    cause: Cause

    def __post_init__(self) -> None:
        self.steps: list[Step] = []
        self.reasons: list[str] = []
        self.events: list[Event] = []
        self._moments: list[Moment] = []
        self._left_out = ""
        self._node: Node = self.search.recoveries.behaviour(self.search.again).root
        self._disk = self.search.disk
        self._shape: Shape = self.search.world.shape
        self._tell()

    @property
    def headline(self) -> str:
        """Return what is wrong, with its evidence."""
        damage = self.failure.damage[0]
        return f"{damage.kind}: {'; '.join(damage.evidence)}" if damage.evidence else damage.kind

    def _tell(self) -> None:
        self._workers(self.failure.state)
        chain: list[Recovery] = []
        recovery = self.failure.recovery
        while recovery:
            chain.insert(0, recovery)
            recovery = recovery.before
        content = self.failure.state.content
        for number, recovery in enumerate(chain):
            if number or self.search.kind == "power":
                content = self._crashed(chain, number, content)
            self._moments = [Moment(len(self.steps), content)]
            following = chain[number + 1] if number + 1 < len(chain) else None
            content = self._recovers(recovery, following, content)
        if self.cause == "recovery":
            self.reasons = ["no crash is needed: the next one breaks a file that was whole"]
        elif self.cause == "without a crash" and not self.reasons:
            self.reasons.append("no crash is needed: the order of the steps breaks it (explore without --crash)")
        elif not self.cause:
            self.reasons.append("what it takes to break it was not found in the time that there is for that")
        self.reasons += filter(None, [self._left_out])
        self.events = list(self._with_fingerprints())

    def _workers(self, state: State) -> None:
        world, path = self.search.world, state.path()
        first = path[0].before if path else state
        assert first is not None  # noqa: S101 - a path begins at a state
        self._moments = [Moment(0, first.content)]
        world.set_state(first.at, first.content, first.locks)
        last, victims = -1, []
        for each in path:
            if each.killed:
                victims.append(each)
                node = world.at[each.worker]
                self.steps.append(Step(each.worker, node.round, "killed", "", None, "free", 0, 0))
                self.events.append(Event("k", each.worker))
                world.set_state(each.at, each.content, each.locks)
            else:
                self.steps.append(step_now(world, each.worker, turn_of(world, last, each.worker)))
                self._count("x", each.worker)
            last = each.worker
            self._moments.append(Moment(len(self.steps), each.content))
        if not self.failure.recovery:
            self.steps += [wait_now(world, each) for each, node in enumerate(world.at) if not node.ended]
        for each in victims:
            assert each.before is not None  # noqa: S101 - it was killed in a state
            node, behaviour = each.before.at[each.worker], world.behaviours[each.worker]
            self.reasons += self._in_the_middle(behaviour, each.worker, node, each.content, path.index(each))

    def _count(self, kind: str, worker: int) -> None:
        """Note one more step of a worker in the events."""
        last = self.events[-1] if self.events else Event("")
        mine = last.steps + 1 if (last.kind, last.worker) == (kind, worker) else 1
        if mine > 1:
            self.events.pop()
        self.events.append(Event(kind, worker, mine))

    def _with_fingerprints(self) -> Iterator[Event]:
        """Yield the events, those of steps with the fingerprint of their operations; any other is one step."""
        at = 0
        for each in self.events:
            mine = self.steps[at : at + each.steps]
            yield each._replace(operations=operations_of(mine)) if each.steps else each
            at += each.steps or 1

    def _goes_on(self, worker: int) -> bool:
        """Return True where the last step was this worker's and it lives."""
        return bool(self.steps) and self.steps[-1].worker == worker and self.steps[-1].operation != "killed"

    def _in_the_middle(
        self, behaviour: Behaviour, worker: int, node: Node, content: bytes, number: int
    ) -> Iterator[str]:
        """Say what this worker, which crashed after so many steps of all, had not yet stored of its round."""
        stores = [
            n for n, step in enumerate(self.steps[:number], 1)
            if step.worker == worker and step.round == node.round and changes(step)
        ]  # fmt: skip
        rest = _next_store(self._shape, behaviour, worker, node, content)
        if stores and rest:
            who = f"worker {worker}" if worker < self._shape.workers else "the next one"
            what = f"round {node.round}" if node.round >= 0 else "recovery"
            yield (
                f"{who} crashed in the middle of its {what}, after step {stores[-1]} "
                f"({what_was_done(self.steps[stores[-1] - 1])}); what it would have stored next, {rest}, is missing"
            )

    def _in_the_middle_of_all(self, chain: Sequence[Recovery], number: int, content: bytes) -> Iterator[str]:
        """Say of all that crashed before this recovery what they had not yet stored of their rounds."""
        steps = len(self.steps)
        if number:
            behaviour = self.search.recoveries.behaviour(chain[number - 1].again)
            yield from self._in_the_middle(behaviour, self._shape.workers, self._node, content, steps)
            return
        for worker, node in enumerate(self.failure.state.at):
            yield from self._in_the_middle(self.search.world.behaviours[worker], worker, node, content, steps)

    def _crashed(self, chain: Sequence[Recovery], number: int, content: bytes) -> bytes:
        """Add the crash before this recovery, which leaves the file as the recoveries from there on find it."""
        recovery = chain[number]
        if self.cause == "half an update":
            self.reasons += self._in_the_middle_of_all(chain, number, content)
        if self.search.kind == "kill":
            worker = self._shape.workers
            self.steps.append(Step(worker, self.steps[-1].round, "killed", "", None, "free", 0, 0))
            self.events.append(Event("k", worker))
            return content
        chosen = self._chosen(chain)[number]
        left, disk = recovery.image.content, self.search.disk
        for unit, each in recovery.image.open:
            present = content[disk.place(unit)]
            data = chosen.get(unit, present)
            left = disk.put(left, unit, data if data in each else present)
        content = disk.failed(content)
        stale = list(self._stale(left, content))
        self.reasons += self._of_stale(stale, left, content, recovery.rounds.finished)
        old = [Old(each.unit, each.number) for each in stale]
        what = what_is_old(self._shape, disk, old, left, content)
        self.steps.append(Step(-1, 0, "power", "", what, "free", 0, 0))
        self.events.append(Event("p", old=tuple(old)))
        return left

    def _chosen(self, chain: Sequence[Recovery]) -> list[dict[int, bytes]]:
        """Return what the open units were at the beginning of each recovery, as far as that mattered in the end."""
        found: list[dict[int, bytes]] = []
        wanted = dict(self.failure.found)
        for number in reversed(range(len(chain))):
            following = chain[number + 1] if number + 1 < len(chain) else None
            life = following.life if following else self.failure.life
            assert life is not None  # noqa: S101 - each recovery of the chain was run
            still_open = following.crash.open if following and following.crash else life.open
            chosen = {unit: origin for unit, origin in life.found if unit not in still_open}
            for unit in wanted.keys() & still_open.keys():
                origin = _origin(still_open[unit], wanted[unit], at_end=not following)
                if origin is not None:
                    chosen[unit] = origin
            found.insert(0, chosen)
            wanted = chosen
        return found

    def _stale(self, left: bytes, content: bytes) -> Iterator[Stale]:
        """Yield the units that are older on the disk than in memory."""
        for unit, place in enumerate(map(self._disk.place, range(self._disk.count))):
            if left[place] != content[place]:
                moment = next(each for each in reversed(self._moments) if each.content[place] == left[place])
                following = next(
                    each for each in self._moments if each.number > moment.number and each.content[place] != left[place]
                )
                yield Stale(unit, moment.number, following.number)

    def _of_stale(self, stale: Sequence[Stale], left: bytes, content: bytes, finished: Sequence[int]) -> Iterator[str]:
        """Say which store is missing on the disk, and what is there, or which round was finished, nevertheless."""
        if not stale:
            return
        missed = sorted(each.missing for each in stale)
        of_finished = [n for n in missed if self.steps[n - 1].round < finished[self.steps[n - 1].worker]]
        missing = (of_finished if self.cause == "not durable" and of_finished else missed)[0]
        what = f"step {missing} ({what_was_done(self.steps[missing - 1])})"
        field = to_be_synced(self.steps[missing - 1])
        if self.cause == "out of order":
            later = next(self._on_the_disk(missing, left, content), None)
            if later:
                done = what_was_done(self.steps[later - 1])
                yield (
                    f"step {later} ({done}) reached the disk and {what}, done before it, did not: no sync of {field} "
                    "comes between them"
                )
            elif partly := self._partly_on_the_disk(missing, left):
                yield f"{what} reached the disk in part: {partly} is as before it, the rest is not"
            else:
                yield f"{what} was not on the disk when the power failed"
        elif of_finished:
            step = self.steps[missing - 1]
            end = next(
                (n for n, each in enumerate(self.steps, 1) if each.worker == step.worker and each.round > step.round),
                len(self.steps) + 1,
            )
            yield (
                f"worker {step.worker} had finished its round {step.round} with step {end - 1}, and {what} was not on "
                f"the disk: no sync of {field} comes between them"
            )
        else:
            yield f"{what} was not on the disk when the power failed"

    def _partly_on_the_disk(self, number: int, left: bytes) -> str:
        """Return the name, or the part of a file, that is as before this step, where another that it changed is not."""
        directory = self._shape.directory
        if directory is None or self._disk.count == 1:
            return ""
        moments = reversed(self._moments)
        after, before = (next(each for each in moments if each.number <= n).content for n in (number, number - 1))
        places = [self._disk.place(unit) for unit in range(self._disk.count)]
        changed = [place for place in places if place.start >= directory.base and before[place] != after[place]]
        old = [place for place in changed if left[place] == before[place]]
        if not 0 < len(old) < len(changed):
            return ""
        file, what = directory.file_at(old[0].start)
        return f"the {what}" if file else what

    def _on_the_disk(self, after: int, left: bytes, content: bytes) -> Iterator[int]:
        """Yield the stores after this step that are on the disk."""
        places = [self._disk.place(unit) for unit in range(self._disk.count)]
        for before, moment in pairwise(self._moments):
            if moment.number > after and changes(self.steps[moment.number - 1]):
                changed = (place for place in places if before.content[place] != moment.content[place])
                if any(left[place] == content[place] for place in changed):
                    yield moment.number

    def _recovers(self, recovery: Recovery, following: Recovery | None, content: bytes) -> bytes:
        """Add the steps of a recovery, up to its end or the crash that follows; return the file then."""
        behaviour = self.search.recoveries.behaviour(recovery.again)
        node, most = behaviour.root, following.crash.steps if following and following.crash else LONGEST
        memory, worker, begin = bytearray(content), self._shape.workers, len(self.steps)
        for _ in range(most):
            if node.operation is None:
                break
            met, following_node = behaviour.step_alone(node, memory)
            turn: Literal["same", "free"] = "same" if self._goes_on(worker) else "free"
            self.steps.append(step_of(self._shape.memory, worker, node, met, turn))
            self._count("r", recovery.again)
            self._moments.append(Moment(len(self.steps), bytes(memory)))
            node = following_node
        self._node = node
        if self.failure.life and self.failure.life.endless and not following:
            self._cut(begin)
        return bytes(memory)

    def _cut(self, begin: int) -> None:
        """Leave out what a recovery that does not end repeats: what comes after its last change of the file."""
        changed = [after.number for before, after in pairwise(self._moments) if before.content != after.content]
        shown = min(max(changed, default=begin) + REPEATS, begin + MOST_SHOWN)
        taken = len(self.steps) - begin
        del self.steps[shown:]
        self._left_out = (
            f"it had not ended after {taken:,} steps of recovery and work; the first {shown - begin} are shown"
        )


def _origin(choices: Mapping[bytes, Choice], wanted: bytes, *, at_end: bool) -> bytes | None:
    """Return what a unit was that is so at the end of a recovery, or may be so on the disk where that crashes."""
    fits = (origin for origin, each in choices.items() if (each.present == wanted if at_end else wanted in each.disk))
    return next(fits, None)


def _next_store(shape: Shape, behaviour: Behaviour, worker: int, node: Node, content: bytes) -> str:
    """Return what a worker would store next in its round, if it went on alone; empty where there is nothing."""
    memory, round_ = bytearray(content), node.round
    for _ in range(LONGEST):
        if node.operation is None or node.round != round_:
            return ""
        met, following = behaviour.step_alone(node, memory)
        step = step_of(shape.memory, worker, node, met, "same")
        if changes(step):
            return what_was_done(step)
        node = following
    return ""
