"""A lock call that may have to wait: what stands in its way, and what it gets when nothing does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .files import Description, Table
from .holds import END, Span
from .record_locks import Record, RecordLocks
from .whole_file import WholeFileLock


class LockCall(Protocol):
    """One call of F_SETLKW, F_OFD_SETLKW or flock; `on` is the record it waits for, None while it runs."""

    on: Record | None

    @property
    def owner(self) -> Table | Description:
        """Who will own the lock."""

    def take(self) -> Record | None:
        """Take the lock; or the record in the way."""

    def blocker(self) -> Record | None:
        """What `take` would meet now."""

    def blockers(self) -> list[Record]:
        """Every record in the way, where `blocker` is the first."""

    def is_blocked(self) -> bool:
        """True while what it waits for is held: the kernel wakes it when that record goes, shrinks or changes type."""


@dataclass(eq=False, slots=True)
class RangeCall:
    """F_SETLKW, whose owner is a table, or F_OFD_SETLKW, whose owner is a description."""

    owner: Table | Description
    locks: RecordLocks
    span: Span
    on: Record | None = None

    def take(self) -> Record | None:
        """Take the range; or the first record in the way."""
        blocker = self.blocker()
        if blocker is None:
            self.locks.grant(self.owner, self.span)
        return blocker

    def blocker(self) -> Record | None:
        """What `take` would meet now."""
        return self.locks.conflict(self.owner, self.span)

    def blockers(self) -> list[Record]:
        """Every record in the way."""
        return self.locks.conflicts(self.owner, self.span)

    def is_blocked(self) -> bool:
        """True while the record it waits for is held, be it as part of a longer one: growing wakes nobody."""
        return self.on is not None and any(map(self.on.is_within, self.locks.of(self.on.owner)))


@dataclass(eq=False, slots=True)
class WholeFileCall:
    """flock(2), LOCK_SH or LOCK_EX."""

    owner: Description
    lock: WholeFileLock
    write: bool
    on: Record | None = None

    def take(self) -> Record | None:
        """Take the lock; or what is in the way, and then a conversion has lost the old lock."""
        return self._record(self.lock.request(self.owner, self.write))

    def blocker(self) -> Record | None:
        """What `take` would meet now."""
        return self._record(self.lock.conflict(self.owner, self.write))

    def blockers(self) -> list[Record]:
        """Every holder in the way."""
        held = ((other, bool(self.lock.holds(other))) for other in self.lock.owners() if other is not self.owner)
        return [Record(other, 0, END, write) for other, write in held if write or self.write]

    def is_blocked(self) -> bool:
        """True while the lock it waits for is held in the same type."""
        return self.on is not None and self.lock.holds(self.on.owner) == self.on.write

    def _record(self, other: object) -> Record | None:
        """The whole file as a record of the description that holds it."""
        return None if other is None else Record(other, 0, END, bool(self.lock.holds(other)))
