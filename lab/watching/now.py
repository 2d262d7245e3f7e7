"""See which processes hold and wait for locks on a file at this moment: from /proc, and without touching the file.

The processes go on meanwhile, so what is read first may have changed when the rest is read. A ring of processes that
wait for each other does not change: it is looked for twice.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.analysis.statistics import plural
from lab.analysis.watched import END
from lab.errors import CannotRunError, UsageError
from lab.host.environment import RunStart, anonymous_text, environment, is_local, mounts_of
from lab.host.procfs import (
    ENDED,
    LOOKS,
    ListedLock,
    call_of,
    command_of,
    descriptor_facts,
    descriptor_locks,
    listed_file,
    listed_locks,
    process_stat,
    processes,
    ran_last_at_ms,
    threads_of,
)
from lab.records import LockNow, LockProcess, LocksNow, Watch, WatchOptions

WAYS = {"POSIX": "fcntl", "OFDLCK": "ofd", "FLOCK": "flock"}
"""The kinds of locks as /proc/locks and the lab call them; leases and others are left out."""

CALLS = {"x86_64": (72, 73, 312), "aarch64": (25, 32, 272)}
"""The numbers of fcntl, flock and kcmp (asm/unistd.h)."""
FCNTL, FLOCK, KCMP = CALLS.get(platform.machine(), (-1, -1, -1))


def steady_locks() -> list[ListedLock]:
    """Return the locks that the kernel lists, each as often as in the middle one of several readings.

    While other processes lock, a line may come twice in one reading, or not at all.
    """
    readings = [Counter(listed_locks()) for _ in range(LOOKS)]
    known = dict.fromkeys(lock for reading in readings for lock in reading)
    return [lock for lock in known for _ in range(sorted(reading[lock] for reading in readings)[LOOKS // 2])]


F_SETLKW, F_OFD_SETLKW = 7, 38
RANGE = struct.Struct("<hh4xqqi")
"""struct flock (fcntl(2)): type, whence, start, length, pid."""

KCMP_FILE = 0
INITIAL = "pid:[4026531836]"
"""The first pid namespace (PROC_PID_INIT_INO in linux/proc_ns.h); in another, processes outside are not seen."""

LOOK_AGAIN_S = 0.05
File = tuple[str, int]
Descriptor = tuple[int, int]
"""A process, and the number of its descriptor."""


@dataclass
class _Hold:
    """A lock that is held, and the descriptors of all processes that refer to the open file that has it."""

    listed: ListedLock
    descriptors: list[Descriptor]

    @property
    def pids(self) -> list[int]:
        its = [pid for pid, _ in self.descriptors] or [self.listed.pid] * (self.listed.pid > 0)
        return list(dict.fromkeys(its))


@dataclass
class _Wait:
    """A request that waits, and which thread waits with which descriptor, -1 where that is not known."""

    listed: ListedLock
    pid: int
    thread: int = -1
    descriptor: int = -1

    def is_behind(self, hold: _Hold) -> bool:
        """Tell whether the lock keeps the request waiting."""
        mine, theirs = self.listed, hold.listed
        if _file(mine) != _file(theirs) or (mine.kind == "FLOCK") != (theirs.kind == "FLOCK"):
            return False
        if mine.start > _last(theirs) or theirs.start > _last(mine) or mine.access == theirs.access == "READ":
            return False
        return hold.pids != [self.pid] if theirs.kind == mine.kind == "POSIX" else not self._own_file_has(hold)

    def _own_file_has(self, hold: _Hold) -> bool:
        return hold.listed.kind == self.listed.kind and (self.pid, self.descriptor) in hold.descriptors


def _file(lock: ListedLock) -> File:
    return lock.device, lock.inode


def _last(lock: ListedLock) -> int:
    return END if lock.last is None else lock.last


class _Look:
    """All locks of all processes, as far as they can be seen."""

    def __init__(self) -> None:
        self.unreadable = 0
        self._readable: list[int] = []
        found: dict[ListedLock, list[Descriptor]] = defaultdict(list)
        for pid, stat in processes():
            if stat.state != ENDED:
                self._read(pid, found)
        try:
            listed = [lock for lock in steady_locks() if lock.kind in WAYS]
        except OSError as error:
            raise CannotRunError(f"/proc/locks cannot be read ({error.strerror}); mount /proc, or be root") from error
        self.holds = [hold for lock, its in found.items() for hold in _by_open_file(lock, its, listed.count(lock))]
        self._add_unseen({lock for lock in listed if not lock.waits} - found.keys())
        self.waits = list(self._waits([lock for lock in listed if lock.waits]))

    def _read(self, pid: int, found: dict[ListedLock, list[Descriptor]]) -> None:
        try:
            for descriptor, lock in descriptor_locks(pid):
                if lock.kind in WAYS:
                    found[lock].append((pid, descriptor))
            self._readable.append(pid)
        except PermissionError:
            self.unreadable += 1

    def _add_unseen(self, unseen: set[ListedLock]) -> None:
        """Add what is listed, and was found at no process, unless it is gone by now."""
        still = set(steady_locks()) if unseen else set()
        for lock in unseen & still:
            again: dict[ListedLock, list[Descriptor]] = defaultdict(list)
            if lock.pid in self._readable:
                self._read(lock.pid, again)
            self.holds.append(_Hold(lock, again[lock]))

    def _waits(self, listed: Sequence[ListedLock]) -> Iterator[_Wait]:
        """Yield the requests. One for an open file description names no process: all threads are searched for it."""
        anybody = [call for pid in self._readable for call in _waiting_calls(pid)] if _nameless(listed) else []
        for lock in listed:
            calls = anybody if lock.pid < 0 else list(_waiting_calls(lock.pid))
            fitting = [call for call in calls if _fits(call, lock)]
            if not fitting:
                yield _Wait(lock, lock.pid)
                continue
            call = next((each for each in fitting if _asks_for(each, lock)), fitting[0])
            if lock.pid < 0:
                anybody.remove(call)
            yield _Wait(lock, call.pid, call.thread, call.arguments[1])

    def deadlocks(self) -> list[list[int]]:
        """Return the rings of processes that wait for each other.

        Where several processes have a lock, each of them could release it: then all of them must be stuck.
        """
        stuck = {wait.pid: [hold for hold in self.holds if wait.is_behind(hold)] for wait in self.waits if wait.pid > 0}
        before = -1
        while len(stuck) != before:
            before = len(stuck)
            stuck = {
                pid: holds for pid, holds in stuck.items()
                if any(hold.pids and all(each in stuck for each in hold.pids) for hold in holds)
            }  # fmt: skip
        rings: dict[frozenset[int], list[int]] = {}
        for pid in stuck:
            path = [pid]
            while path[-1] not in path[:-1]:
                holds = stuck[path[-1]]
                path.append(next(hold.pids[0] for hold in holds if all(each in stuck for each in hold.pids)))
            ring = path[path.index(path[-1]) : -1]
            rings.setdefault(frozenset(ring), ring)
        return list(rings.values())


@dataclass(frozen=True)
class _Call:
    """A system call in which a thread waits: its number, then its arguments."""

    pid: int
    thread: int
    arguments: tuple[int, ...]


def _nameless(listed: Sequence[ListedLock]) -> bool:
    return any(lock.pid < 0 for lock in listed)


def _waiting_calls(pid: int) -> Iterator[_Call]:
    for thread in threads_of(pid):
        call = call_of(pid, thread)
        if len(call) > 3 and call[0] in (FCNTL, FLOCK):
            yield _Call(pid, thread, tuple(call))


def _fits(call: _Call, lock: ListedLock) -> bool:
    """Tell whether the call can be the request: it is of the kind, and on the file."""
    number, descriptor, command, *_ = call.arguments
    expected = {"FLOCK": number == FLOCK, "POSIX": command == F_SETLKW, "OFDLCK": command == F_OFD_SETLKW}[lock.kind]
    if not expected or (lock.kind != "FLOCK" and number != FCNTL):
        return False
    return descriptor_facts(call.pid, descriptor).get("ino") == str(lock.inode)


def _asks_for(call: _Call, lock: ListedLock) -> bool:
    """Tell whether the call asks for this range, which lies in the memory of its process."""
    if lock.kind == "FLOCK":
        return True
    try:
        descriptor = os.open(f"/proc/{call.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.pread(descriptor, RANGE.size, call.arguments[3])
        finally:
            os.close(descriptor)
        kind, whence, start, length, _ = RANGE.unpack(raw)
    except (OSError, struct.error, OverflowError):
        return False
    last = None if length == 0 else start + length - 1
    return (kind == 1) == (lock.access == "WRITE") and (
        whence != os.SEEK_SET or (start, last) == (lock.start, lock.last)
    )


def _by_open_file(lock: ListedLock, descriptors: Sequence[Descriptor], count: int) -> list[_Hold]:
    """Return the lock once for each open file that has it: only shared ones of the same range can be several."""
    if lock.kind == "POSIX" or lock.access == "WRITE" or count < 2:
        return [_Hold(lock, list(descriptors))]
    holds: list[_Hold] = []
    for each in descriptors:
        own = next((hold for hold in holds if _same_open_file(hold.descriptors[0], each)), None)
        if own:
            own.descriptors.append(each)
        else:
            holds.append(_Hold(lock, [each]))
    return holds


def _same_open_file(one: Descriptor, other: Descriptor) -> bool:
    """Tell whether two descriptors refer to one open file (kcmp(2)); False where the kernel does not say."""
    syscall = ctypes.CDLL(None).syscall
    numbers = (KCMP, one[0], other[0], KCMP_FILE, one[1], other[1])
    return KCMP > 0 and int(syscall(*map(ctypes.c_long, numbers))) == 0


def look(options: WatchOptions) -> Watch:
    """Return who holds and waits on files now: those named in the options, or those that a process locks.

    Raises UsageError where there is no such file or process, CannotRunError where the kernel shows no locks.
    """
    start = RunStart()
    paths = {listed_file_of(name): name for name in options.files}
    if options.pid and process_stat(options.pid) is None:
        raise UsageError(f"--pid {options.pid}: there is no such process")
    seen = _Look()
    if options.pid:
        try:
            list(descriptor_locks(options.pid))
        except PermissionError as error:
            raise CannotRunError(f"--pid {options.pid}: is another user's process; be root to look into it") from error
        paths = _files_of(options.pid, seen)
    deadlocks = seen.deadlocks()
    if deadlocks:
        time.sleep(LOOK_AGAIN_S)
        again = [frozenset(ring) for ring in _Look().deadlocks()]
        deadlocks = [ring for ring in deadlocks if frozenset(ring) in again]
    locks = [_held(hold, paths) for hold in seen.holds if _file(hold.listed) in paths]
    locks += [_wanted(wait, seen, paths) for wait in seen.waits if _file(wait.listed) in paths]
    concerned = {each.pid for lock in locks for each in lock.processes}
    now = LocksNow(
        files=[anonymous_text(name) for name in paths.values()],
        locks=sorted(locks, key=lambda lock: (lock.file, lock.waits, lock.start, lock.lock)),
        deadlocks=[ring for ring in deadlocks if concerned & set(ring)],
        unreadable=seen.unreadable,
        unnamed=sum(not lock.processes or not all(each.descriptors for each in lock.processes) for lock in locks),
        beside=[] if locks else sorted({name for path in options.files for name in _beside(Path(path), seen)}),
    )
    return Watch(
        **start.header(environment(Path(), start.load)),
        options=options,
        outcomes=[],
        programs=[],
        processes=len(concerned),
        events=0,
        accesses=0,
        suppressed=0,
        files=len(paths),
        findings=[],
        locked=[],
        not_seen=list(_not_seen(now, [Path(name) for name in options.files])),
        now=now,
    )


def listed_file_of(name: str) -> File:
    """Return how the kernel's list names a file. Raises UsageError where there is none."""
    try:
        return listed_file(Path(name))
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}; name a file, or give a command behind --") from error


def _files_of(pid: int, seen: _Look) -> dict[File, str]:
    """Return the files on which a process holds or wants a lock, by their names."""
    its: dict[File, str] = {}
    for hold in seen.holds:
        for process, descriptor in hold.descriptors:
            if process == pid:
                its.setdefault(_file(hold.listed), _name(pid, descriptor))
    for wait in seen.waits:
        if wait.pid == pid:
            its.setdefault(_file(wait.listed), _name(pid, wait.descriptor))
    return its


def _name(pid: int, descriptor: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())
    except OSError:
        return f"descriptor {descriptor} of process {pid}"


def _processes(descriptors: Sequence[Descriptor], first: int) -> list[LockProcess]:
    """Return the processes, the one that took the lock first."""
    by_process: dict[int, list[int]] = defaultdict(list)
    for pid, descriptor in descriptors:
        by_process[pid] += [descriptor] * (descriptor >= 0)
    return [
        LockProcess(pid, anonymous_text(command_of(pid)), sorted(by_process[pid]))
        for pid in sorted(by_process, key=lambda pid: (pid != first, pid))
    ]


def _shown(lock: ListedLock, paths: dict[File, str], descriptors: Sequence[Descriptor]) -> LockNow:
    """Return what the list says of a lock or a request, with the processes of these descriptors."""
    return LockNow(
        file=anonymous_text(paths[_file(lock)]),
        lock=WAYS[lock.kind],
        exclusive=lock.access == "WRITE",
        start=lock.start,
        last=lock.last,
        waits=lock.waits,
        processes=_processes(descriptors, lock.pid),
        taker=max(lock.pid, 0),
    )


def _held(hold: _Hold, paths: dict[File, str]) -> LockNow:
    """Return a lock. It is an orphan where all who have it are younger than its taker, which has it no more.

    An older one asked for it by a child, as a shell does: exec 9>file; flock 9.
    """
    lock = hold.listed
    shown = _shown(lock, paths, hold.descriptors or [(lock.pid, -1)] * (lock.pid > 0))
    return replace(shown, orphan=lock.kind == "FLOCK" and 0 < lock.pid < min(hold.pids))


def _wanted(wait: _Wait, seen: _Look, paths: dict[File, str]) -> LockNow:
    return replace(
        _shown(wait.listed, paths, [(wait.pid, wait.descriptor)] * (wait.pid > 0)),
        waiting_s=_slept_s(wait.pid, wait.thread) if wait.thread > 0 else None,
        behind=sorted({pid for hold in seen.holds if wait.is_behind(hold) for pid in hold.pids}),
    )


def _slept_s(pid: int, thread: int) -> float | None:
    mine, theirs = ran_last_at_ms(os.getpid(), threading.get_native_id()), ran_last_at_ms(pid, thread)
    return None if mine is None or theirs is None else round(max(0.0, mine - theirs) / 1000, 3)


def _beside(path: Path, seen: _Look) -> Iterator[str]:
    """Yield the names of locked files in the folder that begin as the name of the file: its lock files."""
    device, _ = listed_file_of(str(path))
    locked = {_file(hold.listed) for hold in seen.holds}
    try:
        for each in path.absolute().parent.iterdir():
            if each.name != path.name and each.name.startswith(path.stem):
                with_device = (device, each.stat().st_ino)
                if with_device in locked:
                    yield each.name
    except OSError:
        return


def _not_seen(now: LocksNow, paths: Sequence[Path]) -> Iterator[str]:
    if now.unreadable:
        yield f"{plural(now.unreadable, 'process')} of other users, for which one has to be root"
    if now.unnamed:
        yield f"who has {plural(now.unnamed, 'lock')}, or with which descriptor"
    if os.readlink("/proc/self/ns/pid") != INITIAL:  # noqa: PTH115 - it is no path
        yield "processes outside this container: it has process numbers of its own"
    for path in paths:
        mounts = mounts_of([path])
        if not is_local(mounts):
            yield f"locks that the server of {mounts[0].filesystem} keeps: the kernel lists its own"
