"""Model the locks of one inode: byte-range locks, the search for deadlocks among them, and the flock(2) lock.

POSIX and open file description locks are in one table and conflict both ways; they differ only in their owner,
a process or an open file description, which makes no difference to the table. It mirrors posix_lock_inode() of Linux,
fs/locks.c (fcntl(2) F_SETLK, F_UNLCK and F_GETLK): owners are in order of arrival, each with its records by start,
and a request that meets several conflicts is answered with the first one in that order. POSIX leaves the choice open,
yet it is visible: in the report of F_GETLK, and in the process that a waiter is assumed to wait for when the kernel
searches for a deadlock among waiting F_SETLKW requests.

A flock(2) lock is one lock for the whole file, shared or exclusive, owned by open file descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from lab.analysis.holds import END, Span

_by_start = attrgetter("start")


class Record(NamedTuple):
    """One lock that is held: bytes from start up to, not including, end; END is infinity."""

    owner: Hashable
    start: int
    end: int
    write: bool

    @property
    def span(self) -> Span:
        """Return the range as fcntl(2) gives it: length 0 runs to infinity."""
        return Span(self.start, 0 if self.end >= END else self.end - self.start, self.write)

    def is_within(self, other: Record) -> bool:
        """Tell whether the other record has these bytes, in the same type."""
        return other.start <= self.start and self.end <= other.end and other.write == self.write


class RecordLocks:
    """The byte-range locks that are held on one inode.

    An owner is any hashable; `==` distinguishes owners. Nothing here checks permission: call `grant` only after
    `conflict` found nothing.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[Record, ...]] = {}

    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        """Return the record that F_GETLK reports: the first conflicting one, by its owner's arrival, then by start.

        An owner arrives with its first record on the inode, and anew after it had none left. None: the span is
        free for this owner, whose own records never conflict. Source: posix_test_lock(), fs/locks.c.
        """
        start, length, write = span
        end = start + length if length else END
        for other, records in self._held.items():
            if other != owner:
                for record in records:
                    if record[1] < end and start < record[2] and (write or record[3]):
                        return record
        return None

    def conflicts(self, owner: Hashable, span: Span) -> list[Record]:
        """Return every record that conflicts with the span for this owner, by start."""
        return [record for record in self.records() if record.owner != owner and record.span.conflicts(span)]

    def grant(self, owner: Hashable, span: Span) -> None:
        """Give the span to the owner in place of what it held there, in one type.

        Records of the same type that touch or overlap become one; those of the other type are cut at the
        edges of the span, and stay apart. Source: posix_lock_inode(), fs/locks.c.
        """
        start, length, write = span
        end = start + length if length else END
        mine = self._held.get(owner)
        if mine is None:
            self._held[owner] = (Record(owner, start, end, write),)
            return
        for _, low, high, kind in mine:
            if kind == write and low <= end and start <= high:
                start, end = min(start, low), max(end, high)
        kept = [*_outside(mine, start, end), Record(owner, start, end, write)]
        self._held[owner] = tuple(sorted(kept, key=_by_start))

    def release(self, owner: Hashable, start: int, length: int) -> None:
        """Free the range of the owner's locks (F_UNLCK); bytes that it did not hold stay as they are."""
        rest = tuple(_outside(self._held.get(owner, ()), start, start + length if length else END))
        if rest:
            self._held[owner] = rest
        else:
            self.drop(owner)

    def drop(self, owner: Hashable) -> None:
        """Free all locks of the owner, as a close or its exit does."""
        self._held.pop(owner, None)

    def of(self, owner: Hashable) -> tuple[Record, ...]:
        """Return the owner's records by start."""
        return self._held.get(owner, ())

    def records(self) -> list[Record]:
        """Return every record, by start; those that start together are in the order of arrival of their owners."""
        return sorted((record for records in self._held.values() for record in records), key=_by_start)

    def key(self, *, arrival: bool = True) -> Hashable:
        """Return a key that is equal for equal tables, to distinguish visited states.

        By default tables are equal when every later answer is the same, so the order of the owners counts.
        Without arrival only the records count: that is enough where no call depends on which conflict comes first,
        neither F_GETLK nor the search for deadlocks, and it makes fewer states.
        """
        return tuple(self._held.values()) if arrival else frozenset(self._held.values())

    def clear(self) -> None:
        """Free everything."""
        self._held.clear()


def _outside(records: tuple[Record, ...], start: int, end: int) -> Iterator[Record]:
    """Yield the parts of the records that remain when the bytes from start up to end are cut out."""
    for record in records:
        owner, low, high, write = record
        if high <= start or end <= low:
            yield record
            continue
        if low < start:
            yield Record(owner, low, start, write)
        if end < high:
            yield Record(owner, end, high, write)


MAX_DEADLK_ITERATIONS = 10
"""The constant of fs/locks.c. The walk stops after one step more than it says: the longest ring that is noticed
has 12 owners, the 11 of these steps and the caller.
"""


def closes_ring(
    caller: Hashable,
    blocker: Hashable,
    waiting_for: Callable[[Any], Hashable | None] | Mapping[Any, Hashable],
) -> bool:
    """Tell whether a caller that waited for the blocker would get EDEADLK: the blocker waits for the caller in the end.

    `waiting_for` returns the owner that an owner waits for, None for one that runs. A ring of 12 owners is
    noticed, one of 13 is not and hangs; so does a ring with an open file description lock for its caller, for
    which this is never called. Source: posix_locks_deadlock() of Linux, fs/locks.c; POSIX.1-2008, fcntl(),
    demands EDEADLK without saying how far to look.
    """
    follow = waiting_for.get if isinstance(waiting_for, Mapping) else waiting_for
    owner: Hashable | None = blocker
    for _ in range(MAX_DEADLK_ITERATIONS + 1):
        owner = follow(owner)
        if owner is None:
            return False
        if owner == caller:
            return True
    return False


class WholeFileLock:
    """The flock(2) lock of one inode; independent of the byte-range locks on it (Linux, local filesystems).

    A conversion is not a step of its own. The kernel first removes the lock that the description has in the other
    type, then requests the new one like any other; `request` does both. A conversion that meets a conflict has
    therefore lost the old lock, whether it then waits or was LOCK_NB and failed. Source:
    flock_lock_inode() of Linux, fs/locks.c; flock(2), "Converting a lock is not guaranteed to be atomic".
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Hashable, bool] = {}

    def conflict(self, owner: Hashable, write: bool) -> Hashable | None:
        """Return the first description that conflicts, by arrival; None when the lock is free for the owner."""
        for other, exclusive in self._held.items():
            if (write or exclusive) and other != owner:
                return other
        return None

    def grant(self, owner: Hashable, write: bool) -> None:
        """Give the lock to the owner, which met no `conflict`; its lock in the other type is released first."""
        if self._held.get(owner) != write:
            self._held.pop(owner, None)
            self._held[owner] = write

    def request(self, owner: Hashable, write: bool) -> Hashable | None:
        """Perform flock(2), LOCK_EX or LOCK_SH; return None when it is granted, else the conflicting description.

        An owner whose conversion is refused holds nothing afterwards.
        """
        blocker = self.conflict(owner, write)
        if blocker is None:
            self.grant(owner, write)
        else:
            self.release(owner)
        return blocker

    def release(self, owner: Hashable) -> None:
        """Release the lock, by LOCK_UN or the last close of the description."""
        self._held.pop(owner, None)

    def holds(self, owner: Hashable) -> bool | None:
        """Return True for exclusive, False for shared, None for nothing."""
        return self._held.get(owner)

    def owners(self) -> list[Hashable]:
        """Return the descriptions that hold it, in order of arrival."""
        return list(self._held)

    def key(self) -> Hashable:
        """Return a key that is equal for equal locks, to distinguish visited states; reader order is ignored."""
        return frozenset(self._held.items())

    def clear(self) -> None:
        """Free the lock."""
        self._held.clear()
