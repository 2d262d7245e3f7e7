"""Record what programs do to shared files from outside, by the system calls at which a tracer stops them.

It writes the logs that the preloaded library writes, for programs into which nothing can be preloaded. There is a
function for each system call: it writes the event, and returns what completes it when the call returns.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from struct import unpack
from time import monotonic_ns as now

from lab.analysis.watched import APPENDS, ENDS_LINE, EXCLUSIVE, RELEASED, WAITS, Kind
from lab.processes import ptrace
from lab.processes.follower import Finish

from .log import Entry
from .traced import AT_FDCWD, CHANNEL, Process
from .tracing import Call, Tracing

AT_REMOVEDIR = 0x200
F_DUPFD, F_SETFL, F_DUPFD_CLOEXEC = 0, 4, 1030
F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW = 6, 7, 37, 38
F_RDLCK, F_WRLCK = 0, 1
LOCK_SH, LOCK_EX, LOCK_NB = 1, 2, 4
CLOSE_RANGE_CLOEXEC = 4
PUNCH_HOLE, COLLAPSE, ZERO_RANGE, INSERT = 2, 8, 16, 32
MAP_SHARED, PROT_WRITE, PROT_EXEC = 1, 2, 4
CLD_DUMPED, WNOWAIT = 3, 0x0100_0000

COMMANDS = (F_DUPFD, F_SETFL, F_DUPFD_CLOEXEC, F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW)
UNSEEN = "what mutexes, semaphores and atomic words in shared memory order: they make no system call"


class Outside(Tracing):
    """The system calls of programs that are traced."""

    CALLS = (
        "read", "write", "close", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2",
        "fcntl", "flock", "ftruncate", "truncate", "fallocate", "open", "openat", "openat2", "creat", "dup", "dup2",
        "dup3", "close_range", "sendfile", "copy_file_range", "splice", "mmap", "munmap", "rename", "renameat",
        "renameat2", "unlink", "unlinkat", "wait4", "waitid", "exit_group", "execve", "execveat",
    )  # fmt: skip

    @classmethod
    def filters(cls) -> tuple[object, ...]:
        """Return at what programs stop, as `lab.processes.ptrace.stop_at` takes it."""
        number = ptrace.numbers_here()
        if not number:
            return (), {}, {}
        fcntl, mmap = number.pop("fcntl"), number.pop("mmap")
        calls = [number[name] for name in cls.CALLS if name in number]
        return calls, {fcntl: (1, COMMANDS)}, {mmap: (3, ptrace.MAP_ANONYMOUS)}

    # -- Descriptors

    def _opens(self, call: Call, at: int, place: int, flags: int) -> Finish:
        its = call.its

        def finish(fd: int) -> None:
            kind, file, finished = Kind.OPEN, 0, now()
            if fd >= 0:
                its.fds.pop(fd, None)
                opened = self._regular(its, fd)
                file = opened.file if opened else 0
            elif fd == -errno.EEXIST and flags & os.O_EXCL:
                kind = Kind.TAKEN
                file, _ = its.named(at, its.text(call.arguments[place]), self._files, follow=True)
            if file:
                entry = self._entry(call, kind, file, max(fd, -1))
                entry.other, entry.finish, entry.result = flags, finished, min(fd, 0)
                self._put(its, entry)

        return finish

    def _open_(self, call: Call) -> Finish:
        return self._opens(call, AT_FDCWD, 0, call.number(1))

    def _openat_(self, call: Call) -> Finish:
        return self._opens(call, call.number(0), 1, call.number(2))

    def _openat2_(self, call: Call) -> Finish:
        return self._opens(call, call.number(0), 1, call.its.word(call.arguments[2]))

    def _creat_(self, call: Call) -> Finish:
        return self._opens(call, AT_FDCWD, 0, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def _close_(self, call: Call) -> Finish | None:
        return self._closes(call, call.number(0))

    def _closes(self, call: Call, fd: int) -> Finish | None:
        opened = self._regular(call.its, fd)
        call.its.fds.pop(fd, None)
        return self._completion(call.its, self._entry(call, Kind.CLOSE, opened.file, fd)) if opened else None

    def _close_range_(self, call: Call) -> Finish | None:
        first, last = (call.arguments[k] & 0xFFFF_FFFF for k in (0, 1))
        if call.number(2) & CLOSE_RANGE_CLOEXEC:
            return None
        return _all(self._closes(call, fd) for fd in call.its.descriptors() if first <= fd <= last)

    def _copies(self, call: Call, copy: int = -1) -> Finish | None:
        """A descriptor is copied, to a number that is closed first where it is given."""
        its, fd = call.its, call.number(0)
        closed = self._closes(call, copy) if copy not in (-1, fd) else None

        def finish(result: int) -> None:
            finished = now()
            if closed:
                closed(min(result, 0))
            if result < 0 or result == fd:
                return
            its.fds.pop(result, None)
            if opened := self._regular(its, fd):
                entry = self._entry(call, Kind.DUP, opened.file, fd)
                entry.other, entry.finish = result, finished
                self._put(its, entry)

        return finish

    def _dup_(self, call: Call) -> Finish | None:
        return self._copies(call)

    def _dup2_(self, call: Call) -> Finish | None:
        return self._copies(call, call.number(1))

    _dup3_ = _dup2_

    # -- Locks

    def _fcntl_(self, call: Call) -> Finish | None:
        its, fd, command = call.its, call.number(0), call.number(1)
        if command in (F_DUPFD, F_DUPFD_CLOEXEC):
            return self._copies(call)
        if command == F_SETFL:
            its.fds.pop(fd, None)  # it may append from now on
            return None
        opened, content = its.known(fd, self._files), its.read(call.arguments[2], 32)
        if not opened or len(content) < 32:
            return None
        entry = self._entry(call, Kind.OFD if command > F_SETLKW else Kind.POSIX, opened.file, fd)
        kind, whence, start, length = unpack("=hh4xqq8x", content)
        if whence == os.SEEK_CUR:
            start += its.about(fd).get("pos", 0)
        elif whence == os.SEEK_END:
            start += _size(its, fd)
        entry.start, entry.length = (start, length) if length >= 0 else (start + length, -length)
        entry.flags = {F_RDLCK: 0, F_WRLCK: EXCLUSIVE}.get(kind, RELEASED)
        entry.flags |= WAITS if command in (F_SETLKW, F_OFD_SETLKW) else 0
        return self._completion(its, entry)

    def _flock_(self, call: Call) -> Finish | None:
        fd, operation = call.number(0), call.number(1)
        opened = call.its.known(fd, self._files)
        if not opened:
            return None
        entry = self._entry(call, Kind.FLOCK, opened.file, fd)
        entry.flags = {LOCK_SH: 0, LOCK_EX: EXCLUSIVE}.get(operation & ~LOCK_NB, RELEASED)
        entry.flags |= 0 if operation & LOCK_NB else WAITS
        return self._completion(call.its, entry)

    # -- Data

    def _moves(self, call: Call, kind: Kind, fd: int, position: int = -1, last: int = 0) -> Finish | None:
        """Bytes are read or written, at the descriptor's own position where none is given.

        `last` is the address of what is written.
        """
        its = call.its
        opened = its.known(fd, self._files)
        if not opened:
            return None
        if opened.type == CHANNEL:
            kind = Kind.RECEIVE if kind is Kind.READ else Kind.SEND
            return self._completion(its, Entry(kind, call.begun, call.tid, opened.file, fd))
        entry = self._entry(call, kind, opened.file, fd)
        self._put(its, entry)

        def finish(count: int) -> None:
            finished = now()
            if count > 0:
                entry.start = position if position >= 0 else its.about(fd).get("pos", count) - count
                entry.length = count
            if kind is Kind.WRITE:
                entry.flags = APPENDS if opened.appends else 0
                if count > 0 and last and its.read(last + count - 1, 1) == b"\n":
                    entry.flags |= ENDS_LINE
            entry.result, entry.finish = min(count, 0), finished
            self._put(its, entry)

        return finish

    def _read_(self, call: Call) -> Finish | None:
        return self._moves(call, Kind.READ, call.number(0))

    def _write_(self, call: Call) -> Finish | None:
        return self._moves(call, Kind.WRITE, call.number(0), last=call.arguments[1])

    def _pread64_(self, call: Call) -> Finish | None:
        return self._moves(call, Kind.READ, call.number(0), call.long(3))

    def _pwrite64_(self, call: Call) -> Finish | None:
        return self._moves(call, Kind.WRITE, call.number(0), call.long(3), call.arguments[1])

    def _readv_(self, call: Call) -> Finish | None:
        return self._moves(call, Kind.READ, call.number(0))

    def _writev_(self, call: Call) -> Finish | None:
        vector, count = call.arguments[1], call.number(2)
        total = 0
        for k in range(min(max(count, 0), 64)):  # the address at which all would begin if it lay before the last part
            base, length = call.its.word(vector + 16 * k), call.its.word(vector + 16 * k + 8)
            last, total = base - total, total + length
        return self._moves(call, Kind.WRITE, call.number(0), last=last if total else 0)

    def _preadv_(self, call: Call) -> Finish | None:
        return self._moves(call, Kind.READ, call.number(0), call.long(3))

    def _pwritev_(self, call: Call) -> Finish | None:
        return self._moves(call, Kind.WRITE, call.number(0), call.long(3))

    _preadv2_, _pwritev2_ = _preadv_, _pwritev_

    def _between(self, call: Call, source: int, source_at: int, target: int, target_at: int) -> Finish | None:
        """Bytes go from a descriptor to another, at positions in memory or at their own."""
        positions = [call.its.word(each) if each else -1 for each in (source_at, target_at)]
        return _all(
            self._moves(call, kind, fd, position)
            for kind, fd, position in ((Kind.READ, source, positions[0]), (Kind.WRITE, target, positions[1]))
        )

    def _sendfile_(self, call: Call) -> Finish | None:
        return self._between(call, call.number(1), call.arguments[2], call.number(0), 0)

    def _copy_file_range_(self, call: Call) -> Finish | None:
        return self._between(call, call.number(0), call.arguments[1], call.number(2), call.arguments[3])

    _splice_ = _copy_file_range_

    def _cuts(self, call: Call, file: int, fd: int, size: int) -> Finish | None:
        if not file:
            return None
        entry = self._entry(call, Kind.TRUNCATE, file, fd)
        entry.start = size
        return self._completion(call.its, entry)

    def _ftruncate_(self, call: Call) -> Finish | None:
        opened = self._regular(call.its, call.number(0))
        return self._cuts(call, opened.file if opened else 0, call.number(0), call.long(1))

    def _truncate_(self, call: Call) -> Finish | None:
        file, _ = call.its.named(AT_FDCWD, call.its.text(call.arguments[0]), self._files, follow=True)
        return self._cuts(call, file, -1, call.long(1))

    def _fallocate_(self, call: Call) -> Finish | None:
        fd, mode = call.number(0), call.number(1)
        opened = self._regular(call.its, fd)
        if opened and mode & (COLLAPSE | INSERT):
            return self._cuts(call, opened.file, fd, call.long(2))
        if not opened or not mode & (PUNCH_HOLE | ZERO_RANGE):
            return None  # no byte of it changes
        entry = self._entry(call, Kind.WRITE, opened.file, fd)
        entry.start, entry.length = call.long(2), call.long(3)
        return self._completion(call.its, entry)

    # -- Mappings

    def _mmap_(self, call: Call) -> Finish | None:
        its, size, protection, flags = call.its, call.arguments[1], call.number(2), call.number(3)
        opened, offset = self._regular(its, call.number(4)), call.long(5)
        if protection & PROT_EXEC:
            its.code_is_known = False
        if not opened:
            return None
        entry = self._entry(call, Kind.MAP, opened.file, call.number(4))
        entry.start, entry.length, entry.other = offset, size, flags
        entry.flags = EXCLUSIVE if protection & PROT_WRITE else 0
        complete = self._completion(its, entry)

        def finish(result: int) -> None:
            failed = -4096 < result < 0
            complete(result if failed else 0)
            if not failed and flags & MAP_SHARED:
                its.maps.append((result, size, opened.file, offset))
                if self._sees_pages:
                    self._protect(its, call.tid)
                if its.log and not its.has_mapped:
                    its.has_mapped = True
                    its.log.text(f"limit {UNSEEN}")

        return finish

    def _munmap_(self, call: Call) -> None:
        its, at, size = call.its, call.arguments[0], call.arguments[1]
        for mapping in [each for each in its.maps if at <= each[0] < at + size]:
            its.maps.remove(mapping)
            if its.pages:
                its.pages.remove(at, size)
            entry = self._entry(call, Kind.UNMAP, mapping[2])
            entry.start, entry.length, entry.finish = mapping[3], mapping[1], now()
            self._put(its, entry)

    # -- Names

    def _renames(self, call: Call, source: tuple[int, int], target: tuple[int, int]) -> Finish | None:
        its = call.its
        moved, _ = its.named(source[0], its.text(source[1]), self._files, follow=False)
        replaced, path = its.named(target[0], its.text(target[1]), self._files, follow=False)
        if not moved and not replaced:
            return None
        entry = self._entry(call, Kind.RENAME, moved or replaced)
        entry.start = replaced
        self._files.describe(replaced, its)
        complete = self._completion(its, entry)

        def finish(result: int) -> None:
            if not result and its.log:
                its.log.text(f"name {entry.file} {path}")
            complete(result)

        return finish

    def _rename_(self, call: Call) -> Finish | None:
        return self._renames(call, (AT_FDCWD, call.arguments[0]), (AT_FDCWD, call.arguments[1]))

    def _renameat_(self, call: Call) -> Finish | None:
        return self._renames(call, (call.number(0), call.arguments[1]), (call.number(2), call.arguments[3]))

    _renameat2_ = _renameat_

    def _removes(self, call: Call, at: int, path: int) -> Finish | None:
        file, _ = call.its.named(at, call.its.text(path), self._files, follow=False)
        return self._completion(call.its, self._entry(call, Kind.UNLINK, file)) if file else None

    def _unlink_(self, call: Call) -> Finish | None:
        return self._removes(call, AT_FDCWD, call.arguments[0])

    def _unlinkat_(self, call: Call) -> Finish | None:
        return None if call.number(2) & AT_REMOVEDIR else self._removes(call, call.number(0), call.arguments[1])

    # -- The ends of processes

    def _wait4_(self, call: Call) -> Finish:
        status = call.arguments[1]

        def finish(pid: int) -> None:
            stopped = status and call.its.read(status, 1) in (b"\x7f", b"\xff")
            if pid > 0 and not stopped:
                self._write(call.its, Kind.WAITED, now(), other=pid)

        return finish

    def _waitid_(self, call: Call) -> Finish | None:
        if call.number(3) & WNOWAIT:
            return None

        def finish(result: int) -> None:
            content = call.its.read(call.arguments[2], 20) if call.arguments[2] else b""
            if not result and len(content) == 20:
                code, pid = unpack("=8xi4xi", content)
                if pid and 0 < code <= CLD_DUMPED:
                    self._write(call.its, Kind.WAITED, now(), other=pid)

        return finish

    def _exit_group_(self, call: Call) -> None:
        call.its.has_ended = True
        self._write(call.its, Kind.EXIT, call.begun)

    def _execve_(self, call: Call) -> Finish | None:
        """Write which descriptors are closed; what completes the events is called only where nothing is executed."""
        its = call.its
        its.executes = call.begun
        closed = [fd for fd in its.descriptors() if its.about(fd).get("flags", 0) & os.O_CLOEXEC]
        opened = [(fd, found) for fd in closed if (found := self._regular(its, fd))]
        return _all(self._completion(its, self._entry(call, Kind.EXEC, found.file, fd)) for fd, found in opened)

    _execveat_ = _execve_


def _all(parts: Iterable[Finish | None]) -> Finish | None:
    """Return what completes several events of one call."""
    some = [each for each in parts if each]

    def finish(result: int) -> None:
        for each in some:
            each(result)

    return finish if some else None


def _size(its: Process, fd: int) -> int:
    try:
        return Path(f"/proc/{its.pid}/fd/{fd}").stat().st_size
    except OSError:
        return 0
