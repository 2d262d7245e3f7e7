"""What a worker does, learned by running it: a tree of its steps that branches where it can meet different things.

A worker is deterministic: what it does next is decided by what it has met so far, the bytes that it loaded and the
locks that it got or was refused, and by nothing else. So one run of it, alone, with the bytes put before it that it
is to meet, tells what it does in every interleaving in which it meets them. The scenario's text runs once for each
different experience of a worker, not once for each interleaving; interleavings are put together from the trees (see
`world`). A run that leaves the tree goes on alone to its end, so that one run learns a whole branch. When the same
experience leads elsewhere the second time, the scenario is not deterministic, and that is an error.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from lab.errors import CannotRunError, LabError, ScenarioError
from lab.locks import Deadlock

from .bypass import watched
from .memory import Place
from .operation import LOAD, LOCK, STORE, Operation
from .worker import Shape, SteppedWorker

GRANTED, REFUSED = False, True
"""What a lock meets; loads meet bytes, stores and unlocks nothing (None)."""


class Abandoned(BaseException):
    """Ends a worker's run that has no end of its own, or none within the limit."""


class NotDeterministic(ScenarioError):  # noqa: N818 - a finding about the scenario
    """The same experience led a worker to other steps: time, randomness or state of its own decide, not the memory."""

    exit_code = 3


class Node:
    """A worker before its next step; `operation` is None once it has finished.

    `data` are the bytes that a store puts there. At the end `seen` are the reports of the whole run (kind and
    evidence) and `failed` is what the worker raised.
    """

    __slots__ = ("data", "ended", "failed", "met", "next", "number", "operation", "parent", "round", "seen")

    def __init__(self, parent: Node | None, met: Any, number: int) -> None:
        self.parent = parent
        self.met = met
        self.number = number
        self.operation: Operation | None = None
        self.data: bytes = b""
        self.next: dict[Any, Node] = {}
        self.round = 0
        self.ended = False
        self.seen: tuple[tuple[str, str], ...] = ()
        self.failed: Exception | None = None

    def history(self) -> list[tuple[Node, Any]]:
        """Each node from the root on, with what it met."""
        found = []
        node = self
        while node.parent is not None:
            found.append((node.parent, node.met))
            node = node.parent
        return found[::-1]


class Behaviour:
    """The tree of one worker; `root` is before its first step. `runs` counts how often the text ran.

    `started` are the bytes that its `start` left of the `initial` ones.
    """

    def __init__(self, shape: Shape, index: int, initial: bytes, longest: int) -> None:
        self._shape = shape
        self._initial = initial
        self._longest = longest
        self._content = bytearray(initial)
        self._seen: list[tuple[str, str]] = []
        place = Place(self._content, shape.line, self._step)
        self._worker = SteppedWorker(shape, index, place, self._guard, self._seen)
        self._told: list[tuple[Node, Any]] = []
        self._meets: bytes | None = None
        self._taken = -1
        self._ended = False
        self._trouble: NotDeterministic | None = None
        self.started = b""
        self.nodes = 0
        self.runs = 0
        self.root = self._node(None, None)
        self._at = self.root
        self.learn(self.root, None, initial)

    def _node(self, parent: Node | None, met: Any) -> Node:
        node = Node(parent, met, self.nodes)
        self.nodes += 1
        return node

    def learn(self, node: Node, met: Any, content: bytes | bytearray) -> Node:
        """What comes after this node when it meets that; from there on the worker runs on alone over the content.

        Raises NotDeterministic where the run does not come to the node as it did before.
        """
        self._told = [*node.history(), (node, met)] if node.operation else []
        self._meets = bytes(content)
        self._run()
        return node if not self._told else node.next[met]

    def alone(self) -> list[Node]:
        """The nodes of the first branch: the worker as it runs when nobody else does."""
        nodes = [self.root]
        while nodes[-1].next:
            nodes.append(next(iter(nodes[-1].next.values())))
        return nodes

    def again(self) -> None:
        """Run the first branch once more. Raises NotDeterministic where it differs."""
        self._told = self.alone()[-1].history()
        self._meets = None
        self._run()

    def _run(self) -> None:
        """All rounds of the worker, once more."""
        scenario, worker = self._shape.scenario, self._worker
        self.runs += 1
        self._content[:] = self._initial
        self._seen.clear()
        self._taken = -1  # the step before the first
        self._ended = False
        self._at = self.root
        worker.renew()
        guarded("start", lambda: scenario.start(worker))  # type: ignore[arg-type]
        self.started = self.started or bytes(self._content)
        self._taken = 0
        failed: Exception | None = None
        try:
            with watched():
                for worker.round in range(worker.rounds):  # noqa: B020 - an attribute runs through the range
                    scenario.work(worker)  # type: ignore[arg-type]
        except Abandoned:
            pass
        except CannotRunError:
            raise
        except Exception as error:
            failed = error
        if self._trouble:
            raise self._trouble
        if not self._ended:
            self._settle()
            self._end(failed)
            self._ended = True

    def _end(self, failed: Exception | None) -> None:
        node = self._at
        if node.operation is not None or (node.ended and node.seen != tuple(self._seen)):
            raise self._differs("has finished")
        node.ended = True
        node.seen = tuple(self._seen)
        node.failed = failed
        node.round = self._worker.round

    def _step(self, operation: Operation) -> None:
        """Before each access of the running worker: close the step before it, then lay out what this one meets."""
        if self._taken < 0:
            return
        if self._ended:
            raise Abandoned
        self._settle()
        node, taken = self._at, self._taken
        if node.operation is None and not node.ended:
            node.operation = operation
            node.round = self._worker.round
        elif node.operation is not operation:
            raise self._differs(f"is about to {operation!r}")
        self._taken += 1
        if taken < len(self._told):
            if operation.kind == LOAD:
                self._content[operation.start : operation.end] = self._told[taken][1]
            if taken == len(self._told) - 1 and self._meets is not None:
                self._content[:] = self._meets
        elif taken >= self._longest + len(self._told):
            self._ended = True
            raise Abandoned

    def _settle(self) -> None:
        """Go on to the node after the step that has just been taken."""
        node, taken = self._at, self._taken - 1
        if taken < 0 or node.operation is None:
            return
        operation = node.operation
        met: Any = self._told[taken][1] if taken < len(self._told) else None
        if operation.kind == STORE:
            data = bytes(self._content[operation.start : operation.end])
            if node.next and node.data != data:
                raise self._differs(f"stores {data.hex()[:32]} in place of {node.data.hex()[:32]}")
            node.data = data
        elif operation.kind == LOAD and taken >= len(self._told):
            met = bytes(self._content[operation.start : operation.end])
        elif operation.kind == LOCK and taken >= len(self._told):
            met = GRANTED
        if met not in node.next:
            node.next[met] = self._node(node, met)
        self._at = node.next[met]

    def _differs(self, what: str) -> NotDeterministic:
        """The error to raise; it is remembered, in case that the scenario catches it."""
        meant = self._at.operation
        self._trouble = NotDeterministic(
            f"scenario {self._shape.found.name} is not deterministic: after {max(self._taken, 0):,} steps worker "
            f"{self._worker.index}, having met the same as before, {what}"
            f"{f', and before was about to {meant!r}' if meant else ''}; let only w.memory, w.index, w.round and "
            "w.random decide"
        )
        return self._trouble

    def _guard(self, lock: Operation, unlock: Operation) -> _Hold:
        return _Hold(self, lock, unlock)

    def lock(self, operation: Operation) -> None:
        """A lock of the running worker. Raises Deadlock where it is to be refused."""
        self._step(operation)
        taken = self._taken - 1
        if 0 <= taken < len(self._told) and self._told[taken][1] is REFUSED:
            raise Deadlock(errno.EDEADLK, "Resource deadlock avoided")

    def unlock(self, operation: Operation) -> None:
        """An unlock, which a run that is given up leaves out."""
        if not self._ended:
            self._step(operation)


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


def guarded(method: str, call: Callable[[], Any]) -> Any:
    """Call what the scenario does outside its rounds; its exception becomes a ScenarioError with its place."""
    try:
        return call()
    except LabError:
        raise
    except Exception as error:
        raise ScenarioError(f"{method} raised {raised(error)}; mend the file") from error


def raised(error: BaseException) -> str:
    """An exception of the scenario with the place in its file."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/lab/explore/" not in frame.filename]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
