"""Follow programs from a process of its own, a tracer: tell a recorder each system call that matters, as it is made.

    this process  --pids-->  tracer  ==ptrace==>  programs, and all that they start
                                |
                             recorder

A filter in the programs (seccomp(2)) stops them at these calls only. They die with the tracer, and the tracer with this
process. The tracer ends when nothing that it traces is left.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from errno import EINTR
from pathlib import Path
from types import TracebackType
from typing import Protocol

from lab.errors import CannotRunError

from . import ptrace
from .child import STOPS as STOPPED_BY
from .child import WALL, fork_unseen, stops_held, unseen
from .tracer import LONGEST, STOPS

END_S, KILL_GRACE_S, LOOK_AGAIN_S = 10.0, 2.0, 0.002
"""The times, in seconds, that a tracer has to write its last, to die, and between two looks at it."""

RESTARTS = frozenset({-512, -513, -514, -516})
"""What a call that a signal interrupted comes to in the kernel (ERESTARTSYS and its relatives): the call is made again,
or fails with EINTR."""

Finish = Callable[[int], None]
"""Takes what a call came to: minus an errno where it failed."""


class Recorder(Protocol):
    """What is told of the programs, in the tracer. A thread has the number `tid`, its process `pid`."""

    def called(self, pid: int, tid: int, info: ptrace.SyscallInfo) -> Finish | None:
        """A thread is about to make a call; return what is to be told of its result."""

    def forked(self, parent: int, child: int) -> None:
        """A process was forked, and has not run yet."""

    def began(self, pid: int) -> None:
        """A process that was forked is stopped, as at the exit of a call, before it runs."""

    def executed(self, pid: int) -> None:
        """A process executes another program, of which nothing has run yet."""

    def ended(self, pid: int, status: int) -> None:
        """A process has ended, with this status of waitpid(2)."""

    def close(self) -> None:
        """Nothing is left that is traced."""


class Follower:
    """The tracer of some programs, forked on entering the block; on leaving it they have ended."""

    def __init__(self, recorder: Callable[[], Recorder], *filters: object) -> None:
        """Prepare a tracer. The filters are the arguments of `ptrace.stop_at`."""
        self._recorder = recorder
        self._filters = filters
        self.pid = 0

    def __enter__(self) -> Follower:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, stops_held():
            self.pid = fork_unseen(lambda: self._trace(theirs), group=0)
        self._channel.settimeout(END_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until the tracer has ended; one that takes too long is killed, and what it traces with it."""
        self._channel.close()
        with stops_held():
            deadline, status = time.monotonic() + END_S, 0
            while not (done := os.waitpid(self.pid, os.WNOHANG | WALL))[0] and time.monotonic() < deadline:
                time.sleep(LOOK_AGAIN_S)
            if not done[0]:
                os.kill(self.pid, signal.SIGKILL)
                while (
                    not (done := os.waitpid(self.pid, os.WNOHANG | WALL))[0]
                    and time.monotonic() < deadline + KILL_GRACE_S
                ):
                    time.sleep(LOOK_AGAIN_S)
            status = done[1]
            unseen.discard(self.pid)
        if status and kind is None:
            raise CannotRunError(f"the tracer ended ({_told(status)}), and the program with it; run it again")

    # -- In the programs, before they are executed

    def allow(self) -> None:
        """Allow the tracer to trace the caller."""
        ptrace.allow_tracer(self.pid)

    def enter(self) -> None:
        """Let the caller, which is traced, stop at the calls. Raises OSError."""
        ptrace.stop_at(*self._filters)  # type: ignore[arg-type]

    # -- In the process that started them

    def begin(self, pids: Sequence[int]) -> None:
        """Trace these processes. Raises CannotRunError where that is refused."""
        try:
            self._channel.send(pickle.dumps(list(pids)))
            error = pickle.loads(self._channel.recv(LONGEST) or pickle.dumps("it has ended"))  # noqa: S301 - from a fork
        except OSError as refused:
            error = refused.strerror or str(refused)
        if error:
            raise CannotRunError(f"no program can be traced here: {error}{_why()}")

    def look(self) -> None:
        """Nothing comes from the tracer while it runs."""

    # -- In the tracer

    def _trace(self, channel: socket.socket) -> None:
        self._channel.close()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPED_BY)
        content = channel.recv(LONGEST)
        if not content:
            return
        pids, error = pickle.loads(content), ""  # noqa: S301 - from the parent
        try:
            if not ptrace.numbers_here():
                error = "the system calls of this machine are not known"
            else:
                ptrace.stop_at((), {}, {})  # whether there are filters
                for pid in pids:
                    ptrace.seize_filtered(pid)
        except OSError as refused:
            error = f"{refused.filename}: {refused.strerror}"
        channel.send(pickle.dumps(error))
        channel.close()
        if not error:
            _Loop(self._recorder(), pids).run()


class _Loop:
    """The tracer's own part."""

    def __init__(self, recorder: Recorder, pids: Iterable[int]) -> None:
        self._recorder = recorder
        self._processes = {pid: pid for pid in pids}
        """The process of each thread."""
        self._unannounced: set[int] = set()
        """Threads that have stopped before their maker's event told of them."""
        self._fresh: set[int] = set()
        """Processes that were forked and have not run yet."""
        self._finish: dict[int, Finish | None] = {}
        """The threads that are within a call, and what is told of its result."""
        self._again: dict[int, tuple[tuple[int, ...], Finish]] = {}
        """The threads whose call was interrupted: the call, and what will be told of its result."""
        self._at: dict[int, tuple[int, ...]] = {}
        self._info = ptrace.SyscallInfo()

    def run(self) -> None:
        """Trace until nothing is left."""
        try:
            while True:
                try:
                    tid, status = os.waitpid(-1, WALL)
                except ChildProcessError:
                    return
                with suppress(ProcessLookupError):  # it was killed meanwhile
                    self._handle(tid, status)
        finally:
            self._recorder.close()

    def _handle(self, tid: int, status: int) -> None:
        if not os.WIFSTOPPED(status):
            self._forget(tid)
            if self._processes.pop(tid, 0) == tid:
                self._recorder.ended(tid, status)
            return
        if tid not in self._processes:
            self._unannounced.add(tid)
            self._adopt(tid)
        stop, event = os.WSTOPSIG(status), status >> 16
        if event == ptrace.EVENT_SECCOMP:
            self._called(tid)
            return
        if stop == signal.SIGTRAP | 0x80:
            self._returned(tid)
        elif event in (ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE):
            self._announced(ptrace.message(tid))
        elif event == ptrace.EVENT_EXEC:
            self._executed(tid)
        elif tid in self._fresh and stop == signal.SIGTRAP:
            self._fresh.discard(tid)
            self._recorder.began(tid)
        elif event == ptrace.EVENT_STOP and stop in STOPS:
            ptrace.stay_stopped(tid)
            return
        passed_on = 0 if event or stop == signal.SIGTRAP | 0x80 else stop
        (ptrace.go_on if tid in self._finish else ptrace.run_on)(tid, passed_on)

    def _called(self, tid: int) -> None:
        ptrace.is_entry(tid, self._info)
        at = (self._info.instruction, self._info.stack, self._info.number, *self._info.arguments)
        again = self._again.pop(tid, None)
        if again is not None and again[0] == at:
            finish: Finish | None = again[1]
        else:
            if again is not None:
                again[1](-EINTR)
            finish = self._recorder.called(self._processes[tid], tid, self._info)
        if finish is None:
            ptrace.run_on(tid)
        else:
            self._finish[tid], self._at[tid] = finish, at
            ptrace.go_on(tid)

    def _returned(self, tid: int) -> None:
        finish = self._finish.pop(tid, None)
        if finish is None:
            return
        result = ptrace.result(tid, self._info)
        if result in RESTARTS:
            self._again[tid] = self._at[tid], finish
        else:
            finish(result)

    def _announced(self, tid: int) -> None:
        """Its maker's event tells of a thread or a process; it may have run, and ended, before that."""
        if tid in self._unannounced:
            self._unannounced.discard(tid)
        else:
            self._adopt(tid)

    def _adopt(self, tid: int) -> None:
        its, parent = _status(tid)
        self._processes[tid] = its
        if its == tid:
            self._fresh.add(tid)
            self._recorder.forked(parent, tid)

    def _executed(self, tid: int) -> None:
        """All other threads have ended; the one that executes has the number of the process now (ptrace(2))."""
        for other in [other for other, its in self._processes.items() if its == tid and other != tid]:
            self._forget(other)
            del self._processes[other]
        self._forget(tid)
        self._recorder.executed(tid)

    def _forget(self, tid: int) -> None:
        self._finish.pop(tid, None)
        self._again.pop(tid, None)


def _status(tid: int) -> tuple[int, int]:
    """Return the process of a thread, and that one's parent. Raises ProcessLookupError where it has ended."""
    try:
        lines = Path(f"/proc/{tid}/status").read_text().splitlines()
    except OSError as error:
        raise ProcessLookupError from error
    values = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return int(values["Tgid"]), int(values["PPid"])


def _told(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
"""Where Yama says who may trace: 0 and 1 allow it here, 2 root alone, 3 nobody (Documentation/admin-guide/LSM/Yama)."""


def _why() -> str:
    """Return what forbids it, as far as it can be known."""
    with suppress(OSError, ValueError):
        if (scope := int(YAMA.read_text())) > 1:
            return (
                f"; kernel.yama.ptrace_scope is {scope}: {'run it as root' if scope == 2 else 'nothing can be traced'}"
            )
    return "; a container may need --cap-add SYS_PTRACE, and a program under a debugger cannot be traced"
