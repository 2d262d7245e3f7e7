"""The kernel's search for deadlocks among waiting F_SETLKW requests."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

MAX_DEADLK_ITERATIONS = 10
"""The constant of fs/locks.c. The walk gives up after one step more than it says: the longest ring that is noticed
has 12 owners, the 11 of these steps and the caller."""


def closes_ring(
    caller: Hashable,
    blocker: Hashable,
    waiting_for: Callable[[Any], Hashable | None] | Mapping[Any, Hashable],
) -> bool:
    """True when a caller that waited for the blocker would get EDEADLK: the blocker waits for the caller in the end.

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
