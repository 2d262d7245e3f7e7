"""Learn what a worker does by running it: a tree of its steps, with a branch for each result that a step can have.

A worker is deterministic: what it does next is decided by what it has met so far, the bytes that it loaded and the
locks that it was granted or refused, and by nothing else. So a run of it, alone, with the bytes laid out that it is to
meet, shows what it does in every interleaving in which it meets them. The scenario's text runs once for each different
experience of a worker, not once for each interleaving; interleavings are put together from the trees (see `world`).
Where the same experience leads to another step the second time, the scenario is not deterministic, and that is an
error.

The run is a greenlet that stops before each step. It goes on as long as the search goes on from its present node; for
another branch it begins anew and runs without a stop through what the tree already knows.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, NoReturn

from greenlet import getcurrent, greenlet

from lab.errors import CannotRunError, ScenarioError
from lab.locking import Deadlock
from lab.model.directory import Load
from lab.processes.deadlines import TooLong
from lab.scenario import Operations
from lab.scenario.base import Endless

from .node import GRANTED, REFUSED, Node
from .operation import CALL, LOAD, LOCK, PAUSE, SPINS, STORE, FileCall, Operation, SteppedBytes, change_of
from .retries import known_between, known_by
from .sandbox import NotDeterministic, Watched, bypass, endless, guarded
from .worker import Shape, SteppedWorker

THROWS = 100
"""The number of times that a run is asked to end before it is said to catch everything."""

LEFT: list[greenlet] = []
"""Runs that do not end: they are kept, since deleting them would end them."""


class Abandoned(BaseException):
    """An exception that ends a run that is of no more use."""


class Behaviour:
    """The tree of one worker; `root` is before its first step. `runs` counts how often the text was begun.

    `started` are the bytes that its `start` left of the `initial` ones. One that comes after a crash has so many rounds
    `again`: its `start` and its `recover` are steps too, in round -1. `spins` says that some run reads the same again
    and again until another worker stores something.
    """

    def __init__(self, shape: Shape, index: int, initial: bytes, *, again: int | None = None) -> None:
        self._shape = shape
        self._recovers = again is not None
        self._rounds = shape.rounds if again is None else again
        self._initial = initial
        self._content = bytearray(initial)
        self._seen: list[tuple[str, str]] = []
        memory = SteppedBytes(self._content, shape.line, self._step)
        self._worker = SteppedWorker(shape, index, memory, self._guard, self._seen)
        if not shape.crashes:
            self._worker.paused = self._pause
        self._since_pause: list[tuple[Operation, Any]] = []
        self._before_pause: Any = None
        self._alike: dict[Hashable, Node] = {}
        self._round_begins = -1, 0
        self._settled = False
        self.spins = False
        self._expected: list[Any] = []
        self._taken = -1
        self._over = True
        self._caught = 0
        self._trouble: Exception | None = None
        self._hub: Callable[[], object] = getcurrent().switch
        self._run = greenlet(self._life)
        self.started = b""
        self.nodes = 0
        self.runs = 0
        self.root = self._at = self._node(None, None)
        self._begin(self.root)

    @property
    def input(self) -> bytes | None:
        """Return the bytes that its `start` meets, None once its text has read which worker it is.

        Nothing else distinguishes one worker from another.
        """
        return None if self._worker.knows_itself else self._initial

    def _node(self, parent: Node | None, met: Any) -> Node:
        node = Node(parent, met, self.nodes)
        self.nodes += 1
        return node

    def learn(self, node: Node, met: Any) -> Node:
        """Return the node after this one for this result of its step.

        Raises NotDeterministic where a new run does not come to the node as it did before, and CannotRunError where
        the worker reaches around the memory.
        """
        if self._at is not node or self._over:
            self._begin(node)
        self._expected.append(met)
        self._go()
        return node.next[met]

    def learn_on(self, node: Node, content: bytes, most: int) -> None:
        """Learn the next steps too, at most so many, as they are if no other worker goes on; up to a request of a lock.

        A search comes there in any case, and this run, which is at the node now, need not begin anew for each of them.
        Raises as `learn` does.
        """
        if self._at is not node or self._over:
            return
        alone = bytearray(content)
        for _ in range(most):
            if node.operation is None or node.operation.kind == LOCK or node.next:
                return
            node = self.step_alone(node, alone)[1]

    def step_alone(self, node: Node, content: bytearray) -> tuple[Any, Node]:
        """Let the worker do this step on these bytes while no other runs; return what it met, and the node after it.

        What the step stores is stored there. Raises as `learn` does.
        """
        operation = node.operation
        if operation is None:
            raise AssertionError("who has ended does no step")
        met = met_alone(operation, lambda start, end: bytes(content[start:end]))
        following = node.next.get(met) or self.learn(node, met)
        for start, data in change_of(operation, node.data, lambda start, end: bytes(content[start:end])).stores:
            content[start : start + len(data)] = data
        return met, following

    def again(self, node: Node) -> None:
        """Run to this node once more. Raises NotDeterministic where the way there is another one now."""
        self._begin(node)

    def _begin(self, node: Node) -> None:
        """Begin a new run, up to before the step of this node."""
        self._give_up()
        scenario, worker = self._shape.scenario, self._worker
        self.runs += 1
        self._content[:] = self._initial
        self._seen.clear()
        self._taken = -1  # what start does is no step
        self._at = self.root
        self._expected = node.history()
        self._trouble = None
        self._caught = 0
        self._since_pause.clear()
        self._before_pause = None
        worker.renew()
        if not self._recovers:
            with Watched():
                guarded("start", lambda: scenario.start(worker))  # type: ignore[arg-type]
        self.started = self.started or bytes(self._content)
        self._taken = 0
        self._round_begins = -1, 0
        self._settled = self._over = False
        if self._run.dead:
            self._run = greenlet(self._life)
        self._go()

    def _go(self) -> None:
        """Let the run go on to its next stop."""
        self._hub = getcurrent().switch
        try:
            with Watched():
                self._run.switch()
        except BaseException:  # an interrupt, which has ended the run
            self._over = True
            raise
        if self._trouble:
            self._over = True
            raise self._trouble

    def _give_up(self) -> None:
        """End the run at its present step; nothing that it does on the way out is a step."""
        if self._over or self._taken < 0:
            return
        self._over = True
        self._hub = getcurrent().switch
        self._run.throw(Abandoned())
        if self._trouble:
            raise self._trouble

    def _life(self) -> None:
        """Run all rounds of the worker, in its own greenlet."""
        worker, scenario = self._worker, self._shape.scenario
        failed: Exception | SystemExit | None = None
        try:
            if self._recovers:
                worker.round = -1
                scenario.start(worker)  # type: ignore[arg-type]
                scenario.recover(worker)  # type: ignore[arg-type]
            for worker.round in range(self._rounds):
                self._begin_round()
                scenario.work(worker)  # type: ignore[arg-type]
        except Abandoned:
            return
        except CannotRunError as error:
            self._trouble = error
            return
        except TooLong as error:
            failed = endless("work" if worker.round >= 0 else "recover", error)
        except (Exception, SystemExit) as error:
            failed = error
        if not self._over and not self._trouble:
            self._settle_like("the end", None if failed else ())
            self._end(failed)

    def _end(self, failed: Exception | SystemExit | None) -> None:
        node = self._at
        if node.operation is not None or self._taken < len(self._expected):
            self._differs("has finished")
            return
        ended = tuple(self._seen), _told(failed)
        if node.ended and ended != (node.seen, _told(node.failed)):
            self._differs(f"ends with {ended[0] or ended[1]}")
            return
        node.ended = self._over = True
        node.seen = tuple(self._seen)
        node.failed = failed
        node.results = tuple(self._worker.results)
        node.round = self._worker.round

    def _step(self, operation: Operation) -> Any:
        """End the step before this access of the running worker, then lay out the bytes that it meets.

        It stops where the tree does not know these bytes. Returns what a call meets.
        """
        if self._taken < 0:
            if operation.kind == CALL:
                raise bypass("calls on files in start, before the start barrier")
            return None
        if self._over:
            self._escape()
        self._settle()
        self._worker.touched = True
        node = self._at
        if self._round_begins[0] != self._worker.round:
            self._round_begins = self._worker.round, node.number
        if node.operation is None and not node.ended:
            node.operation = operation
            node.round = self._worker.round
            if self._recovers:
                node.seen = tuple(self._seen)
            node.results = tuple(self._worker.results)
        elif node.operation is not operation:
            raise self._differs(f"is about to {operation!r}")
        if self._taken == len(self._expected):
            self._stop()
        met = self._expected[self._taken]
        if operation.kind == LOAD:
            self._content[operation.start : operation.end] = met
        self._since_pause.append((operation, met))
        self._taken += 1
        self._settled = False
        return met

    def _pause(self) -> None:
        """Wait, as a step, where the worker has read the same as before its pause before, and has stored nothing.

        Nothing but another's store can change what it does next, unless it counts how often it tries.
        """
        if self._taken <= 0 or self._over:
            return
        since = self._worker.round, tuple(self._since_pause)
        before, self._before_pause = self._before_pause, since
        if since == before and not any(each.kind != PAUSE and each.tells for each, _ in self._since_pause):
            self.spins = True
            self._step(SPINS)
        self._since_pause.clear()
        again = bool(before) and before[0] == since[0]
        if (again or isinstance(self._shape.scenario, Operations)) and not self._settled:
            self._try_again()

    def _try_again(self) -> None:
        """Go on to the node of an earlier retry that knew the same: how often it tried makes no difference then.

        What its last try met decides whether its next one is a wait.
        """
        known = known_by(self._worker, type(self)._life.__code__)
        self._settle_like((self._round_begins, self._before_pause), known)

    def _begin_round(self) -> None:
        """Go on to the node of an earlier run that began this round and knew the same: how it got there is over."""
        self._since_pause.clear()
        if not self._over:
            self._settle_like(self._worker.round, known_between(self._worker))

    def _settle_like(self, place: Hashable, known: Hashable) -> None:
        """Go on to the node at which another run that had reported the same was at this place, and knew the same.

        It is a new node where there was no such run, or where that cannot be told, which None says.
        """
        if self._taken <= 0 or self._settled or known is None:
            self._settle()
            return
        aside = self._at.aside_after(self._expected[self._taken - 1])
        key = place, known, tuple(self._seen), tuple(self._worker.results), aside
        self._settle(self._alike.get(key))
        self._alike.setdefault(key, self._at)

    def _escape(self) -> NoReturn:
        """End a run that is over; one that catches even that is left at its present step, for good."""
        self._caught += 1
        if self._caught > THROWS:
            LEFT.append(self._run)
            self._trouble = ScenarioError(
                f"scenario {self._shape.found.name} catches BaseException and goes on; fix the file"
            )
            self._hub()
        raise Abandoned

    def _stop(self) -> None:
        """Wait for the next order; any exception that is thrown in here, also by a garbage collector, ends the run."""
        try:
            self._hub()
        except BaseException:
            self._over = True
            raise

    def _settle(self, following: Node | None = None) -> None:
        """Go on to the node after the step that has just been taken: a new one, or the `following` if it is given."""
        if not self._taken or self._settled:
            return
        self._settled = True
        node, met = self._at, self._expected[self._taken - 1]
        operation = node.operation
        if operation is not None and operation.kind == STORE:
            data = bytes(self._content[operation.start : operation.end])
            if node.next and node.data != data:
                raise self._differs(f"stores {data.hex()[:32]} in place of {node.data.hex()[:32]}")
            node.data = data
        if met not in node.next:
            node.next[met] = following or self._node(node, met)
        self._at = node.next[met]

    def _differs(self, what: str) -> NotDeterministic:
        """Return the error to raise; it is remembered, in case the scenario catches it."""
        meant = self._at.operation
        trouble = NotDeterministic(
            f"scenario {self._shape.found.name} is not deterministic: after {self._taken:,} steps worker "
            f"{self._worker.index}, having met the same as before, {what}"
            f"{f', and before was about to {meant!r}' if meant else ''}; let only w.memory, w.index, w.round and "
            "w.random decide"
        )
        self._trouble = self._trouble or trouble
        return trouble

    def _guard(self, lock: Operation, unlock: Operation) -> _Hold:
        return _Hold(self, lock, unlock)

    def lock(self, operation: Operation) -> None:
        """Request a lock for the running worker. Raises Deadlock where it is to be refused."""
        if self._taken < 0:
            raise bypass("locks in start, before the start barrier")
        self._step(operation)
        if self._taken > 0 and self._expected[self._taken - 1] is REFUSED:
            raise Deadlock(errno.EDEADLK, "Resource deadlock avoided")

    def unlock(self, operation: Operation) -> None:
        """Unlock; a run that is given up leaves this out."""
        if not self._over:
            self._step(operation)


def _told(failed: BaseException | None) -> str:
    """Return how a run has ended; one without an end was broken off anywhere."""
    name = type(failed).__name__
    return name if isinstance(failed, Endless) else f"{name}: {failed}"


class _Hold:
    __slots__ = ("_behaviour", "_lock", "_unlock")

    def __init__(self, behaviour: Behaviour, lock: Operation, unlock: Operation) -> None:
        self._behaviour = behaviour
        self._lock = lock
        self._unlock = unlock

    def __enter__(self) -> _Hold:
        self._behaviour.lock(self._lock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._behaviour.unlock(self._unlock)


def met_alone(operation: Operation, load: Load) -> Any:
    """Return what a worker meets in this step while no other runs, where the bytes are loaded so."""
    if operation.kind == LOAD:
        return load(operation.start, operation.end)
    if isinstance(operation, FileCall):
        return operation.perform(load).met
    return GRANTED if operation.kind == LOCK else None


def alone(behaviour: Behaviour, initial: bytes, most: int) -> list[Node]:
    """Return the nodes that the worker comes through when no other runs, at most so many steps."""
    content = bytearray(initial)
    nodes = [behaviour.root]
    while len(nodes) <= most and nodes[-1].operation is not None:
        nodes.append(behaviour.step_alone(nodes[-1], content)[1])
    return nodes
