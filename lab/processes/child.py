"""One forked child: it ends in os._exit, and it ends when its parent does.

Children that fork(2) does not make: one whose parent is the caller's parent, and one that waits do not see.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lab.errors import LabError, refusal
from lab.output import flush_output, print_error

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 1, 36, 37
STREAMS = (0, 1, 2)
SIGKILL, SIG_DFL, SIG_UNBLOCK = int(signal.SIGKILL), int(signal.SIG_DFL), int(signal.SIG_UNBLOCK)

STOPS = (int(signal.SIGINT), int(signal.SIGTERM), int(signal.SIGHUP))
"""What a user, a supervisor or a closed terminal stops a program with; each raises an exception in the parent."""

_prctl = ctypes.CDLL(None).prctl
_quick = import_module("_signal")
"""signal.signal and pthread_sigmask without their enumerations: a child copies a page for most objects it looks at."""


@contextmanager
def stops_held() -> Iterator[None]:
    """Within the block SIGINT, SIGTERM and SIGHUP wait: no exception comes between a fork and what is done about it.

    In the parent it would lose the pid of a child; in the child it would rise into the caller's frames.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # raises, once they are blocked, what came just before
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fork_child(body: Callable[[], None], *, group: int | None = None) -> int:
    """Fork, run the body in the child, and return the child's pid to the parent.

    The child exits with 0, with what a SystemExit says, or with 1 when the body raised (told on stderr).
    It gets SIGKILL when the parent dies on any way out (prctl(2), PR_SET_PDEATHSIG). Group 0 makes it the leader of
    a new process group, another number puts it into that one. Raises OSError where fork(2) is refused.
    """
    with stops_held():
        return fork_held(body, group=group)


def fork_held(body: Callable[[], None], *, group: int | None = None) -> int:
    """`fork_child` for a caller that forks many and holds the stops (`stops_held`) all the while."""
    parent = os.getpid()
    flush_output()  # what the child prints comes after it, and the child has no copy to print
    pid = os.fork()
    if not pid:
        live(body, parent, group)
    join_group(group, pid)
    return pid


def live(body: Callable[[], None], parent: int, group: int | None = None) -> NoReturn:
    """The life of a forked process, as `fork_child` guarantees it."""
    status = 1
    try:
        _prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() == parent:
            join_group(group, 0)
            for stop in STOPS:
                _quick.signal(stop, SIG_DFL)
            _quick.pthread_sigmask(SIG_UNBLOCK, STOPS)
            body()
            status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException as error:  # whatever it was, it must not reach the caller's frames
        print_error(_told(error))
    finally:
        os._exit(status)


def _told(error: BaseException) -> str:
    """One line of what the environment refused; the traceback of a mistake, which is mostly one of the user's code."""
    refused = str(error) if isinstance(error, LabError) else refusal(error)
    return f"lab: {refused}" if refused else "".join(traceback.format_exception(error)).rstrip("\n")


def join_group(group: int | None, pid: int) -> None:
    """Put a process into a group; parent and child both do it, so that neither needs the other's turn."""
    if group is not None:
        try:
            os.setpgid(pid, group)
        except (ProcessLookupError, PermissionError):
            if pid == 0:
                raise


def detach_output() -> None:
    """Let go of the standard streams: who reads them to their end is not kept waiting by a child that hangs."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in STREAMS:
        os.dup2(null, stream)
    if null > STREAMS[-1]:  # else it is one of them: the caller had closed that
        os.close(null)


def die() -> None:
    """End this process as SIGKILL ends it: no handler, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


def private_bytes() -> int:
    """The memory that only this process has (USS): the sum of Private_* in /proc/self/smaps_rollup (proc(5)).

    psutil tells the same; it is not used because it imports threading, which doubles the cost of every fork.
    """
    with Path("/proc/self/smaps_rollup").open("rb") as lines:
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(b"Private_"))


@dataclass(slots=True)
class Child:
    """A child that a worker forked for itself; `ended` once it was waited for."""

    pid: int
    ended: bool = False

    def wait(self) -> int:
        """Reap it: its exit code, or minus the signal that ended it (waitpid(2))."""
        status = os.waitpid(self.pid, 0)[1]
        self.ended = True
        return os.waitstatus_to_exitcode(status)


class Terminated(BaseException):
    """SIGTERM or SIGHUP reached the parent: it ends its workers as it does on Ctrl-C."""


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise `Terminated` in the main thread instead of ending the process.

    A SIGHUP that is ignored, as under nohup(1), stays ignored.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = [(number, signal.signal(number, stop)) for number in heard]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def stops_interrupt() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP do what Ctrl-C does: raises KeyboardInterrupt."""
    try:
        with stop_on_sigterm():
            yield
    except Terminated:
        raise KeyboardInterrupt from None


@contextmanager
def stops_noted(*, again: bool = True) -> Iterator[Sequence[int]]:
    """Within the block SIGINT, SIGTERM and SIGHUP are noted in what it yields; after it they do what they always do.

    For calls into code that catches whatever is raised while it runs. The first that was noted comes once more after
    the block, unless it is not wanted `again`: for code that sees to it itself.
    """
    noted: list[int] = []
    heard = [number for number in STOPS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = [(number, signal.signal(number, lambda stop, _: noted.append(stop))) for number in heard]
    try:
        yield noted
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    for number in noted[:1] if again else ():
        signal.raise_signal(number)


SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
"""clone(2) by machine, where its first argument is the flags; the C library offers no wrapper that copies the stack."""

CLONE_FILES, CLONE_PARENT = 0x400, 0x8000
WALL = 0x4000_0000
"""__WALL of waitpid(2): children that `fork_unseen` made, too."""

unseen: set[int] = set()
"""Children of this process that `fork_unseen` made and that nobody has reaped yet."""

_interpreter = ctypes.PyDLL(None, use_errno=True)
"""Keeps the interpreter's lock over the call, as os.fork does."""


def fork_sibling(body: Callable[[], None], *, share_files: bool = False) -> int:
    """Fork a process whose parent is the caller's parent (clone(2), CLONE_PARENT), and run the body in it.

    It owns a copy of the descriptors, or with `share_files` the same table (CLONE_FILES). Like every child it ends in
    os._exit and gets SIGKILL when that parent dies. Raises OSError, ENOSYS on a machine whose clone(2) is not known.
    """
    parent = os.getppid()
    flags = CLONE_PARENT | signal.SIGCHLD | (CLONE_FILES if share_files else 0)
    return _clone(flags, lambda: live(body, parent))


def fork_unseen(body: Callable[[], None], *, group: int) -> int:
    """`fork_child` of one that ordinary waits pass over: it ends without a signal, so that only WALL finds it.

    Where there is no other child waitid(2) says so at once. On a machine whose clone(2) is not known it is an ordinary
    child.
    """
    if platform.machine() not in SYS_CLONE:
        return fork_child(body, group=group)
    parent = os.getpid()
    with stops_held():
        pid = _clone(0, lambda: live(body, parent, group))
        join_group(group, pid)
        unseen.add(pid)
        return pid


def _clone(flags: int, child: Callable[[], NoReturn]) -> int:
    """The pid of a new process, which runs `child`. Raises OSError."""
    number = SYS_CLONE.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "clone(2) is not known here")
    _interpreter.PyOS_BeforeFork()
    pid = int(_interpreter.syscall(ctypes.c_long(number), ctypes.c_ulong(flags), *[ctypes.c_void_p()] * 4))
    if not pid:
        _interpreter.PyOS_AfterFork_Child()
        child()
    _interpreter.PyOS_AfterFork_Parent()
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return pid
