"""Fork a child into a pid namespace of its own, with a /proc of its own, as a container gives one (pid_namespaces(7)).

    caller --fork--> maker --clone--> first   process 1 of the namespace: mounts its /proc, then sleeps
                       `-----clone--> child   process 2: runs the body

unshare(2) gives a namespace to the children that come after it, not to its caller, and it can be undone only by who has
the right to: so a maker does it, and ends. It makes both others as the caller's own children (CLONE_PARENT): the caller
waits for the child, and its exit code or signal is the child's own. The child is not process 1, on which signals whose
action is the default have no effect, not even its own SIGKILL; it has the same number in each such namespace, though.

The first process dies with the caller (PR_SET_PDEATHSIG), and with it the kernel kills everything in the namespace,
including processes that made sessions of their own. The caller ends it once the child has ended. Without the right to
make namespaces (CAP_SYS_ADMIN) the maker tries it in a new user namespace (user_namespaces(7)), in which the user keeps
its own number.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lab.errors import CannotRunError, checked

from .child import CLONE_PARENT, clone, close_all_but, detach_output, fork_held, live, stops_held
from .deadlines import LOOK_AGAIN_S, Watched, is_readable

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x2_0000, 0x1000_0000, 0x2000_0000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_SLAVE = 2, 4, 8, 1 << 14, 1 << 19

STARTS_S = 10.0
"""The time, in seconds, in which a namespace is made; one that is not there by then never will be."""

ADVICE = "run as root, or allow user namespaces (sysctl user.max_user_namespaces, user.max_pid_namespaces)"
MADE = struct.Struct("=ii")
"""The message of the maker: the first process and the child, or 0; the reason follows where the child is 0."""

_library = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Isolated:
    """A child in a namespace of its own, the first process of that, and the process group of both."""

    pid: int
    first: int
    group: int


def fork_isolated(body: Callable[[], None], *, group: int) -> Isolated:
    """Do as `fork_held` in a new pid namespace; both processes are the caller's to reap, and in this group.

    Group 0 is a new one. Raises CannotRunError, which says what was refused, OSError where fork(2) is.
    """
    caller = os.pidfd_open(os.getpid())
    readable, writable = os.pipe()
    try:
        maker = fork_held(lambda: _make(body, caller, writable), group=group)
        os.close(writable)
        writable = -1
        first, pid, reason = _received(readable, maker)
    finally:
        for descriptor in (caller, readable, writable):
            if descriptor >= 0:
                os.close(descriptor)
    if not pid:
        if first:
            end_namespaces([first])
        raise CannotRunError(f"no pid namespace for a worker: {reason}; {ADVICE}")
    return Isolated(pid, first, group or maker)


def end_namespaces(firsts: Iterable[int], limit_s: float = STARTS_S) -> set[int]:
    """Kill the first processes of these namespaces, and with them all that is left there, and reap them.

    Return those that do not end in this time, because a process of theirs does not end on SIGKILL.
    """
    left = set(firsts)
    for first in left:
        os.kill(first, signal.SIGKILL)
    return _not_reaped(left, limit_s)


def _not_reaped(pids: set[int], limit_s: float) -> set[int]:
    """Reap these children; return those that have not ended in this time."""
    left, deadline = set(pids), time.monotonic() + limit_s
    while left and time.monotonic() < deadline:
        left -= {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0]}
        time.sleep(LOOK_AGAIN_S if left else 0)
    return left


def refused_namespaces() -> str:
    """Try one namespace; return why it is not available here, or an empty text."""
    try:
        with stops_held():
            made = fork_isolated(lambda: None, group=0)
            child = Watched(made.pid)
            code = child.wait(STARTS_S)
            left = end_namespaces([made.first])
            child.wait(0)
            child.close()
    except CannotRunError as error:
        return str(error)
    except OSError as error:
        return f"fork refused ({error.strerror})"
    if code is None or left:
        return "a process in it does not end"
    return f"a process in it ended with {code}" if code else ""


def _received(readable: int, maker: int) -> tuple[int, int, str]:
    """Return the maker's message; without one it is killed."""
    content = os.read(readable, select.PIPE_BUF) if is_readable(readable, STARTS_S) else b""
    if not content:
        os.kill(maker, signal.SIGKILL)
    _not_reaped({maker}, STARTS_S)
    if not content:
        return 0, 0, "the process that makes it ended, or hangs"
    first, pid = MADE.unpack_from(content)
    return first, pid, content[MADE.size :].decode()


def _make(body: Callable[[], None], caller: int, message: int) -> None:
    """Make the namespace and both processes in it, and send their numbers, or the reason."""
    first = pid = 0
    reason = ""
    try:
        _unshare()
        readable, ready = os.pipe()
        first = clone(CLONE_PARENT | signal.SIGCHLD, lambda: _live(lambda: _be_first(ready), caller))
        os.close(ready)
        reason = _answer(readable)
        if not reason:
            os.close(readable)
            pid = clone(CLONE_PARENT | signal.SIGCHLD, lambda: _live(body, caller, message))
    except OSError as error:
        reason = f"{error.filename or 'clone(2)'}: {error.strerror}"
    os.write(message, MADE.pack(first, pid) + reason.encode())


def _live(body: Callable[[], None], caller: int, *unneeded: int) -> NoReturn:
    """Do as `live`: the parent has no number in the namespace, so a descriptor tells whether it still runs."""

    def there() -> bool:
        return not is_readable(caller, 0)

    def run() -> None:
        for descriptor in (caller, *unneeded):
            os.close(descriptor)
        body()

    live(run, there)


def _unshare() -> None:
    """Give the next children a pid namespace, and this process mounts of its own. Raises OSError."""
    try:
        _call("unshare(2)", _library.unshare, CLONE_NEWPID | CLONE_NEWNS)
    except PermissionError:
        user, own_group = os.geteuid(), os.getegid()
        maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{own_group} {own_group} 1"}
        _call("unshare(2)", _library.unshare, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS)
        for name, content in maps.items():
            Path("/proc/self", name).write_text(content)
    # What is unmounted outside goes here too; what is mounted here stays here.
    _call("mount(2)", _library.mount, None, b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None)


def _be_first(ready: int) -> None:
    """Mount this namespace's /proc, say how that went, and sleep: what loses its parent here is reaped (SIGCHLD)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_NOEXEC)
    try:
        _call("mount(2) of /proc", _library.mount, b"proc", b"/proc", b"proc", flags, None)
    except OSError as error:
        os.write(ready, f"{error.filename}: {error.strerror}".encode())
        return
    os.write(ready, b"+")
    detach_output()
    close_all_but()
    while True:
        signal.sigwait({signal.SIGUSR1})


def _answer(readable: int) -> str:
    """Return why the first process could not mount, or an empty text."""
    content = os.read(readable, select.PIPE_BUF) if is_readable(readable, STARTS_S / 2) else b""
    if not content:
        raise OSError(errno.ECHILD, "its first process ended, or hangs")
    return "" if content == b"+" else content.decode()


def _call(name: str, function: Callable[..., int], *arguments: object) -> None:
    checked(function(*arguments), name)
