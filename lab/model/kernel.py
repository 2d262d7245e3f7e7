"""Model the lock calls of a kernel, over processes, descriptors and files; real mounts are compared with this model.

Nothing here waits. A call that would wait is recorded, and its process makes no other call until it is woken,
interrupted or killed. POSIX leaves open which of several requests gets a lock that has become free, so the caller
chooses: `wakeable` lists the candidates, `wake` picks one.

As in Linux a call waits for one record, the first that conflicts. When that record goes, shrinks or changes type,
the call tries again: it gets the lock, waits for the next conflicting record, or is refused because only now it is in
a ring, and its wait would never end. Linux lets a call that excludes another waiting call wait behind that one, which
grants the lock in the order of arrival; POSIX guarantees no order, and any order is allowed here.

This has one cost. In Linux a call in that place waits, as the search for rings sees it, for what the one before it
waits for, or for nothing, if that one is of a description. Where several holders or waiters conflict with a call,
whether Linux notices a ring can thus differ from here; `is_in_a_ring` reports whether there is one at all. Where each
waiting call conflicts with one holder, as with two processes or with write locks of one byte, it cannot differ.
Source: __locks_insert_block(), what_owner_is_waiting_for(), fs/locks.c.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from lab.analysis.holds import END, Span

from .files import GRANTED, READ, UNLOCK, WAITS, WRITE, Answer, Description, Found, Inode, Request, Table, refusal
from .record_locks import Record, RecordLocks, WholeFileLock, closes_ring


class LockCall(Protocol):
    """One call of F_SETLKW, F_OFD_SETLKW or flock; `on` is the record it waits for, None while it runs."""

    on: Record | None

    @property
    def owner(self) -> Table | Description:
        """Return the future owner of the lock."""

    def take(self) -> Record | None:
        """Acquire the lock, or return the conflicting record."""

    def blocker(self) -> Record | None:
        """Return the record that `take` would meet now."""

    def blockers(self) -> list[Record]:
        """Return every conflicting record; `blocker` is the first of them."""

    def is_blocked(self) -> bool:
        """Tell whether what it waits for is held: the kernel wakes it when that goes, shrinks or changes type."""


@dataclass(eq=False, slots=True)
class RangeCall:
    """A call of F_SETLKW, whose owner is a table, or of F_OFD_SETLKW, whose owner is a description."""

    owner: Table | Description
    locks: RecordLocks
    span: Span
    on: Record | None = None

    def take(self) -> Record | None:
        """Acquire the range, or return the first conflicting record."""
        blocker = self.blocker()
        if blocker is None:
            self.locks.grant(self.owner, self.span)
        return blocker

    def blocker(self) -> Record | None:
        """Return the record that `take` would meet now."""
        return self.locks.conflict(self.owner, self.span)

    def blockers(self) -> list[Record]:
        """Return every conflicting record."""
        return self.locks.conflicts(self.owner, self.span)

    def is_blocked(self) -> bool:
        """Tell whether the record it waits for is held, perhaps as part of a longer one: growing wakes no waiter."""
        return self.on is not None and any(map(self.on.is_within, self.locks.of(self.on.owner)))


@dataclass(eq=False, slots=True)
class WholeFileCall:
    """A call of flock(2), LOCK_SH or LOCK_EX."""

    owner: Description
    lock: WholeFileLock
    write: bool
    on: Record | None = None

    def take(self) -> Record | None:
        """Acquire the lock, or return the conflicting record; then a conversion has lost the old lock."""
        return self._record(self.lock.request(self.owner, self.write))

    def blocker(self) -> Record | None:
        """Return the record that `take` would meet now."""
        return self._record(self.lock.conflict(self.owner, self.write))

    def blockers(self) -> list[Record]:
        """Return every conflicting holder."""
        held = ((other, bool(self.lock.holds(other))) for other in self.lock.owners() if other is not self.owner)
        return [Record(other, 0, END, write) for other, write in held if write or self.write]

    def is_blocked(self) -> bool:
        """Tell whether the lock it waits for is held in the same type."""
        return self.on is not None and self.lock.holds(self.on.owner) == self.on.write

    def _record(self, other: object) -> Record | None:
        """Return the whole file as a record of the description that holds it."""
        return None if other is None else Record(other, 0, END, bool(self.lock.holds(other)))


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
        """Let every call whose record went or changed try again, in order of arrival, after any change of a lock."""
        for call in self._calls.values():
            if not call.is_blocked():
                call.on = None
        for call in self._calls.values():
            if call.on is None:
                blocker = call.blocker()
                if blocker and not self._closes_ring(call, blocker):
                    call.on = blocker

    def waiting(self) -> list[int]:
        """Return the processes that wait, in order of arrival."""
        return list(self._calls)

    def wakeable(self) -> list[int]:
        """Return the waiting processes whose call could end now, with the lock or with EDEADLK."""
        return [process for process, call in self._calls.items() if call.on is None]

    def wake(self, process: int) -> Answer:
        """Let the call of a wakeable process run; raise ValueError for any other."""
        if process not in self.wakeable():
            raise ValueError(f"process {process} has nothing to wake up for")
        return self.ask(process, self._calls.pop(process), wait=True)

    def interrupt(self, process: int) -> Answer:
        """End the call with EINTR; raise ValueError for a process that does not wait."""
        if process not in self._calls:
            raise ValueError(f"process {process} does not wait")
        self.discard(process)
        self.settle()
        return Answer(errno.EINTR)

    def is_in_a_ring(self, process: int) -> bool:
        """Tell whether a waiting process waits for itself, along all locks that conflict with each waiting process.

        This finds more rings than the kernel's search, in which only the first conflicting lock counts.
        """
        visited: set[int] = set()
        ahead = [self._calls[process]]
        while ahead:
            owners = [record.owner for record in ahead.pop().blockers()]
            if self._calls[process].owner in owners:
                return True
            found = {other: call for other, call in self._calls.items() if call.owner in owners}
            nexts = {other: call for other, call in found.items() if other not in visited}
            visited |= nexts.keys()
            ahead += nexts.values()
        return False

    def discard(self, process: int) -> None:
        """Forget the call of a process that has ended, if it has one."""
        self._calls.pop(process, None)

    def _closes_ring(self, call: LockCall, blocker: Record) -> bool:
        return closes_ring(call.owner, blocker.owner, self._waits_for)

    def _waits_for(self, owner: Hashable) -> Hashable | None:
        """Return the owner that this owner waits for, None where it does not wait or waits for a description.

        Only waits for POSIX locks are followed, whichever the waiter, so no ring ever comes back to a description.
        Source: __locks_insert_block() and posix_locks_deadlock(), fs/locks.c.
        """
        for call in reversed(self._calls.values()):
            if call.owner is owner and call.on and isinstance(call.on.owner, Table):
                return call.on.owner
        return None


class Kernel:
    """The kernel: processes are numbers that the caller chooses; files are names, made by their first open.

    File calls raise OSError as those of `os` do. Lock calls return an Answer. A call of a process that waits, or
    was never started, raises ValueError: no kernel would see it.
    """

    def __init__(self) -> None:
        self._names: dict[str, Inode] = {}
        self._tables: dict[int, Table] = {}
        self._queue = LockQueue()

    def start(self, process: int) -> None:
        """Start a new process with no descriptors."""
        self._tables[process] = Table(process)

    def fork(self, parent: int, child: int, *, share_table: bool = False) -> None:
        """Fork a child that has the parent's descriptors and none of its POSIX locks (fork(2)).

        With a shared table (clone(2), CLONE_FILES) it is the same owner as the parent, and its closes are the
        parent's too.
        """
        table = self._table(parent)
        table.users += share_table
        self._tables[child] = table if share_table else table.copy(child)

    def execve(self, process: int) -> None:
        """Close what is marked close-on-exec; the other locks survive (execve(2)). A shared table is copied first."""
        table = self._table(process)
        if table.users > 1:
            table.users -= 1
            table = self._tables[process] = table.copy(process)
        table.close_all(on_exec=True)
        self._queue.settle()

    def exit(self, process: int) -> None:
        """End the process, by itself or by a signal, also while it waits: its descriptors are closed (_exit(2))."""
        table = self._tables[process]
        del self._tables[process]
        self._queue.discard(process)
        table.users -= 1
        if not table.users:
            table.close_all()
        self._queue.settle()

    def open(self, process: int, name: str, mode: str = "rw", how: str = "", *, close_on_exec: bool = False) -> int:
        """Return a descriptor of a new description of the file; mode is "r", "w" or "rw" (open(2), O_CREAT).

        `how` is "excl" for O_EXCL, which raises OSError EEXIST, "existing" for no O_CREAT, which raises ENOENT, or
        "append" for O_APPEND.
        """
        table = self._table(process)
        if how == "excl" and name in self._names:
            raise refusal(errno.EEXIST)
        if how == "existing" and name not in self._names:
            raise refusal(errno.ENOENT)
        inode = self._names.setdefault(name, Inode())
        description = Description(inode, readable="r" in mode, writable="w" in mode, appends=how == "append")
        return table.add(description, close_on_exec=close_on_exec)

    def dup(self, process: int, number: int) -> int:
        """Return a second descriptor of the same description; raise OSError EBADF (dup(2))."""
        return self._table(process).add(self.description(process, number))

    def close(self, process: int, number: int) -> None:
        """Close one descriptor, with what `Table.close` drops; raise OSError EBADF (close(2))."""
        self._table(process).close(number)
        self._queue.settle()

    def unlink(self, name: str) -> None:
        """Remove the name, so that the next open makes another inode; raise OSError ENOENT (unlink(2))."""
        if self._names.pop(name, None) is None:
            raise refusal(errno.ENOENT)

    def mkdir(self, name: str) -> None:
        """Make a directory, of which only the name is modelled; raise OSError EEXIST (mkdir(2))."""
        if name in self._names:
            raise refusal(errno.EEXIST)
        self._names[name] = Inode()

    def link(self, name: str, other: str) -> None:
        """Give a file a further name; raise OSError ENOENT, EEXIST where the other name is taken (link(2))."""
        if name not in self._names:
            raise refusal(errno.ENOENT)
        if other in self._names:
            raise refusal(errno.EEXIST)
        self._names[other] = self._names[name]

    def rename(self, name: str, other: str) -> None:
        """Give a file another name in place of this one, whatever had it before; raise OSError ENOENT (rename(2))."""
        if name not in self._names:
            raise refusal(errno.ENOENT)
        if self._names.get(other) is not self._names[name]:
            self._names[other] = self._names.pop(name)

    def names(self) -> list[str]:
        """Return all names (readdir(3))."""
        return list(self._names)

    def links(self, inode: Inode) -> int:
        """Return how many names lead to it (stat(2), st_nlink)."""
        return sum(each is inode for each in self._names.values())

    def descriptors(self, process: int) -> list[int]:
        """Return the descriptors that the process has."""
        return list(self._table(process).descriptors)

    def description(self, process: int, number: int) -> Description:
        """Return the description of a descriptor, to set position or size, or to see the locks; raise OSError EBADF."""
        return self._table(process).description(number)

    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        """Perform F_SETLK, F_SETLKW with wait: EAGAIN for a conflict, EDEADLK for a wait without end (fcntl(2))."""
        return self._set(process, number, request, wait=wait, ofd=False)

    def posix_get(self, process: int, number: int, request: Request) -> Answer:
        """Perform F_GETLK, which finds what a POSIX lock would meet; any open mode is allowed (fcntl(2))."""
        return self._get(process, number, request, ofd=False)

    def ofd_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        """Perform F_OFD_SETLK, F_OFD_SETLKW with wait; never EDEADLK, and EINVAL unless l_pid is 0 (fcntl(2))."""
        return self._set(process, number, request, wait=wait, ofd=True)

    def ofd_get(self, process: int, number: int, request: Request) -> Answer:
        """Perform F_OFD_GETLK; for F_UNLCK it finds the description's own first record in the range (Linux)."""
        return self._get(process, number, request, ofd=True)

    def in_the_way(self, process: int, number: int, request: Request, *, ofd: bool = False) -> list[Answer]:
        """Return what F_GETLK or F_OFD_GETLK may report: POSIX asks for any conflicting lock, Linux reports the first.

        Raises OSError as `Description.range_of` does.
        """
        description = self.description(process, number)
        owner, span = description if ofd else self._table(process), description.range_of(request)
        return [_answer(record) for record in description.inode.ranges.conflicts(owner, span)]

    def flock(self, process: int, number: int, kind: int, *, wait: bool = False) -> Answer:
        """Perform the call, with LOCK_NB unless `wait` is given (flock(2)).

        READ is LOCK_SH, WRITE is LOCK_EX, UNLOCK is LOCK_UN. The open mode does not matter on local filesystems.
        A conversion that is not granted loses the old lock.
        """
        try:
            description = self.description(process, number)
        except OSError as error:
            return _refused(error)
        if kind not in (READ, WRITE, UNLOCK):
            return Answer(errno.EINVAL)
        whole = description.inode.whole
        if kind == UNLOCK:
            whole.release(description)
            self._queue.settle()
            return GRANTED
        return self._queue.ask(process, WholeFileCall(description, whole, kind == WRITE), wait=wait)

    def waiting(self) -> list[int]:
        """Return the processes that wait, in order of arrival."""
        return self._queue.waiting()

    def is_in_a_ring(self, process: int) -> bool:
        """Tell whether a waiting process waits for itself in the end: EDEADLK would be right (POSIX, fcntl())."""
        return self._queue.is_in_a_ring(process)

    def wakeable(self) -> list[int]:
        """Return the waiting processes whose call could end now, with the lock or EDEADLK, in order of arrival."""
        return self._queue.wakeable()

    def wake(self, process: int) -> Answer:
        """Let one of the wakeable processes run: it acquires the lock or is refused; raise ValueError for any other."""
        return self._queue.wake(process)

    def interrupt(self, process: int) -> Answer:
        """End the call by a signal, with EINTR and nothing queued (fcntl(2)); raise ValueError if it does not wait."""
        return self._queue.interrupt(process)

    def _set(self, process: int, number: int, request: Request, *, wait: bool, ofd: bool) -> Answer:
        try:
            description = self.description(process, number)
            span = description.range_of(request)
            description.check_mode(request.kind)
        except OSError as error:
            return _refused(error)
        if ofd and request.pid:
            return Answer(errno.EINVAL)
        owner, ranges = description if ofd else self._table(process), description.inode.ranges
        if request.kind == UNLOCK:
            ranges.release(owner, span.start, span.length)
            self._queue.settle()
            return GRANTED
        return self._queue.ask(process, RangeCall(owner, ranges, span), wait=wait)

    def _get(self, process: int, number: int, request: Request, *, ofd: bool) -> Answer:
        try:
            description = self.description(process, number)
            if not ofd and request.kind not in (READ, WRITE):
                raise refusal(errno.EINVAL)
            span = description.range_of(request)
        except OSError as error:
            return _refused(error)
        if ofd and request.pid:
            return Answer(errno.EINVAL)
        ranges = description.inode.ranges
        if request.kind == UNLOCK:
            own = (r for r in ranges.of(description) if r.start < span.end and span.start < r.end)
            return _answer(next(own, None))
        return _answer(ranges.conflict(description if ofd else self._table(process), span))

    def _table(self, process: int) -> Table:
        if process in self._queue or process not in self._tables:
            raise ValueError(f"process {process} waits, or was not started")
        return self._tables[process]


def _answer(record: Record | None) -> Answer:
    """Return the report of F_GETLK on this record."""
    if record is None:
        return GRANTED
    return Answer(found=Found(record.owner.pid if isinstance(record.owner, Table) else -1, record.span))


def _refused(error: OSError) -> Answer:
    return Answer(error.errno or errno.EIO)
