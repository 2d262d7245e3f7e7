"""Run code in a child process: questions that it answers one at a time, or one task with a deadline.

The death of the child is reported as an answer too.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from lab.errors import CannotRunError, ExitCode, LabError
from lab.host.procfs import is_stopped, sleeps_in

from .child import detach_output, fork_held, prctl, stops_held
from .deadlines import TICK_S, is_readable

LONGEST = 1 << 16
"""The most bytes of a question, and of an answer with the byte before it."""

ANSWER, CANNOT = b"+", b"-"
"""The first byte of a message of the child: an answer follows, or the text of a CannotRunError."""

PR_SET_DUMPABLE = 4

PATIENCE_S = 60.0
"""The time, in seconds, that an answer may take where the caller gives none."""

KILL_GRACE_S = 2.0
LEFT_S = 0.5
"""The time, in seconds, after SIGKILL after which a living task counts as sleeping uninterruptibly.

It is left behind.
"""

LOOK_AGAIN_S = 0.0005


class Gone(Exception):  # noqa: N818 - a finding
    """The child ended in place of an answer: `code` is its exit code, or minus the signal that ended it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Unanswered(LabError):  # noqa: N818 - a finding
    """The child lives and does not answer: it was stopped, or hangs."""

    exit_code = ExitCode.FAILED

    def __init__(self, pid: int, timeout_s: float) -> None:
        where = sleeps_in(pid)
        why = "a signal has stopped it (SIGSTOP)" if is_stopped(pid) else f"it hangs{f' in {where}' if where else ''}"
        super().__init__(f"process {pid} did not answer within {timeout_s:g} s: {why}; try again")


class ChildRpc:
    """A child that is forked at once and killed with the block; it keeps its state from question to question.

    It may die of what it is asked to do: it leaves no core, and SIGSEGV and SIGBUS end it whatever the parent does on
    them. Neither questions nor answers are empty.
    """

    def __init__(self, respond: Callable[[bytes], bytes], group: int | None = None) -> None:
        """Fork the child; `respond` is called in it, `group` is as in `fork_child`.

        Raises CannotRunError where there is no process available.
        """
        self._code: int | None = None
        self._left = False
        with stops_held():
            try:
                self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    self.pid = fork_held(lambda: self._serve(theirs, respond), group=group)
            except OSError as error:
                raise CannotRunError(f"fork refused ({error.strerror}); raise the limits (ulimit -u, -n)") from error

    def __enter__(self) -> ChildRpc:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, question: bytes, timeout_s: float | None = None) -> bytes:
        """Send a question and return its answer; raises as `answer` does, and Unanswered after that time
        (`PATIENCE_S`).
        """
        timeout_s = PATIENCE_S if timeout_s is None else timeout_s
        self.send(question)
        answer = self.answer(timeout_s)
        if answer is None:
            raise Unanswered(self.pid, timeout_s)
        return answer

    def send(self, question: bytes) -> None:
        """Send a question; `answer` returns its answer."""
        with suppress(ConnectionError):  # it is gone: `answer` will say so
            self._channel.send(question)

    def answer(self, timeout_s: float | None = None) -> bytes | None:
        """Return the answer, None where there is no answer after that time.

        Raises Gone where the child ended, and CannotRunError where that was raised in it.
        """
        if self._code is None and not is_readable(self._channel.fileno(), timeout_s):
            return None
        answer = b"" if self._code is not None else _received(self._channel)
        if not answer:
            raise Gone(self._reaped())
        if answer.startswith(CANNOT):
            raise CannotRunError(os.fsdecode(answer[1:]))
        return answer[1:]

    def kill(self) -> None:
        """Kill the child (SIGKILL), if it lives: `answer` says so."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    def end(self, grace_s: float = KILL_GRACE_S) -> bool:
        """Kill the child, if it lives, and reap it; return False where it lives on after the grace."""
        with stops_held():
            self.kill()
            self._reaped(grace_s)
            self._channel.close()
        return not self._left

    def _reaped(self, grace_s: float = KILL_GRACE_S) -> int:
        with stops_held():
            deadline = time.monotonic() + grace_s
            while self._code is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
                elif time.monotonic() > deadline:
                    self._code, self._left = -signal.SIGKILL, True  # an uninterruptible sleep: it ends with that
                else:
                    time.sleep(LOOK_AGAIN_S)
        return self._code

    def _serve(self, channel: socket.socket, respond: Callable[[bytes], bytes]) -> None:
        """Answer until the parent closes the connection."""
        self._channel.close()
        prctl(PR_SET_DUMPABLE, 0)
        for ends in (signal.SIGSEGV, signal.SIGBUS):
            signal.signal(ends, signal.SIG_DFL)
        while question := _received(channel):
            answer = _answered(respond, question)
            with suppress(ConnectionError):  # the parent was killed, and so will this one be
                channel.send(answer)


def _received(channel: socket.socket) -> bytes:
    """Return the next message; nothing where the other side closed, also before it read everything."""
    try:
        return channel.recv(LONGEST)
    except ConnectionError:
        return b""


def _answered(respond: Callable[[bytes], bytes], question: bytes) -> bytes:
    try:
        return ANSWER + respond(question)
    except CannotRunError as error:
        return CANNOT + os.fsencode(str(error))


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of a task: `answer` is what it returned, None where it did not end well or in time.

    One that was late slept at `where`, the function of the kernel. It is `left` behind where SIGKILL does not end it.
    """

    answer: str | None
    late: bool = False
    pid: int = 0
    where: str = ""
    left: bool = False


def attempt_all(
    tasks: Sequence[Callable[[], str]], limit_s: float, given_up: Callable[[], bool] = lambda: False
) -> list[Attempt]:
    """Run each task in a child of its own, all at once; each is killed after so many seconds, or once it is given up.

    No child is left, but those that SIGKILL does not end. Raises CannotRunError where fork(2) is refused.
    """
    deadline = time.monotonic() + limit_s
    with ExitStack() as ends:
        children: list[ChildRpc] = []
        for task in tasks:
            with stops_held():  # each child is known here before anything interrupts
                children.append(ends.enter_context(ChildRpc(partial(_detached, task), group=0)))
            children[-1].send(b"?")
        return [_outcome(child, deadline, given_up) for child in children]


def _detached(task: Callable[[], str], _: bytes) -> bytes:
    detach_output()
    return task().encode(errors="surrogateescape")[: LONGEST - 1]


def _outcome(child: ChildRpc, deadline: float, given_up: Callable[[], bool]) -> Attempt:
    try:
        while (answer := child.answer(TICK_S)) is None and time.monotonic() < deadline and not given_up():
            pass
    except (Gone, CannotRunError):
        return Attempt(None, pid=child.pid)
    if answer is not None:
        return Attempt(answer.decode(errors="surrogateescape"), pid=child.pid)
    where = sleeps_in(child.pid)
    return Attempt(None, late=True, pid=child.pid, where=where, left=not child.end(LEFT_S))
