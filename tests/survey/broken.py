"""Locks that break one guarantee each: what the comparison must notice."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from lab.locking import Abilities, Action, Lock, adapt
from lab.locking.kernel import Fcntl, Ofd
from tests.racing.fault_locks import Careless

CLONE_FILES = 0x400
ALL = Abilities(ranges=True, readers=True, threads=True, fork=True, survives_kill=True)


def nothing() -> None:
    pass


class Lying(Ofd):
    """Grants whatever is asked for."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return nothing, nothing


class LetsThreadsIn(Ofd):
    """Asks nobody where a second thread asks."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        acquire, release = super().actions(descriptor, start, length, write=write)
        return lambda: None if threading.current_thread() != threading.main_thread() else acquire(), release


class LetsItselfIn(Ofd):
    """Asks nobody while the thread holds that file already, through whatever descriptor."""

    def __init__(self) -> None:
        self._holders: dict[int, int] = {}

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        lock, unlock = super().actions(descriptor, start, length, write=write)
        file = os.fstat(descriptor).st_ino

        def acquire() -> None:
            if self._holders.get(file) != threading.get_ident():
                lock()
            self._holders[file] = threading.get_ident()

        def release() -> None:
            self._holders.pop(file, None)
            unlock()

        return acquire, release


class NoReaders(Ofd):
    """Takes readers for writers."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return super().actions(descriptor, start, length, write=True)


class CarelessReaders(Ofd):
    """Keeps nobody out where it reads."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return super().actions(descriptor, start, length, write=write) if write else (nothing, nothing)


class NoRanges(Ofd):
    """Takes the whole file for every range."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return super().actions(descriptor, 0, 0, write=write)


class FirstRangeOnly(Ofd):
    """Keeps nobody out of what is not at the start."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return (nothing, nothing) if start else super().actions(descriptor, start, length, write=write)


class OutlivesItsHolder(Fcntl):
    """A file that somebody has to remove."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}") + ".lock")  # noqa: PTH115

        def acquire() -> None:
            while True:
                try:
                    path.touch(exist_ok=False)
                except FileExistsError:
                    time.sleep(0.001)
                else:
                    return

        return acquire, partial(path.unlink, missing_ok=True)


class EndsWithAChild(Fcntl):
    """Is given back when any child ends."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        lock, unlock = super().actions(descriptor, start, length, write=write)

        def acquire() -> None:
            lock()
            if threading.current_thread() == threading.main_thread():
                signal.signal(signal.SIGCHLD, lambda _, __: unlock())

        return acquire, unlock


class OfAThread(Ofd):
    """Held by a thread with descriptors of its own: execve(2) ends it, whatever is left open."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            ctypes.CDLL(None).unshare(CLONE_FILES)
            own = os.open(path, os.O_RDWR)
            fcntl.flock(own, fcntl.LOCK_EX)
            held.set()
            done.wait()
            os.close(own)

        def acquire() -> None:
            held.clear()
            done.clear()
            threading.Thread(target=hold, daemon=True).start()
            held.wait()

        return acquire, done.set


class Polls(Ofd):
    """Asks every 2 ms."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        def acquire() -> None:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(0.002)
                else:
                    return

        return acquire, partial(fcntl.flock, descriptor, fcntl.LOCK_UN)


class LastComeFirstServed(Ofd):
    """Who gives it back wakes whoever came last; each sleeps at a pipe with a name of its own."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        stack = Path(os.readlink(f"/proc/self/fd/{descriptor}") + ".stack")  # noqa: PTH115
        me = stack.with_suffix(f".{os.getpid()}")
        guarded = super().actions

        def with_stack(change: Callable[[list[str]], None]) -> None:
            lock, unlock = guarded(descriptor, 0, 0, write=True)
            lock()
            names = stack.read_text().split() if stack.exists() else []
            change(names)
            stack.write_text(" ".join(names))
            unlock()

        def acquire() -> None:
            behind: list[int] = []

            def push(names: list[str]) -> None:
                behind.append(len(names))
                names.append(str(me))

            me.unlink(missing_ok=True)
            os.mkfifo(me)
            with_stack(push)
            if behind[0]:
                me.read_bytes()  # until the holder writes

        def release() -> None:
            def pop(names: list[str]) -> None:
                names.remove(str(me))
                if names:
                    Path(names[-1]).write_bytes(b"yours")

            with_stack(pop)

        return acquire, release


class NeverReturns(Ofd):
    """Waits for what nobody does."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return signal.pause, nothing


class Raises(Ofd):
    """Has a fault."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        raise ValueError("no such lock")


class Dies(Ofd):
    """Ends the process that asks."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return lambda: os._exit(7), nothing


class NeverReleases(Ofd):
    """Keeps what it has."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return super().actions(descriptor, start, length, write=write)[0], nothing


class Tidied:
    """flock on a lock file that its holder removes on the way out; who waited for it may hold a file without a name."""

    def __init__(self, path: str, *, look_again: bool) -> None:
        self._path = path
        self._look_again = look_again
        self._descriptor = -1

    def acquire(self) -> None:
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if not self._look_again or os.fstat(self._descriptor).st_nlink:
                return
            os.close(self._descriptor)

    def release(self) -> None:
        Path(self._path).unlink(missing_ok=True)
        os.close(self._descriptor)


class StalePid:
    """A file with its holder's process id, which whoever finds the holder dead removes: two may, one after the other.

    Two who wait hand over to each other at every death: both see it before either removes the file, and the second
    removes it once the first has made its own.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def acquire(self) -> None:
        while True:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                self._take_away()
                time.sleep(0.0005)
                continue
            os.write(descriptor, b"%d" % os.getpid())
            os.close(descriptor)
            return

    def release(self) -> None:
        self._path.unlink(missing_ok=True)

    def _take_away(self) -> None:
        try:
            dead = self._path.read_text()
            os.kill(int(dead or os.getpid()), 0)
        except FileNotFoundError:
            pass
        except ProcessLookupError:
            mine = self._path.with_name(f"{self._path.name}.{dead}.{os.getpid()}")
            mine.touch()
            _wait(lambda: len(self._seen_by(dead)) > 1)
            if self._seen_by(dead)[0] != mine:
                _wait(lambda: self._path.exists() and self._path.read_text() not in ("", dead))
            self._path.unlink(missing_ok=True)

    def _seen_by(self, dead: str) -> list[Path]:
        return sorted(self._path.parent.glob(f"{self._path.name}.{dead}.*"))


def _wait(state: Callable[[], bool]) -> None:
    """Until it is so, or nobody else comes."""
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            if state():
                return
        time.sleep(0.0005)


class Impatient:
    """A lock file that is taken from whoever keeps it for longer than others have patience."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def acquire(self) -> None:
        asked = time.monotonic()
        while True:
            try:
                self._path.touch(exist_ok=False)
            except FileExistsError:
                if time.monotonic() - asked > IMPATIENT_S:
                    self._path.unlink(missing_ok=True)
                time.sleep(0.001)
            else:
                return

    def release(self) -> None:
        self._path.unlink(missing_ok=True)


IMPATIENT_S = 0.3


class Flocked:
    """flock on a lock file, given back by closing it alone, or by an unlock; it gives up so often before it waits."""

    def __init__(self, path: str, *, unlocks: bool, refused: int = 0) -> None:
        self._path = path
        self._unlocks = unlocks
        self._refused = refused
        self._descriptor = -1

    def acquire(self) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if self._refused else 0))
        except BlockingIOError:
            os.close(descriptor)
            self._refused -= 1
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._unlocks:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def tidied() -> Lock:
    return adapt(partial(Tidied, look_again=False), name="tidied")


def looked_again() -> Lock:
    return adapt(partial(Tidied, look_again=True), name="looked_again")


def stale_pid() -> Lock:
    return adapt(StalePid)


def careless() -> Lock:
    return adapt(Careless)


def impatient() -> Lock:
    return adapt(Impatient)


def closed_only() -> Lock:
    return adapt(partial(Flocked, unlocks=False), name="closed_only")


def gives_up(refused: int) -> Lock:
    return adapt(partial(Flocked, unlocks=True, refused=refused), name="gives_up")
