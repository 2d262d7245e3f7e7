"""Fork a child that always ends in os._exit, and that ends when its parent does.

Two kinds of children are not made by fork(2): one whose parent is the caller's parent, and one that ordinary waits do
not see.
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
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lab.errors import LabError, checked, refusal
from lab.output import flush_output, print_error

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 1, 36, 37
STREAMS = (0, 1, 2)
SIGKILL, SIG_DFL, SIG_UNBLOCK = int(signal.SIGKILL), int(signal.SIG_DFL), int(signal.SIG_UNBLOCK)

STOPS = (int(signal.SIGINT), int(signal.SIGTERM), int(signal.SIGHUP))
"""The signals with which a user, a supervisor or a closed terminal stops a program.

Each raises an exception in the parent.
"""

prctl = ctypes.CDLL(None).prctl
quick = import_module("_signal")
"""The module with signal.signal and pthread_sigmask without their enumerations.

A child copies a page for most objects that it looks at.
"""


@contextmanager
def stops_held() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGHUP within the block: no exception comes between a fork and its bookkeeping.

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

    The child exits with 0, with what a SystemExit says, or with 1 when the body raised (reported on stderr). It gets
    SIGKILL when the parent dies on any way out (prctl(2), PR_SET_PDEATHSIG). Group 0 makes it the leader of a new
    process group, another number puts it into that one. Raises OSError where fork(2) is refused.
    """
    with stops_held():
        return fork_held(body, group=group)


def fork_held(body: Callable[[], None], *, group: int | None = None) -> int:
    """Do as `fork_child`, for a caller that forks many and holds the stops (`stops_held`) all the while."""
    parent = os.getpid()
    flush_output()  # what the child prints comes after it, and the child has no copy to print
    pid = os.fork()
    if not pid:
        live(body, lambda: os.getppid() == parent, group)
    join_group(group, pid)
    return pid


def live(body: Callable[[], None], there: Callable[[], bool], group: int | None = None) -> NoReturn:
    """Run the body in a forked process, with the guarantees of `fork_child`.

    `there` returns whether its parent lives: one that died before the signal was asked for sends none.
    """

    def begun() -> None:
        prctl(PR_SET_PDEATHSIG, SIGKILL)
        if not there():
            raise SystemExit(1)
        join_group(group, 0)
        for stop in STOPS:
            quick.signal(stop, SIG_DFL)
        quick.pthread_sigmask(SIG_UNBLOCK, STOPS)
        body()

    end_after(begun)


def end_after(body: Callable[[], None]) -> NoReturn:
    """Run the body in a forked process, and end that process with its exit code."""
    status = 1
    try:
        body()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException as error:  # whatever it was, it must not reach the caller's frames
        print_error(_told(error))
    finally:
        os._exit(status)


def _told(error: BaseException) -> str:
    """Return one line for what the environment refused, and a traceback for a mistake.

    A mistake is mostly one of the user's code.
    """
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
    """Close the standard streams: a reader that reads them to their end does not wait for a child that hangs."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in STREAMS:
        os.dup2(null, stream)
    if null > STREAMS[-1]:  # else it is one of them: the caller had closed that
        os.close(null)


def close_all_but(*kept: int) -> None:
    """Close all descriptors but these and the standard streams."""
    last = STREAMS[-1]
    for descriptor in sorted(kept):
        os.closerange(last + 1, descriptor)
        last = descriptor
    os.closerange(last + 1, max(last, *map(int, os.listdir("/proc/self/fd"))) + 1)  # noqa: PTH208 - as text


def die() -> None:
    """End this process as SIGKILL ends it: no handler, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


def private_bytes() -> int:
    """Return the memory that only this process has (USS): the sum of Private_* in /proc/self/smaps_rollup (proc(5)).

    psutil returns the same; it is not used because it imports threading, which doubles the cost of every fork.
    """
    with Path("/proc/self/smaps_rollup").open("rb") as lines:
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(b"Private_"))


class Child:
    """A child that a worker forked for itself; `ended` once it was waited for."""

    __slots__ = ("ended", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = False

    def wait(self) -> int:
        """Reap it; return its exit code, or minus the signal that ended it (waitpid(2))."""
        status = os.waitpid(self.pid, 0)[1]
        self.ended = True
        return os.waitstatus_to_exitcode(status)


class Terminated(BaseException):
    """SIGTERM or SIGHUP reached the parent: it ends its workers as it does on Ctrl-C."""


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Raise `Terminated` in the main thread on SIGTERM and SIGHUP within the block, in place of the process's end.

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
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP within the block, as Ctrl-C does."""
    try:
        with stop_on_sigterm():
            yield
    except Terminated:
        raise KeyboardInterrupt from None


@contextmanager
def stops_noted(*, again: bool = True) -> Iterator[Sequence[int]]:
    """Note SIGINT, SIGTERM and SIGHUP within the block in what it yields; after it they have their usual effect.

    It is for calls into code that catches whatever is raised while it runs. The first signal that was noted is sent
    once more after the block, unless `again` is False: for code that handles it itself.
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
"""The number of clone(2) by machine, where its first argument is the flags.

The C library offers no wrapper that copies the stack.
"""

CLONE_FILES, CLONE_PARENT = 0x400, 0x8000
WALL = 0x4000_0000
"""The flag __WALL of waitpid(2): it includes children that `fork_unseen` made."""

unseen: set[int] = set()
"""The children of this process that `fork_unseen` made and that have not been reaped yet."""

_interpreter = ctypes.PyDLL(None, use_errno=True)
"""The C library; a call keeps the interpreter's lock, as os.fork does."""


def fork_sibling(body: Callable[[], None], *, share_files: bool = False) -> int:
    """Fork a process whose parent is the caller's parent (clone(2), CLONE_PARENT), and run the body in it.

    It owns a copy of the descriptors, or with `share_files` the same table (CLONE_FILES). Like every child it ends in
    os._exit and gets SIGKILL when that parent dies. Raises OSError, ENOSYS on a machine whose clone(2) is not known.
    """
    parent = os.getppid()
    flags = CLONE_PARENT | signal.SIGCHLD | (CLONE_FILES if share_files else 0)
    return clone(flags, lambda: live(body, lambda: os.getppid() == parent))


def fork_unseen(body: Callable[[], None], *, group: int) -> int:
    """Do as `fork_child`, for a child that ordinary waits pass over: it ends without a signal, so only WALL finds it.

    Where there is no other child waitid(2) says so at once. On a machine whose clone(2) is not known it is an ordinary
    child.
    """
    if platform.machine() not in SYS_CLONE:
        return fork_child(body, group=group)
    parent = os.getpid()
    with stops_held():
        pid = clone(0, lambda: live(body, lambda: os.getppid() == parent, group))
        join_group(group, pid)
        unseen.add(pid)
        return pid


def clone(flags: int, child: Callable[[], NoReturn]) -> int:
    """Start a new process, which runs `child`; return its pid. Raises OSError."""
    number = SYS_CLONE.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "clone(2) is not known here")
    _interpreter.PyOS_BeforeFork()
    pid = int(_interpreter.syscall(ctypes.c_long(number), ctypes.c_ulong(flags), *[ctypes.c_void_p()] * 4))
    if not pid:
        _interpreter.PyOS_AfterFork_Child()
        child()
    _interpreter.PyOS_AfterFork_Parent()
    checked(pid)
    return pid
