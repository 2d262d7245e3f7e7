"""The lock calls of a kernel, over processes, descriptors and files: the model that real mounts are held against.

Nothing here waits. A call that would is remembered, and its process makes no other call until it is woken,
interrupted or killed. Which of several requests gets a lock that has come free is left open by POSIX, so
it is left to the caller: `wakeable` lists who may be next, `wake` picks one.
"""

from __future__ import annotations

import errno

from .files import Description, Inode, Table
from .queue import LockQueue
from .record_locks import Record
from .requests import GRANTED, READ, UNLOCK, WRITE, Answer, Found, Request, refusal
from .waiting import RangeCall, WholeFileCall


class Kernel:
    """Processes are numbers that the caller chooses; files are names, made by their first open.

    File calls raise OSError as those of `os` do. Lock calls return an Answer. A call of a process that waits, or
    was never started, raises ValueError: no kernel would see it.
    """

    def __init__(self) -> None:
        self._names: dict[str, Inode] = {}
        self._tables: dict[int, Table] = {}
        self._queue = LockQueue()

    def start(self, process: int) -> None:
        """A new process with no descriptors."""
        self._tables[process] = Table(process)

    def fork(self, parent: int, child: int, *, share_table: bool = False) -> None:
        """The child has the parent's descriptors and none of its POSIX locks (fork(2)).

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
        """The process ends, by itself or by a signal, also while it waits: its descriptors are closed (_exit(2))."""
        table = self._tables[process]
        del self._tables[process]
        self._queue.discard(process)
        table.users -= 1
        if not table.users:
            table.close_all()
        self._queue.settle()

    def open(self, process: int, name: str, mode: str = "rw", *, close_on_exec: bool = False) -> int:
        """A descriptor of a new description of the file; mode is "r", "w" or "rw" (open(2), O_CREAT)."""
        table = self._table(process)
        inode = self._names.setdefault(name, Inode())
        description = Description(inode, readable="r" in mode, writable="w" in mode)
        return table.add(description, close_on_exec=close_on_exec)

    def dup(self, process: int, number: int) -> int:
        """A second descriptor of the same description; raises OSError EBADF (dup(2))."""
        return self._table(process).add(self.description(process, number))

    def close(self, process: int, number: int) -> None:
        """Close one descriptor, with what `Table.close` drops; raises OSError EBADF (close(2))."""
        self._table(process).close(number)
        self._queue.settle()

    def unlink(self, name: str) -> None:
        """The name goes, and the next open makes another inode; raises OSError ENOENT (unlink(2))."""
        if self._names.pop(name, None) is None:
            raise refusal(errno.ENOENT)

    def descriptors(self, process: int) -> list[int]:
        """The descriptors that the process has."""
        return list(self._table(process).descriptors)

    def description(self, process: int, number: int) -> Description:
        """What a descriptor stands for, to set a position or a size, or to see the locks; raises OSError EBADF."""
        return self._table(process).description(number)

    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        """F_SETLK, F_SETLKW with wait: EAGAIN for a conflict, or EDEADLK for a wait that would never end (fcntl(2))."""
        return self._set(process, number, request, wait=wait, ofd=False)

    def posix_get(self, process: int, number: int, request: Request) -> Answer:
        """F_GETLK: what a POSIX lock would meet; any open mode will do (fcntl(2))."""
        return self._get(process, number, request, ofd=False)

    def ofd_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        """F_OFD_SETLK, F_OFD_SETLKW with wait; never EDEADLK, and EINVAL unless l_pid is 0 (fcntl(2))."""
        return self._set(process, number, request, wait=wait, ofd=True)

    def ofd_get(self, process: int, number: int, request: Request) -> Answer:
        """F_OFD_GETLK; for F_UNLCK the description's own first record in the range (Linux)."""
        return self._get(process, number, request, ofd=True)

    def in_the_way(self, process: int, number: int, request: Request, *, ofd: bool = False) -> list[Answer]:
        """What F_GETLK, or F_OFD_GETLK, may report: POSIX asks for any lock in the way, Linux tells the first.

        Raises OSError as `Description.range_of` does.
        """
        description = self.description(process, number)
        owner, span = description if ofd else self._table(process), description.range_of(request)
        return [_answer(record) for record in description.inode.ranges.conflicts(owner, span)]

    def flock(self, process: int, number: int, kind: int, *, wait: bool = False) -> Answer:
        """READ takes LOCK_SH, WRITE takes LOCK_EX, UNLOCK is LOCK_UN; with LOCK_NB unless wait is given (flock(2)).

        The open mode does not matter on local filesystems. A conversion that is not granted loses the old lock.
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
        """The processes that wait, in order of arrival."""
        return self._queue.waiting()

    def is_in_a_ring(self, process: int) -> bool:
        """True where a waiting process waits for itself in the end, and EDEADLK would be right (POSIX, fcntl())."""
        return self._queue.is_in_a_ring(process)

    def wakeable(self) -> list[int]:
        """The waiting processes whose call could end now, in order of arrival: with the lock, or with EDEADLK."""
        return self._queue.wakeable()

    def wake(self, process: int) -> Answer:
        """One of the wakeable processes runs and takes the lock, or is refused; ValueError for any other."""
        return self._queue.wake(process)

    def interrupt(self, process: int) -> Answer:
        """A signal: the call ends with EINTR and leaves nothing queued (fcntl(2)); ValueError if it does not wait."""
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
    """What F_GETLK tells of this record."""
    if record is None:
        return GRANTED
    return Answer(found=Found(record.owner.pid if isinstance(record.owner, Table) else -1, record.span))


def _refused(error: OSError) -> Answer:
    return Answer(error.errno or errno.EIO)
