"""The same locks, asked for without waiting (F_SETLK, LOCK_NB): a request that is refused raises EAGAIN.

A request made again and again is refused many times while one waiting request is queued once, and every refusal is a
chance for a lock that lies to be noticed. The races that use them are those of `lab.race.soaking`.
"""

from __future__ import annotations

from functools import partial

from lab.errors import UsageError

from .calls import OPERATIONS, RANGE_COMMANDS, call_whole
from .posix import Fcntl, Ofd
from .protocol import Action, Lock


class PolledFcntl(Fcntl):
    """POSIX record locks that do not wait."""

    command = RANGE_COMMANDS["F_SETLK"]


class PolledOfd(Ofd):
    """Open file description locks that do not wait."""

    command = RANGE_COMMANDS["F_OFD_SETLK"]


class PolledFlock:
    """flock(2) that does not wait; one range at a time, since the first unlock gives up the whole file."""

    name = "flock"
    summary = "flock: the whole file, without waiting; owned by the open file"
    has_ranges = False
    excludes = True

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """flock(2) with LOCK_NB; and the unlock."""
        shared, exclusive, unlock = range(len(OPERATIONS))
        return (
            partial(call_whole, descriptor, exclusive if write else shared, wait=False),
            partial(call_whole, descriptor, unlock, wait=False),
        )


POLLED: dict[str, type[Lock]] = {"fcntl": PolledFcntl, "ofd": PolledOfd, "flock": PolledFlock}


def polled(name: str) -> Lock:
    """The lock of this name that does not wait. Raises UsageError where there is none."""
    if name not in POLLED:
        raise UsageError(f"lock {name}: cannot be asked for without waiting; known: {', '.join(POLLED)}")
    return POLLED[name]()
