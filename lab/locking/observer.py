"""Observe the locks that other processes hold on a file, or wait for.

/proc/locks lists all locks that the kernel itself keeps, and the requests that wait. Where a filesystem keeps its locks
elsewhere, or the list is not available, F_GETLK (fcntl(2)) names one lock that conflicts: it says nothing of flock(2)
nor of requests that wait, and it may hang, so a process of its own makes the call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from lab.analysis.holds import END, Span
from lab.host.procfs import LOCKS, LOOKS, ListedLock, listed_locks
from lab.memory import scratch
from lab.processes.rpc import ChildRpc, Gone

from .kernel import Fcntl, call_range, conflict

KINDS = ("POSIX", "OFDLCK", "FLOCK")
"""The kinds of locks of fcntl(2) and flock(2); the list has others too, such as leases."""

ANSWER_S = 0.05
"""The time, in seconds, after which an F_GETLK without an answer counts as having found nothing."""


class ObservedLock(NamedTuple):
    """One lock: the process that holds it or waits for it (-1 where it belongs to none), on which bytes.

    `file` is empty for the file itself, else the name of one beside it.
    """

    kind: str
    pid: int
    span: Span
    waits: bool
    file: str = ""


class LockObserver(Protocol):
    """A way to observe the locks on one file."""

    source: str

    def look(self) -> set[ObservedLock]:
        """Return all locks that it shows now."""

    def inodes(self, file: str) -> list[int]:
        """Return the numbers of the files that had this name; none where only the file itself is observed."""

    def names(self) -> set[str]:
        """Return the names that the last look found beside the file; none where only the file itself is observed."""

    def close(self) -> None:
        """End the observation."""


def observer_of(*paths: Path) -> LockObserver:
    """Return the best observer of the locks on a file: the kernel's list, where it lists locks of that directory.

    The list also shows those on the files beside it, which the other way does not. Several paths are names of the file
    on several mounts, each observed unless the kernel keeps its locks with those of another. Raises CannotRunError
    where there is no process available.
    """
    with ExitStack() as opened:
        found: dict[str, LockObserver] = {}
        for number, path in enumerate(paths):
            device = _listed_device(path.parent)
            if device not in found:
                made: LockObserver = ListObserver(device, path) if device else QueryObserver(path)
                found[device or f"mount {number}"] = opened.enter_context(closing(made))
        opened.pop_all()
    observers = list(found.values())
    return observers[0] if len(observers) == 1 else JointObserver(observers)


def _listed_device(folder: Path) -> str:
    """Return the list's name of the filesystem; empty where it does not list a lock held there for a moment."""
    try:
        with scratch(folder) as path, path.open("r+b") as file:
            acquire, release = Fcntl().actions(file.fileno(), 0, 0, write=True)
            acquire()
            inode = os.fstat(file.fileno()).st_ino
            # While other processes lock, the list may leave a line out.
            listed = [lock for _ in range(LOOKS) for lock in listed_locks()]
            found = [lock.device for lock in listed if (lock.pid, lock.inode) == (os.getpid(), inode)]
            release()
    except OSError:
        return ""
    return found[0] if found else ""


class JointObserver:
    """Several observers, each of which observes the same file on another mount."""

    def __init__(self, observers: Sequence[LockObserver]) -> None:
        self.source = " and ".join(dict.fromkeys(each.source for each in observers))
        self._observers = observers

    def look(self) -> set[ObservedLock]:
        """Return the locks that any of them shows now."""
        return set().union(*(each.look() for each in self._observers))

    def inodes(self, file: str) -> list[int]:
        """See `LockObserver`."""
        return [inode for each in self._observers for inode in each.inodes(file)]

    def names(self) -> set[str]:
        """See `LockObserver`."""
        return set().union(*(each.names() for each in self._observers))

    def close(self) -> None:
        """End all observations."""
        for each in self._observers:
            each.close()


class ListObserver:
    """The kernel's list of locks.

    Reading it stops all lock calls for a moment, so it should not be read all the time.
    """

    source = LOCKS

    def __init__(self, device: str, path: Path) -> None:
        self._device = device
        self._path = path
        self._names: dict[int, str] = {}
        self._locked = {path.stat().st_ino: ""}
        self._present: dict[int, str] = {}

    def look(self) -> set[ObservedLock]:
        """Return each lock once: one whose holder changes while a long list is read may be listed twice.

        A file has the name that it has after the list was read: a new file may be renamed over the file itself and
        locked at once. A file that is gone keeps its name for as long as its lock is observed: then its number may be
        reused for any other file.
        """
        ours = {inode: name for inode, name in self._listing().items() if not name}
        listed = listed_locks(f" {self._device}:")
        self._present = self._listing()
        self._names = ours | self._locked | self._present
        listed = [lock for lock in listed if lock.inode in self._names]
        self._locked = {lock.inode: self._names[lock.inode] for lock in listed}
        return {_observed(lock, self._names[lock.inode]) for lock in listed if lock.kind in KINDS}

    def inodes(self, file: str) -> list[int]:
        """See `LockObserver`."""
        return [inode for inode, name in self._names.items() if name == file]

    def names(self) -> set[str]:
        """See `LockObserver`."""
        return set(self._present.values())

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _listing(self) -> dict[int, str]:
        """Return the files in the folder by their numbers; the file itself has no name."""
        with os.scandir(self._path.parent) as entries:
            return {entry.inode(): "" if entry.name == self._path.name else entry.name for entry in entries}


def _observed(lock: ListedLock, file: str) -> ObservedLock:
    length = 0 if lock.last is None or lock.last + 1 == END else lock.last + 1 - lock.start
    return ObservedLock(lock.kind, lock.pid, Span(lock.start, length, lock.access == "WRITE"), lock.waits, file)


class QueryObserver:
    """An observer that calls F_GETLK in a child, which is forked at once."""

    source = "F_GETLK"

    def __init__(self, path: Path) -> None:
        """Fork the child. Raises CannotRunError where there is no process available."""
        self._path = path
        self._descriptor = -1
        self._child = ChildRpc(self._respond)
        self._asked = False

    def __enter__(self) -> QueryObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def look(self) -> set[ObservedLock]:
        """Return the lock that conflicts with one on the whole file, if any is known in time."""
        if not self._asked:
            self._child.send(b"?")
        try:
            answer = self._child.answer(ANSWER_S)
        except Gone:
            return set()
        self._asked = answer is None
        words = (answer or b"").split()
        if len(words) < 4:
            return set()
        kind, start, length, pid = map(int, words)
        return {ObservedLock("POSIX" if pid > 0 else "OFDLCK", pid, Span(start, length, bool(kind)), waits=False)}

    def inodes(self, file: str) -> list[int]:
        """See `LockObserver`: the processes that share an open file are not known."""
        return []

    def names(self) -> set[str]:
        """See `LockObserver`."""
        return set()

    def close(self) -> None:
        """End the child."""
        self._child.end()

    def _respond(self, question: bytes) -> bytes:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR)
        try:
            found = conflict(call_range(self._descriptor, "F_GETLK", 1, 0, 0, os.SEEK_SET, 0))
        except (OSError, ValueError):
            found = None
        return b"%d %d %d %d" % found if found else b"-"
