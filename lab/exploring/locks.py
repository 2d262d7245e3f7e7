"""Make each lock a state machine over its model, with states numbered from 0, in which all is free.

The models change in place, and a search goes back and forth. So every state that is met is built once, and what each
operation leads to in it is remembered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any

from lab.analysis.holds import Span
from lab.errors import CannotRunError
from lab.locking.registry import MODELLED, OWN
from lab.model.record_locks import RecordLocks, WholeFileLock

from .operation import Operation

Blocked = tuple[int | None, int]
"""The worker that conflicts, or None; and the state that follows, the same one where the request can only wait."""


class LockStates(ABC):
    """The states of a lock and what requests of workers do in them; with `detects` rings of them get EDEADLK."""

    detects = False

    def __init__(self) -> None:
        self._keys: list[Hashable] = []
        self._numbers: dict[Hashable, int] = {}
        self._asked: dict[tuple[int, int, Operation], Blocked] = {}
        self._freed: dict[tuple[int, int, Operation], int] = {}
        self._parts: dict[tuple[int, int], int] = {}
        self._different: dict[Hashable, int] = {None: 0}

    def request(self, state: int, worker: int, operation: Operation) -> Blocked:
        """Return no blocker and the state once the lock is granted, or its blocker and the state until then.

        That is another state where the request itself releases something: flock(2) made exclusive.
        """
        key = state, worker, operation
        try:
            return self._asked[key]
        except KeyError:
            answer = self._asked[key] = self._request(state, worker, operation.span)
            return answer

    def is_free(self, state: int) -> bool:
        """Return True where no worker holds anything."""
        return not state

    @abstractmethod
    def blocker(self, state: int, worker: int, operation: Operation) -> int | None:
        """Return the other worker that keeps this lock from being granted, whatever the worker itself holds."""

    def release(self, state: int, worker: int, operation: Operation) -> int:
        """Return the state after an unlock."""
        key = state, worker, operation
        try:
            return self._freed[key]
        except KeyError:
            after = self._freed[key] = self._release(state, worker, operation.span)
            return after

    def drop(self, state: int, worker: int) -> int:
        """Return the state once the worker is gone: whatever it still held is free."""
        return self._drop(state, worker) if state else state

    def part(self, state: int, worker: int) -> int:
        """Return the number of what a worker holds, and of its place among the holders where that matters; 0: nothing.

        Where workers swap their parts, what follows any request is the same but for the workers' names.
        """
        key = state, worker
        if key not in self._parts:
            self._parts[key] = self._different.setdefault(self._part(state, worker), len(self._different))
        return self._parts[key]

    def _number(self, key: Hashable) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return self._numbers[key]

    @abstractmethod
    def _request(self, state: int, worker: int, span: Span) -> Blocked: ...

    @abstractmethod
    def _release(self, state: int, worker: int, span: Span) -> int: ...

    @abstractmethod
    def _drop(self, state: int, worker: int) -> int: ...

    @abstractmethod
    def _part(self, state: int, worker: int) -> Hashable: ...


class Ranges(LockStates):
    """Byte-range locks, owned by the worker: POSIX ones look for deadlocks, those of open files do not."""

    def __init__(self, *, detects: bool) -> None:
        super().__init__()
        self.detects = detects
        self._number(self._key(RecordLocks()))

    def _key(self, table: RecordLocks) -> Hashable:
        return table.key(arrival=self.detects)

    def _table(self, state: int) -> RecordLocks:
        table = RecordLocks()
        for records in self._keys[state]:  # type: ignore[attr-defined]
            for record in records:
                table.grant(record.owner, record.span)
        return table

    def blocker(self, state: int, worker: int, operation: Operation) -> int | None:
        """Return the owner of the first record that conflicts."""
        record = self._table(state).conflict(worker, operation.span)
        return None if record is None else record.owner  # type: ignore[return-value]

    def _request(self, state: int, worker: int, span: Span) -> Blocked:
        table = self._table(state)
        record = table.conflict(worker, span)
        if record is not None:
            return record.owner, state  # type: ignore[return-value]
        table.grant(worker, span)
        return None, self._number(self._key(table))

    def _release(self, state: int, worker: int, span: Span) -> int:
        table = self._table(state)
        table.release(worker, span.start, span.length)
        return self._number(self._key(table))

    def _drop(self, state: int, worker: int) -> int:
        table = self._table(state)
        table.drop(worker)
        return self._number(self._key(table))

    def _part(self, state: int, worker: int) -> Hashable:
        owners: Any = self._keys[state]
        for place, records in enumerate(owners):
            if records[0].owner == worker:
                return place if self.detects else 0, *(record.span for record in records)
        return None


class Whole(LockStates):
    """flock(2) as the lab uses it: every range is the whole file, and the last one released unlocks.

    A state is how many ranges each worker holds, and whether exclusively: True, False, or None for one that gave up its
    shared lock to make it exclusive, and waits. An exclusive one stays so until the last range is released.
    """

    def __init__(self) -> None:
        super().__init__()
        self._number(())

    def _held(self, state: int) -> dict[int, tuple[bool | None, int]]:
        return dict(self._keys[state])  # type: ignore[call-overload, no-any-return]

    def _state(self, held: dict[int, tuple[bool | None, int]]) -> int:
        return self._number(tuple(sorted(held.items(), key=lambda each: each[0])))

    def is_free(self, state: int) -> bool:
        """Return True where no worker holds a lock; one that gave up its shared lock holds none."""
        return all(exclusive is None for exclusive, _ in self._held(state).values())

    def blocker(self, state: int, worker: int, operation: Operation) -> int | None:
        """Return another holder, where one of the two is exclusive."""
        return self._conflict(self._held(state), worker, write=operation.write)

    def _conflict(self, held: dict[int, tuple[bool | None, int]], worker: int, *, write: bool) -> int | None:
        lock = WholeFileLock()
        for owner, (exclusive, _) in held.items():
            if exclusive is not None:
                lock.grant(owner, exclusive)
        return lock.conflict(worker, write)  # type: ignore[return-value]

    def _request(self, state: int, worker: int, span: Span) -> Blocked:
        """Make a shared lock exclusive: in one step where no other worker holds one, else it is released first."""
        held = self._held(state)
        exclusive, depth = held.get(worker, (None, 0))
        if depth and (exclusive or not span.write):
            return None, self._state({**held, worker: (exclusive, depth + 1)})
        blocker = self._conflict(held, worker, write=span.write)
        if blocker is not None:
            return blocker, self._state({**held, worker: (None, depth)}) if depth else state
        return None, self._state({**held, worker: (span.write, depth + 1)})

    def _release(self, state: int, worker: int, span: Span) -> int:
        held = self._held(state)
        exclusive, depth = held.pop(worker)
        return self._state({**held, worker: (exclusive, depth - 1)} if depth > 1 else held)

    def _drop(self, state: int, worker: int) -> int:
        held = self._held(state)
        held.pop(worker, None)
        return self._state(held)

    def _part(self, state: int, worker: int) -> Hashable:
        return self._held(state).get(worker)


def check_modelled(lock: str) -> None:
    """Raise CannotRunError for a lock that has no model."""
    if lock not in MODELLED:
        raise CannotRunError(
            f"lock {lock}: the explorer has no model of it, only of {', '.join(MODELLED)}; race it (lab race)"
        )


def states_of(lock: str) -> LockStates:
    """Return the states of this lock. Raises CannotRunError where it has no model."""
    check_modelled(lock)
    return Whole() if OWN[lock].whole_file else Ranges(detects=OWN[lock].finds_deadlocks)
