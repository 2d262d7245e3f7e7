"""flock(2) on one inode: one lock for the whole file, shared or exclusive, owned by open file descriptions."""

from __future__ import annotations

from collections.abc import Hashable


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
        """The description that keeps the owner out, the first that came; None when the lock is free for it."""
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
        """True for exclusive, False for shared, None for nothing."""
        return self._held.get(owner)

    def owners(self) -> list[Hashable]:
        """The descriptions that hold it, in the order in which they came."""
        return list(self._held)

    def key(self) -> Hashable:
        """Equal for equal locks, to tell visited states apart; the order in which readers came does not count."""
        return frozenset(self._held.items())

    def clear(self) -> None:
        """Free the lock."""
        self._held.clear()
