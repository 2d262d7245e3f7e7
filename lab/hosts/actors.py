"""Keep the actors of a check on this host: the keeper's side of `lab.hosts.stage`.

The controller of an actor has to be beside it: it reads /proc and sends signals. So it is here, and what it is asked
comes from there, one method after the other. The fresh folder of the check is made, found and removed here too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from signal import Signals
from typing import Any

from lab.checking.actors.actor import Ordered
from lab.checking.actors.controller import KILLED_S, ActorHandle
from lab.checking.mounts import check_usable, clear, make_folder, silent
from lab.checking.stress.run import answering, lock_file_in, refusal_of
from lab.errors import CannotRunError
from lab.memory import Folder
from lab.memory.workspace import find, hide
from lab.processes.deadlines import Watched


class _Here:
    """The folder of the check as this host sees it, and the actors by their numbers."""

    def __init__(self) -> None:
        self.folder: Folder | None = None
        self.within = -1
        self.handles: dict[int, ActorHandle] = {}
        self.processes: list[Watched] = []
        """More processes, which are no actors."""
        self.open = ExitStack()
        self.count = 0

    def enter(self, folder: Folder) -> dict[str, Any]:
        """Keep the folder open: its actors find their files even if it is moved."""
        self.folder = folder
        self.within = self.open.enter_context(folder.opened())
        return {"device": folder.device, "inode": folder.inode}

    def add(self, handle: ActorHandle) -> list[int]:
        """Return its number and its process id."""
        self.count += 1
        self.handles[self.count] = handle
        return [self.count, handle.process.pid]


HERE = _Here()


def make(directory: str, name: str, own: str) -> dict[str, Any]:
    """Make the folder of the check, with a file in it that the other hosts look for; try under the name `own` first."""
    check_usable(Path(directory, own))
    return HERE.enter(make_folder(Path(directory, name)))


def seek(directory: str, name: str, own: str) -> dict[str, Any]:
    """Find the folder that another host made; before, try under the name `own` whether this one may write there."""
    check_usable(Path(directory, own))
    try:
        return HERE.enter(find(Path(directory, name), Path(directory, name)))
    except CannotRunError as error:
        raise CannotRunError(f"{directory}: does not show a folder that another host made in it") from error


def hide_file() -> dict[str, Any]:
    """Remove the file that the others have found."""
    if HERE.folder:
        hide(HERE.folder)
    return {}


def start(answer_s: float) -> dict[str, Any]:
    """Fork an actor."""
    handle = ActorHandle.forked(0, HERE.within)
    handle.answer_s = answer_s
    number, pid = HERE.add(handle)
    return {"number": number, "pid": pid}


def direct(number: int, steps: Sequence[tuple[str, Sequence[Any]]], answer_s: float) -> dict[str, Any]:
    """Ask the controller of an actor these things, one after the other; return what the last one returned."""
    handle = HERE.handles[number]
    handle.answer_s = answer_s
    value: Any = None
    for method, arguments in steps:
        value = _asked(handle, method, arguments)
    return {"value": value, "fresh": handle.fresh, "waits": handle.pending is not None}


def _asked(handle: ActorHandle, method: str, arguments: Sequence[Any]) -> Any:
    if method == "fork":
        made = handle.fork(*arguments)
        return made if isinstance(made, str) else HERE.add(made)
    if method == "make_all":
        return handle.make_all([Ordered(*call) for call in arguments[0]])
    if method == "send":
        return handle.process.send(Signals(arguments[0]))
    if method == "reaches":
        letter, timeout_s, wanted = arguments
        return handle.process.reaches(letter, timeout_s, wanted=wanted)
    of_the_process: dict[str, Callable[..., Any]] = {"wait": handle.process.wait, "sleeps_in": handle.process.sleeps_in}
    asked: Callable[..., Any] = of_the_process.get(method) or getattr(handle, method)
    return asked(*arguments)


def close(number: int) -> dict[str, Any]:
    """Forget an actor that has ended, or that cannot be ended."""
    HERE.handles.pop(number).close()
    return {}


def end_all() -> dict[str, Any]:
    """End all actors, the waiting ones first (see `ActorPool.end`); return the stuck ones and where they hang."""
    stuck = []
    handles = sorted(HERE.handles.values(), key=lambda handle: handle.pending is None)
    for waits in (True, False):
        some = [handle for handle in handles if (handle.pending is not None) == waits]
        for handle in some:
            handle.process.send(Signals.SIGKILL)
        deadline = time.monotonic() + KILLED_S
        for handle in some:
            if handle.process.wait(max(0.0, deadline - time.monotonic())) is None:
                stuck.append([handle.process.pid, handle.process.sleeps_in() or "unknown"])
            handle.close()
    HERE.handles.clear()
    for process in HERE.processes:
        process.send(Signals.SIGKILL)
        if process.wait(KILLED_S) is None:
            stuck.append([process.pid, process.sleeps_in() or "unknown"])
    HERE.processes.clear()
    return {"stuck": stuck}


def answers() -> dict[str, Any]:
    """Tell whether a file can be made and removed in the folder; a child of this process tries it."""
    late = silent([HERE.folder.path]) if HERE.folder else {}
    return {"answers": not late, "where": late[0].where if late else ""}


def locks() -> dict[str, Any]:
    """Try each lock in the folder, alone, in a child of its own; return what it does, by its name."""
    folder = HERE.folder
    tried = answering([folder.path]) if folder else {}
    return {
        "locks": {
            name: {"pair_ns": each.pair_ns, "errno": each.errno, "hung": each.hung.reason if each.hung else ""}
            for name, each in tried.items()
        }
    }


def lock_file(name: str) -> dict[str, Any]:
    """Make and remove a lock file in the folder; return how long that takes, or the errno of a refusal."""
    folder = HERE.folder
    tried = lock_file_in([folder.path] if folder else [], name)
    return {"pair_ns": tried.pair_ns, "errno": tried.errno}


def refusal(backing: str) -> dict[str, Any]:
    """Return the reason why data cannot be backed so in the folder; empty where it can."""
    return {"reason": refusal_of(backing, [HERE.folder.path]) if HERE.folder else ""}


def remove(path: str, device: int, inode: int) -> dict[str, Any]:
    """Remove the folder and what is in it; return the reason why it still exists, empty where it is gone.

    Its numbers are 0 where whoever asks has not heard of it: then it is removed if this host has made or found it.
    """
    HERE.open.close()
    if not inode and HERE.folder:
        device, inode = HERE.folder.device, HERE.folder.inode
    return {"why": clear(Path(path), device, inode) if inode else ""}
