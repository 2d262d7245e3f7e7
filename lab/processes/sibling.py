"""Children that fork(2) does not make: one whose parent is the caller's parent, and one that waits do not see."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable
from typing import NoReturn

from .child import fork_child, join_group, live, stops_held

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
