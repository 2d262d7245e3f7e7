"""Byte-range locks on one inode: what fcntl(2) F_SETLK, F_UNLCK and F_GETLK do to one another.

POSIX and open file description locks live in one table and conflict both ways; they differ only in who the owner
is, a process or an open file description, and the table does not ask. It mirrors posix_lock_inode() of Linux,
fs/locks.c: owners stand in the order in which they came, each with its records by start, and a request that meets
several conflicts is answered with the first one in that order. POSIX leaves the choice open, yet it shows: in what
F_GETLK reports, and in which process a waiter is taken to wait for when the kernel looks for a deadlock.

The kernel's search for deadlocks among waiting F_SETLKW requests.

flock(2) on one inode: one lock for the whole file, shared or exclusive, owned by open file descriptions.
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
        """Return the range as fcntl(2) tells it: length 0 runs to infinity."""
        return Span(self.start, 0 if self.end >= END else self.end - self.start, self.write)

    def is_within(self, other: Record) -> bool:
        """Return True when the other record has these bytes, in the same type."""
        return other.start <= self.start and self.end <= other.end and other.write == self.write


class RecordLocks:
    """The byte-range locks that are held on one inode.

    An owner is any hashable; `==` tells owners apart. Nothing here asks for permission: `grant` is for who
    saw no `conflict` first.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[Record, ...]] = {}

    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        """Return the record that F_GETLK reports: the first conflicting one, by its owner's arrival, then by start.

        An owner arrives with its first record on the inode, and anew once it had none left. None: the span is
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
        """Return every record that keeps the owner from the span, by start."""
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
        """F_UNLCK: free the range of the owner's locks; what it did not hold there stays as it is."""
        rest = tuple(_outside(self._held.get(owner, ()), start, start + length if length else END))
        if rest:
            self._held[owner] = rest
        else:
            self.drop(owner)

    def drop(self, owner: Hashable) -> None:
        """Free all that the owner holds, as a close or its exit does."""
        self._held.pop(owner, None)

    def of(self, owner: Hashable) -> tuple[Record, ...]:
        """Return the owner's records by start."""
        return self._held.get(owner, ())

    def records(self) -> list[Record]:
        """Return every record, by start; those that start together in the order in which their owners came."""
        return sorted((record for records in self._held.values() for record in records), key=_by_start)

    def key(self, *, arrival: bool = True) -> Hashable:
        """Equal for equal tables, to tell visited states apart.

        By default tables are equal when every later answer is the same, so the order of the owners counts.
        Without arrival only the records count: that is enough where nobody asks which conflict comes first,
        neither F_GETLK nor the search for deadlocks, and it makes fewer states.
        """
        return tuple(self._held.values()) if arrival else frozenset(self._held.values())

    def clear(self) -> None:
        """Free everything."""
        self._held.clear()


def _outside(records: tuple[Record, ...], start: int, end: int) -> Iterator[Record]:
    """What is left of the records when the bytes from start up to end are cut out."""
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
"""The constant of fs/locks.c. The walk gives up after one step more than it says: the longest ring that is noticed
has 12 owners, the 11 of these steps and the caller."""


def closes_ring(
    caller: Hashable,
    blocker: Hashable,
    waiting_for: Callable[[Any], Hashable | None] | Mapping[Any, Hashable],
) -> bool:
    """Return True when a caller that waited for the blocker would get EDEADLK: the blocker waits for the caller in the end.

    `waiting_for` gives the owner that an owner waits for, None for one that runs. A ring of 12 owners is
    noticed, one of 13 is not and hangs; so does a ring with an open file description lock for its caller, for
    which this is never asked. Source: posix_locks_deadlock() of Linux, fs/locks.c; POSIX.1-2008, fcntl(),
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
    """Who holds the flock(2) lock of one inode; independent of the byte-range locks on it (Linux, local filesystems).

    A conversion is no step of its own. The kernel first removes the lock that the description has in the other
    type, then asks for the new one as anybody would; `request` does both. A conversion that meets a conflict has
    therefore lost the old lock, whether it goes on to wait or was LOCK_NB and failed. Source:
    flock_lock_inode() of Linux, fs/locks.c; flock(2), "Converting a lock is not guaranteed to be atomic".
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Hashable, bool] = {}

    def conflict(self, owner: Hashable, write: bool) -> Hashable | None:
        """Return the description that keeps the owner out, the first that came; None when the lock is free for it."""
        for other, exclusive in self._held.items():
            if (write or exclusive) and other != owner:
                return other
        return None

    def grant(self, owner: Hashable, write: bool) -> None:
        """Give the lock to the owner, which saw no `conflict`; the lock it has in the other type goes first."""
        if self._held.get(owner) != write:
            self._held.pop(owner, None)
            self._held[owner] = write

    def request(self, owner: Hashable, write: bool) -> Hashable | None:
        """One call of flock(2), LOCK_EX or LOCK_SH: None when it is granted, else the description in the way.

        An owner whose conversion is refused holds nothing afterwards.
        """
        blocker = self.conflict(owner, write)
        if blocker is None:
            self.grant(owner, write)
        else:
            self.release(owner)
        return blocker

    def release(self, owner: Hashable) -> None:
        """LOCK_UN, or the last close of the description."""
        self._held.pop(owner, None)

    def holds(self, owner: Hashable) -> bool | None:
        """Return True for exclusive, False for shared, None for nothing."""
        return self._held.get(owner)

    def owners(self) -> list[Hashable]:
        """Return the descriptions that hold it, in the order in which they came."""
        return list(self._held)

    def key(self) -> Hashable:
        """Equal for equal locks, to tell visited states apart; the order in which readers came does not count."""
        return frozenset(self._held.items())

    def clear(self) -> None:
        """Free the lock."""
        self._held.clear()
