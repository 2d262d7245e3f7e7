"""Hold a process between two of its system calls, as if the machine were slow just there (ptrace(2)).

    this process  --orders-->  tracer  ==ptrace==>  programs
         ^-------- findings ---'

The tracer is a process of its own, because a tracer also gets the ends of what it traces, and must be waiting for them
all the time: this one waits for other things. It has one thread, as ptrace(2) wants it. Where it ends, in whatever way,
the kernel lets go all that it traces, which then runs on untraced; the parent's death kills it.

Only calls on files in one folder, by descriptor or by path, are counted and held: an interpreter makes hundreds of
others before it comes to them. They are counted from the process's exec, and anew from the release. Threads and
children of the process count as it.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from lab.errors import CannotRunError

from . import ptrace
from .child import STOPS as STOPPED_BY
from .child import WALL, fork_unseen, stops_held, unseen

LONGEST = 1 << 17
LEARNT = 400
"""So many calls of a process are learnt; its tracing ends then."""

TICK_S = 0.02
"""The time, in seconds, after which the tracer looks at its orders though nothing has stopped."""

KILL_GRACE_S = 2.0
STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


class Call(NamedTuple):
    """A system call on a file of the folder: its name, the file's name, and whether it came after the release."""

    name: str
    file: str
    released: bool

    def __str__(self) -> str:
        return f"{self.name} of {self.file}"


Place = tuple[bool, int]
"""A place in a process: whether it is after the release, and how many calls come before it."""


@dataclass(frozen=True, slots=True)
class Order:
    """Trace this process from its exec, and hold it at each of these places for up to so many seconds.

    Without places its calls are learnt, the first LEARNT of them.
    """

    pid: int
    places: Mapping[Place, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the tracer tells: "traced" (`error` says why not), "held" (before `call`), or "done".

    With the last come the calls that were learnt; the process has ended, or is traced no more.
    """

    what: str
    call: Call | None = None
    error: str = ""
    calls: tuple[Call, ...] = ()


RELEASED, GO_ON = "released", "go on"


class Tracer:
    """The tracer of one trial, forked on entering the block; on leaving it nothing is traced any more."""

    def __init__(self, folder: str, group: int) -> None:
        """Prepare a tracer of calls on files below a folder of this name (not its path), in this process group."""
        self._folder = folder
        self._group = group
        self.pid = 0

    def __enter__(self) -> Tracer:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, stops_held():
                self.pid = fork_unseen(lambda: self._trace(theirs), group=self._group)
        except OSError as error:
            self._channel.close()
            raise CannotRunError(f"fork refused ({error.strerror}); raise the limit (ulimit -u)") from error
        self._channel.setblocking(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def send(self, order: Order | str) -> None:
        """Send an order: to trace a process, RELEASED, or GO_ON, which lets go all that are held."""
        with suppress(OSError):  # it has ended, or is stopped: its findings do not come then
            self._channel.send(pickle.dumps(order))

    def findings(self) -> Iterator[Finding]:
        """Yield what it has told since."""
        with suppress(OSError):
            while content := self._channel.recv(LONGEST):
                yield pickle.loads(content)  # noqa: S301 - from a fork of this process

    def end(self) -> None:
        """Kill the tracer, once: what it traced runs on."""
        if not self.pid:
            return
        with stops_held():
            os.kill(self.pid, signal.SIGKILL)
            deadline = time.monotonic() + KILL_GRACE_S
            while not os.waitpid(self.pid, os.WNOHANG | WALL)[0] and time.monotonic() < deadline:
                time.sleep(TICK_S / 100)
            unseen.discard(self.pid)
            self.pid = 0
            self._channel.close()

    def _trace(self, channel: socket.socket) -> None:
        self._channel.close()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *STOPPED_BY})
        channel.setblocking(False)
        _Loop(channel, f"/{self._folder}/").run()


class _Loop:
    """The tracer's own part. It traces one process, with its threads and children."""

    def __init__(self, channel: socket.socket, mark: str) -> None:
        self._channel = channel
        self._mark = mark
        self._arch, self._kinds = ptrace.kinds_here()
        self._info = ptrace.SyscallInfo()
        self._order = Order(0)
        self._places: dict[Place, float] = {}
        self._calls: list[Call] = []
        self._counts = [0, 0]
        self._held: dict[int, float] = {}
        self._released = self._began = self._done = False

    def run(self) -> None:
        """Trace until the parent closes the connection."""
        while self._obey():
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | WALL)
            except ChildProcessError:  # there is nothing to trace yet, or any more
                select.select([self._channel], [], [], TICK_S)
                continue
            if pid:
                with suppress(ProcessLookupError):  # it was killed meanwhile
                    self._handle(pid, status)
            else:
                due_s = min(self._held.values(), default=time.monotonic() + TICK_S) - time.monotonic()
                signal.sigtimedwait({signal.SIGCHLD}, max(0.0, min(TICK_S, due_s)))
            self._let_go(time.monotonic())

    def _obey(self) -> bool:
        """Follow the orders that have come; return False where there will be none any more."""
        while True:
            try:
                content = self._channel.recv(LONGEST)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not content:
                return False
            order = pickle.loads(content)  # noqa: S301 - from the parent
            if isinstance(order, Order):
                self._seize(order)
            elif order == RELEASED:
                self._released = True
            else:
                self._let_go(float("inf"))

    def _seize(self, order: Order) -> None:
        self._order, self._places = order, dict(order.places)
        error = "" if self._kinds else "the system calls of this machine are not known"
        try:
            if not error:
                ptrace.seize(order.pid)
        except OSError as refused:
            error = refused.strerror or str(refused)
        self._tell(Finding("traced", error=error))

    def _handle(self, pid: int, status: int) -> None:
        if not os.WIFSTOPPED(status):
            self._held.pop(pid, None)
            if pid == self._order.pid:
                self._finish()
            return
        stop, event = os.WSTOPSIG(status), status >> 16
        at_call = stop == signal.SIGTRAP | 0x80
        passed_on = 0 if at_call or event else stop
        if event == ptrace.EVENT_STOP and stop in STOPS:
            ptrace.stay_stopped(pid)
        elif self._done:
            ptrace.let_go(pid, passed_on)
        elif not (at_call and self._began and ptrace.is_entry(pid, self._info) and self._is_held(pid)):
            self._began = self._began or event == ptrace.EVENT_EXEC
            ptrace.go_on(pid, passed_on)

    def _is_held(self, pid: int) -> bool:
        """Count the call at whose entry it is stopped, if it counts; return True where it is held there."""
        call = self._call(pid)
        if call is None:
            return False
        place = self._released, self._counts[self._released]
        self._counts[self._released] += 1
        if not self._order.places:
            self._calls.append(call)
            if len(self._calls) == LEARNT:
                self._finish()
            return False
        seconds = self._places.pop(place, None)
        if seconds is None:
            return False
        self._held[pid] = time.monotonic() + seconds
        self._tell(Finding("held", call))
        return True

    def _call(self, pid: int) -> Call | None:
        """Return the call, None for one on no file of the folder."""
        info = self._info
        kind = self._kinds.get(info.number) if info.arch == self._arch else None
        if kind is None:
            return None
        paths = [ptrace.text_at(pid, info.arguments[position]) for position in kind.paths]
        if kind.descriptor is not None:
            with suppress(OSError):
                paths.append(str(Path(f"/proc/{pid}/fd/{info.arguments[kind.descriptor] & 0xFFFF_FFFF}").readlink()))
        for path in paths:
            if self._mark in path:
                return Call(kind.name, path.rpartition("/")[2], self._released)
        return None

    def _let_go(self, now: float) -> None:
        """Let those go on whose time is over."""
        for pid in [pid for pid, until in self._held.items() if until <= now]:
            del self._held[pid]
            with suppress(ProcessLookupError):
                ptrace.go_on(pid)
            if self._order.places and not self._places and not self._held:
                self._finish()

    def _finish(self) -> None:
        """Trace no more from the next stop on."""
        if not self._done:
            self._done = True
            self._tell(Finding("done", calls=tuple(self._calls)))

    def _tell(self, finding: Finding) -> None:
        with suppress(OSError):
            self._channel.send(pickle.dumps(finding))
