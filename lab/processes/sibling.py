"""A process that a child of ours makes and that is ours all the same: it lives on when its maker ends."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable

from .child import live

SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
"""clone(2) by machine, where its first argument is the flags; the C library offers no wrapper that copies the stack."""

CLONE_FILES, CLONE_PARENT = 0x400, 0x8000

_interpreter = ctypes.PyDLL(None, use_errno=True)
"""Keeps the interpreter's lock over the call, as os.fork does."""


def fork_sibling(body: Callable[[], None], *, share_files: bool = False) -> int:
    """Fork a process whose parent is the caller's parent (clone(2), CLONE_PARENT), and run the body in it.

    It owns a copy of the descriptors, or with `share_files` the same table (CLONE_FILES). Like every child it ends in
    os._exit and gets SIGKILL when that parent dies. Raises OSError, ENOSYS on a machine whose clone(2) is not known.
    """
    number = SYS_CLONE.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "clone(2) is not known here")
    parent = os.getppid()
    flags = CLONE_PARENT | signal.SIGCHLD | (CLONE_FILES if share_files else 0)
    _interpreter.PyOS_BeforeFork()
    pid = int(_interpreter.syscall(ctypes.c_long(number), ctypes.c_ulong(flags), *[ctypes.c_void_p()] * 4))
    if not pid:
        _interpreter.PyOS_AfterFork_Child()
        live(body, parent)
    _interpreter.PyOS_AfterFork_Parent()
    if pid < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return pid
