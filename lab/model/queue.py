"""Who waits for a lock: when a waiting call tries again, and when it is refused because the wait would never end.

As in Linux a call waits for one record, the first in its way. When that record goes, shrinks or changes type,
the call tries again: it gets the lock, waits for the next record in its way, or finds only now that it is in a
ring. Linux lets a call that excludes another waiting call wait behind that one, which gives the lock in the order
of arrival; POSIX promises no order, and any is allowed here.

The price: there a call in that place waits, as the search for rings sees it, for what the one before it waits for,
or for nobody, if that one is of a description. Where several holders or waiters are in the way of a call, whether
Linux notices a ring can thus differ from here; `is_in_a_ring` tells whether there is one at all. Where each waiting
call has one holder in its way, as with two processes or with write locks of one byte, it cannot. Source:
__locks_insert_block(), what_owner_is_waiting_for(), fs/locks.c.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable

from .deadlock import closes_ring
from .files import Table
from .record_locks import Record
from .requests import GRANTED, WAITS, Answer
from .waiting import LockCall


class LockQueue:
    """The waiting calls of every process and every inode; a process has one at most."""

    def __init__(self) -> None:
        self._calls: dict[int, LockCall] = {}

    def __contains__(self, process: int) -> bool:
        return process in self._calls

    def ask(self, process: int, call: LockCall, *, wait: bool) -> Answer:
        """Make the call: granted, EAGAIN for one that may not wait, EDEADLK for one that closes a ring, or waiting."""
        blocker = call.take()
        answer = GRANTED
        if blocker and not wait:
            answer = Answer(errno.EAGAIN)
        elif blocker and self._closes_ring(call, blocker):
            answer = Answer(errno.EDEADLK)
        elif blocker:
            answer = WAITS
            call.on = blocker
            self._calls[process] = call
        self.settle()
        return answer

    def settle(self) -> None:
        """After any change of a lock: every call whose record went or changed tries again, in order of arrival."""
        for call in self._calls.values():
            if not call.is_blocked():
                call.on = None
        for call in self._calls.values():
            if call.on is None:
                blocker = call.blocker()
                if blocker and not self._closes_ring(call, blocker):
                    call.on = blocker

    def waiting(self) -> list[int]:
        """The processes that wait, in order of arrival."""
        return list(self._calls)

    def wakeable(self) -> list[int]:
        """Those of them whose call could end now, with the lock or with EDEADLK."""
        return [process for process, call in self._calls.items() if call.on is None]

    def wake(self, process: int) -> Answer:
        """Let the call of a wakeable process run; ValueError for any other."""
        if process not in self.wakeable():
            raise ValueError(f"process {process} has nothing to wake up for")
        return self.ask(process, self._calls.pop(process), wait=True)

    def interrupt(self, process: int) -> Answer:
        """End the call with EINTR; ValueError for a process that does not wait."""
        if process not in self._calls:
            raise ValueError(f"process {process} does not wait")
        self.discard(process)
        self.settle()
        return Answer(errno.EINTR)

    def is_in_a_ring(self, process: int) -> bool:
        """True where a waiting process waits for itself, along any of the locks in the way of each who waits.

        A wider ring than the one that is looked for: only the first lock in the way counts there.
        """
        met: set[int] = set()
        ahead = [self._calls[process]]
        while ahead:
            owners = [record.owner for record in ahead.pop().blockers()]
            if self._calls[process].owner in owners:
                return True
            nexts = {other: call for other, call in self._calls.items() if call.owner in owners and other not in met}
            met |= nexts.keys()
            ahead += nexts.values()
        return False

    def discard(self, process: int) -> None:
        """Forget the call of a process that is no more, if it has one."""
        self._calls.pop(process, None)

    def _closes_ring(self, call: LockCall, blocker: Record) -> bool:
        return closes_ring(call.owner, blocker.owner, self._waits_for)

    def _waits_for(self, owner: Hashable) -> Hashable | None:
        """Only waits for POSIX locks are followed, whoever waits, so no ring ever comes back to a description.

        Source: __locks_insert_block() and posix_locks_deadlock(), fs/locks.c.
        """
        for call in reversed(self._calls.values()):
            if call.owner is owner and call.on and isinstance(call.on.owner, Table):
                return call.on.owner
        return None
