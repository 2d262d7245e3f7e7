"""A world for tests: worker A is handed over to worker B at one chosen point, deterministically.

Both workers live in this process, over one bytearray. Just before the n-th store of A (or between the halves of a
bulk store) B runs a whole round; under a lock B is refused where a real one would wait, and the hand-over counts as
impossible. That is every schedule with one preemption at a store: enough to break each race that a lock cures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

from lab.model.holds import Span
from lab.race.window import WidenedBytes, widened
from lab.scenario import Damage, Layout, Outcome, Scenario


class WouldWaitError(Exception):
    """B asked for what A holds: in the real world it would wait, so no hand-over is possible here."""


class Shared:
    """The bytes, the holds, and what was seen: all that the workers have in common."""

    def __init__(self, scenario: Scenario, workers: int, rounds: int, *, locked: bool) -> None:
        scenario.Memory = scenario.layout(workers, rounds)
        self.layout = Layout(scenario.Memory)
        self.content = bytearray(self.layout.size)
        self.memory = scenario.Memory.from_buffer(self.content)
        self.held: list[tuple[int, Span]] = []
        self.seen: list[str] = []
        self.locked = locked
        scenario.prepare(self.memory)


class ScriptedWorker:
    """`lab.Worker` over the shared bytes; `at_store` is called before each store."""

    def __init__(self, shared: Shared, index: int, workers: int, rounds: int, at_store: Callable[[], None]) -> None:
        self.index, self.workers, self.round, self.rounds = index, workers, 0, rounds
        self.local = SimpleNamespace()
        self.path = ""
        self.random = Random(index)
        self.memory = widened(shared.memory, at_store)
        self._shared = shared
        self._at_store = at_store

    @contextmanager
    def _lock(self, span: Span) -> Iterator[None]:
        if not self._shared.locked:
            yield
            return
        if any(owner != self.index and span.conflicts(held) for owner, held in self._shared.held):
            raise WouldWaitError
        self._shared.held.append((self.index, span))
        yield
        self._shared.held.remove((self.index, span))

    def write_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> Any:
        return self._lock(Span(*self._shared.layout.extent(field, index, count), write=True))

    def read_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> Any:
        return self._lock(Span(*self._shared.layout.extent(field, index, count), write=False))

    def bytes(self, field: Any, index: int | None = None, count: int = 1) -> Any:
        start, length = self._shared.layout.extent(field, index, count)
        return WidenedBytes(memoryview(self._shared.content)[start : start + length], self._at_store)

    def damaged(self, kind: str, evidence: str = "") -> None:
        self._shared.seen.append(kind)

    def pause(self) -> None:
        pass

    def unavailable(self, *_: Any) -> Any:
        raise NotImplementedError("not in the scripted world")

    reopen = stale = twin = child = die = unavailable


def hand_overs(kind: type[Scenario], rounds: int, *, locked: bool) -> Iterator[list[str]]:
    """The damage of each possible hand-over: A and B do `rounds` each, B's first in the middle of one of A's."""
    for point in range(1000):
        damage = _handed_over(kind(), rounds, point, locked=locked)
        if damage is None:
            return
        yield damage


def _handed_over(scenario: Scenario, rounds: int, point: int, *, locked: bool) -> list[str] | None:
    """The kinds of damage when A is interrupted at its store number `point`; None when it has fewer stores."""
    shared = Shared(scenario, 2, rounds, locked=locked)
    stores = 0

    def at_store() -> None:
        nonlocal stores
        stores += 1
        if stores == point + 1:
            run(second, 0, rounds)

    first = ScriptedWorker(shared, 0, 2, rounds, at_store)
    second = ScriptedWorker(shared, 1, 2, rounds, lambda: None)

    def run(worker: ScriptedWorker, start: int, stop: int) -> None:
        for worker.round in range(start, stop):
            scenario.work(worker)

    scenario.start(first)
    scenario.start(second)
    try:
        run(first, 0, rounds)
    except WouldWaitError:
        return []
    if stores <= point:
        return None
    found = scenario.check(shared.memory, Outcome(rounds=2 * rounds, by_worker=[rounds, rounds]))
    damage = [found] if isinstance(found, Damage) else list(found)
    return [each.kind for each in damage if each.count] + shared.seen
