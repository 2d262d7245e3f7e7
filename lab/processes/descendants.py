"""Find and end what the children of this process start themselves.

A process whose parent has died goes to the nearest living ancestor that requested it (prctl(2),
PR_SET_CHILD_SUBREAPER), also where it made a session of its own or was forked twice (daemon(3)). So no descendant gets
lost as long as this process lives. Where this process is killed, see `lab.processes.external`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from lab.host.procfs import ENDED, processes, sleeps_in

from .child import PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER, prctl, stops_held, unseen

GRACE_S = 0.1
"""The time, in seconds, that a descendant whose ancestors have ended has to end by itself.

Many do, when a pipe closes.
"""

KILL_GRACE_S = 2.0
LOOK_AGAIN_S = 0.001
FORK = "a fork of a worker"
GONE = 0


class Orphan(NamedTuple):
    """A process that outlived the child of this process which had started it, and was killed.

    `command` is its command line, or `FORK` where it runs no program of its own. One that does not end on SIGKILL has
    not `ended`, and `where` is the function of the kernel in which it sleeps, where the kernel says so.
    """

    pid: int
    command: str
    ended: bool = True
    where: str = ""

    def __str__(self) -> str:
        """Return its command and process id, and where it hangs."""
        hangs = "" if self.ended else f", which does not end on SIGKILL{f' in {self.where}' if self.where else ''}"
        return f"{self.command} (process {self.pid}){hangs}"


class Descendants:
    """Adopt what the children of this process leave behind within the block; kill and reap it at the end.

    Children that were there before the block are left alone. Children that the caller forks within it are its own to
    reap: those that it has not reaped by then count as left behind.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._adopted_before = False

    def __enter__(self) -> Descendants:
        self._known = set(_children())
        self._adopted_before = _adopts()
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if not self._adopted_before:
            prctl(PR_SET_CHILD_SUBREAPER, 0)

    def end(self, *, but: Collection[int] = (), grace_s: float = GRACE_S) -> list[Orphan]:
        """Kill and reap every descendant but those children; return those that lived on after the grace.

        This costs one system call where there is none. One that does not end on SIGKILL is reported once, and then
        left.
        """
        self._known.update(but)
        found: dict[int, str] = {}
        with stops_held():
            killing, deadline = False, time.monotonic() + grace_s
            while left := self._left():
                alive = left - {GONE}
                if killing:
                    found.update((pid, _command(pid)) for pid in alive - found.keys())
                    for pid in alive:
                        os.kill(pid, signal.SIGKILL)  # a child that is not reaped: the number is still its own
                if time.monotonic() < deadline:
                    time.sleep(LOOK_AGAIN_S if alive else 0)
                elif killing:
                    break
                else:
                    killing, deadline = True, time.monotonic() + KILL_GRACE_S
        self._known.update(left)
        return [Orphan(pid, command, pid not in left, _hanging(pid, left)) for pid, command in sorted(found.items())]

    def _left(self) -> set[int]:
        """Return the children that are not known; `GONE` stands for one reaped now, whose own children may not be seen
        yet.
        """
        return {GONE if _reap(pid) else pid for pid in _children() if pid not in self._known}


def _adopts() -> bool:
    asked = ctypes.c_int()
    prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(asked), 0, 0, 0)
    return bool(asked.value)


def _children() -> Iterator[int]:
    """Yield the children that are not reaped, but for group reapers; /proc is read only where there are any."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    me = os.getpid()
    for pid, stat in processes():
        if stat.parent == me and pid not in unseen:
            yield pid


def living_descendants(root: int | None = None) -> list[int]:
    """Return every process below this one, or below another, that has not ended."""
    root = root or os.getpid()
    parents = {pid: stat.parent for pid, stat in processes() if stat.state != ENDED}
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return sorted(found - {root})


def kill_tree(root: int) -> None:
    """Kill a child of this process that is not reaped, with all that descends from it.

    All are stopped first, so that none starts another meanwhile, or does anything once its parent is gone.
    """
    os.kill(root, signal.SIGSTOP)
    handles: dict[int, int] = {}
    deadline = time.monotonic() + KILL_GRACE_S
    try:
        while (new := set(living_descendants(root)) - handles.keys()) and time.monotonic() < deadline:
            for pid in new:
                with suppress(OSError):
                    handles[pid] = os.pidfd_open(pid)
            there = living_descendants(root)  # those that still are: their handles are not another process's
            for pid in new & handles.keys():
                if pid in there:
                    _signal(handles[pid], signal.SIGSTOP)
                else:
                    os.close(handles.pop(pid))
        os.kill(root, signal.SIGKILL)
        for handle in handles.values():
            _signal(handle, signal.SIGKILL)
    finally:
        for handle in handles.values():
            os.close(handle)


def _signal(handle: int, number: signal.Signals) -> None:
    """Signal a process by its descriptor; nothing happens where it has ended."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def _reap(pid: int) -> bool:
    """Reap a child where it has ended; return True where it did."""
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def _command(pid: int) -> str:
    """Return its command line, cut to a line's length."""
    with suppress(OSError):
        words = _words(pid)
        if words == _words(os.getpid()):
            return FORK
        if words:
            return " ".join(words)[:200]
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "a process"


def _words(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return "".join(each if each.isprintable() else " " for each in text).split()


def _hanging(pid: int, left: Collection[int]) -> str:
    return sleeps_in(pid) if pid in left else ""
