"""One forked child: it ends in os._exit, and it ends when its parent does."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def fork_child(body: Callable[[], None], *, group: int | None = None) -> int:
    """Fork, run the body in the child, and return the child's pid to the parent.

    The child exits with 0, or with 1 when the body raised (traceback on stderr). It gets SIGKILL when the
    parent dies on any way out (prctl(2), PR_SET_PDEATHSIG). Group 0 makes it the leader of a new process
    group, another number puts it into that one. Raises OSError where fork(2) is refused.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        _join(group, pid)
        return pid
    status = 1
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            _join(group, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            body()
            status = 0
    except BaseException:  # whatever it was, it must not reach the caller's frames
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _join(group: int | None, pid: int) -> None:
    """Put a process into a group; parent and child both do it, so that neither needs the other's turn."""
    if group is not None:
        try:
            os.setpgid(pid, group)
        except (ProcessLookupError, PermissionError):
            if pid == 0:
                raise


def die() -> None:
    """End this process as SIGKILL ends it: no handler, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


def private_bytes() -> int:
    """The memory that only this process has (USS): the sum of Private_* in /proc/self/smaps_rollup (proc(5)).

    psutil tells the same; it is not used because it imports threading, which doubles the cost of every fork.
    """
    with open("/proc/self/smaps_rollup", "rb") as lines:
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(b"Private_"))


@dataclass(frozen=True, slots=True)
class Child:
    """A child that a worker forked for itself."""

    pid: int

    def wait(self) -> int:
        """Reap it: its exit code, or minus the signal that ended it (waitpid(2))."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Terminated(BaseException):
    """SIGTERM reached the parent: it ends its workers as it does on Ctrl-C."""


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Within the block SIGTERM raises `Terminated` in the main thread instead of ending the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
