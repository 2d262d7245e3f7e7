"""Keep the actors of one program for the next: they are forked once and used again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from errno import EMFILE, ENFILE
from pathlib import Path
from signal import SIGKILL

from lab.errors import CannotRunError
from lab.memory import Folder
from lab.processes import note_hang, stops_held
from lab.records import Stuck

from .controller import KILLED_S, OF_PROCESSES, ActorHandle, Patience
from .handoff import measure_handoffs
from .stage import RealStage


class ActorPool:
    """The actors, kept from one program to the next; a `with` block at the end of which only stuck actors are left.

    `folders` is one directory seen through each of the mounts; it is kept open, so that the actors find their files
    even if the directory is moved. Raises CannotRunError where fork(2) is refused.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.patience = Patience()
        self.stuck: list[Stuck] = []
        self._measured = False
        self._idle: list[ActorHandle] = []
        self._programs = 0
        self._open = ExitStack()
        self._within: list[int] = []

    def __enter__(self) -> ActorPool:
        self._within = [self._open.enter_context(Folder.at(path).opened()) for path in self.folders]
        return self

    def __exit__(self, *_: object) -> None:
        with stops_held(), self._open:
            self.rest()

    def know_handoffs(self) -> Patience:
        """Measure once how long hand-offs of locks take here: all time limits are scaled by it."""
        if not self._measured:
            self._measured = True
            self.patience = Patience(measure_handoffs(self.stage))
        return self.patience

    @contextmanager
    def stage(self) -> Iterator[RealStage]:
        """Make a stage for one program, with fresh files; afterwards all its actors have ended or are reset."""
        self._programs += 1
        stage = RealStage(self.folders, self.take, self.patience, f"{self._programs:x}-")
        try:
            yield stage
        finally:
            with stops_held():
                stuck = len(self.stuck)
                self._dismiss(stage.handles)
                if len(self.stuck) == stuck:
                    self._remove(stage.names)

    def take(self, folder: int) -> ActorHandle:
        """Return an actor in its initial state, on that mount."""
        handle = self._idle_on(folder) or self._forked(folder)
        handle.answer_s = self.patience.answer_s
        return handle

    def _idle_on(self, folder: int) -> ActorHandle | None:
        for handle in self._idle:
            if handle.folder == folder:
                self._idle.remove(handle)
                return handle
        return None

    def _forked(self, folder: int) -> ActorHandle:
        try:
            with stops_held():
                return ActorHandle.forked(folder, self._within[folder])
        except OSError as error:
            limit = "ulimit -n" if error.errno in (EMFILE, ENFILE) else OF_PROCESSES
            raise CannotRunError(f"no further process ({error.strerror}); raise the limit ({limit})") from error

    def _dismiss(self, handles: list[ActorHandle]) -> None:
        idle = [handle for handle in handles if handle.fresh and not handle.pending]
        for handle in idle:
            handle.tell("forget")
        self.end([handle for handle in handles if handle not in idle])
        deadline = time.monotonic() + self.patience.answer_s
        for handle in idle:
            if handle.answer(deadline - time.monotonic()) == "ok":
                self._idle.append(handle)
            else:
                self.end([handle])

    def rest(self) -> None:
        """End the actors that are kept for the next program, because the next step needs the machine for itself."""
        self.end(self._idle)
        self._idle = []

    def _remove(self, names: Iterable[str]) -> None:
        """Have an actor remove the files: a process that hangs in that keeps all others out of the directory.

        Files on which a process is stuck are therefore not removed.
        """
        handle = self.take(0)
        handle.tell("remove", *names)
        if handle.answer(handle.answer_s) == "ok":
            self._idle.append(handle)
        else:
            self.end([handle])

    def end(self, handles: list[ActorHandle]) -> None:
        """Kill and reap them; record those that survive with the place where they hang, and leave them behind.

        End the waiting ones first: some clients of network filesystems (GlusterFS) do not survive a signal to a waiter
        while the end of the holder releases the lock.
        """
        waiting = [handle for handle in handles if handle.pending]
        self._end(waiting)
        self._end([handle for handle in handles if handle not in waiting])

    def _end(self, handles: Sequence[ActorHandle]) -> None:
        for handle in handles:
            handle.process.send(SIGKILL)
        deadline = time.monotonic() + KILLED_S
        for handle in handles:
            if handle.process.wait(max(0.0, deadline - time.monotonic())) is None:
                stuck = Stuck(handle.process.pid, handle.process.sleeps_in() or "unknown")
                self.stuck.append(stuck)
                note_hang(f"the end of a program's processes, asleep in {stuck.where}")
            handle.close()
