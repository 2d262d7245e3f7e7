"""Keep the actors of one program for the next: they are forked once and used again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from errno import EMFILE, ENFILE
from pathlib import Path
from signal import SIGKILL

from lab.checking.language import REQUESTS, parse
from lab.checking.mounts import silent
from lab.errors import CannotRunError
from lab.host.environment import is_local, mounts_of
from lab.memory import Folder
from lab.processes import TOUCH_S, doing, note_hang, stops_held
from lab.records import Stuck

from .controller import KILLED_S, OF_PROCESSES, ActorHandle, Handle, Patience
from .stage import RealStage

LOOK_S = 1.0
"""A process that waits for others runs at least this often, in seconds; otherwise it would itself seem to hang."""

CEILING_S = 10.0
"""A lock whose hand-off takes longer than this counts as one that is not handed over."""

QUICK_S = 0.1
ROUNDS = 3
"""All of it is measured this many times while it is quick."""

Stages = Callable[[], AbstractContextManager[RealStage]]


def measure_handoffs(stages: Stages) -> Patience:
    """Return the patience that follows from the slowest hand-off of each lock, and which locks were not handed over.

    Stop early where a request is not answered: the state that it left behind shows enough.
    """
    slowest: dict[str, float] = {}
    asleep: set[str] = set()
    for _ in range(ROUNDS):
        with stages() as stage:
            measurement = _Measurement(stage)
            found = measurement.perform()
        asleep |= measurement.asleep
        for lock, seconds in found.items():
            slowest[lock] = max(seconds, slowest.get(lock, 0.0))
        if not found or max(found.values()) > QUICK_S:
            break
    return Patience(slowest, asleep)


class _Measurement:
    """One program: actors A, B and C of each lock, on a file of its own."""

    def __init__(self, stage: RealStage) -> None:
        self.asleep: set[str] = set()
        """The locks for which processes still wait at the end, though they were released."""
        self._stage = stage
        self._silent = False

    def perform(self) -> dict[str, float]:
        """Return the slower hand-off of each lock whose waiters both were granted it."""
        ready = [lock for lock in REQUESTS if self._is_contended(lock)]
        waiting = {f"{actor}{lock}": lock for lock in ready for actor in "BC"}
        released = {lock: self._release(f"A{lock}", lock) for lock in ready}
        took: dict[str, list[float]] = {lock: [] for lock in ready}
        deadline = time.monotonic() + CEILING_S
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            for name in self._stage.first_back(waiting, min(left_s, LOOK_S)):
                lock = waiting.pop(name)
                took[lock].append(time.monotonic() - released[lock])
                if self._said(f"{name}: returns = granted") != "granted":
                    took[lock].clear()
                    waiting = {other: its for other, its in waiting.items() if its != lock}
                    break
                released[lock] = self._release(name, lock)
        self.asleep = set() if self._silent else {*waiting.values()}
        return {lock: max(seconds) for lock, seconds in took.items() if len(seconds) == 2}

    def _is_contended(self, lock: str) -> bool:
        """Open, acquire and wait; return False where any of it has another result."""
        take, wait, _ = REQUESTS[lock]
        a, b, c = (f"{actor}{lock}" for actor in "ABC")
        opened = (f"{name}: open {lock} as f = ok" for name in (a, b, c))
        steps = [*opened, f"{a}: {take} = granted", f"{b}: {wait} = waits", f"{c}: {wait} = waits"]
        return all(not self._silent and self._said(line) == line.rpartition(" = ")[2] for line in steps)

    def _release(self, name: str, lock: str) -> float:
        """Unlock; return the moment at which the unlock began."""
        begun = time.monotonic()
        self._said(f"{name}: {REQUESTS[lock][2]} = granted")
        return begun

    def _said(self, line: str) -> str:
        [step] = parse(line)
        observed = self._stage.perform(step.call, step.expected)
        self._silent = self._silent or observed.startswith("no answer")
        return observed


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
        self._idle: list[Handle] = []
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
            self.patience = measure_handoffs(self.stage)
        return self.patience

    @contextmanager
    def stage(self) -> Iterator[RealStage]:
        """Make a stage for one program, with fresh files; afterwards all its actors have ended or are reset."""
        self._programs += 1
        stage = self._stage(f"{self._programs:x}-")
        try:
            yield stage
        finally:
            with stops_held():
                stuck = len(self.stuck)
                self._dismiss(stage.handles)
                if len(self.stuck) == stuck:
                    self._remove(stage.names)

    def dead(self) -> list[int]:
        """Return the mounts, by number, that do not answer any more."""
        return list(silent(self.folders))

    def is_local(self) -> bool:
        """Tell whether all is on filesystems of this kernel alone."""
        with doing("opening the folders", TOUCH_S):
            return is_local(mounts_of(self.folders))

    def _at(self, folder: int) -> str:
        """Return the words that name the host of a process; empty on this machine."""
        return ""

    def _stage(self, prefix: str) -> RealStage:
        return RealStage(self.folders, self.take, self.patience, prefix)

    def take(self, folder: int) -> Handle:
        """Return an actor in its initial state, on that mount."""
        handle = self._idle_on(folder) or self._forked(folder)
        handle.answer_s = self.patience.answer_s
        return handle

    def _idle_on(self, folder: int) -> Handle | None:
        for handle in self._idle:
            if handle.folder == folder:
                self._idle.remove(handle)
                return handle
        return None

    def _forked(self, folder: int) -> Handle:
        try:
            with stops_held():
                return ActorHandle.forked(folder, self._within[folder])
        except OSError as error:
            limit = "ulimit -n" if error.errno in (EMFILE, ENFILE) else OF_PROCESSES
            raise CannotRunError(f"no further process ({error.strerror}); raise the limit ({limit})") from error

    def _dismiss(self, handles: list[Handle]) -> None:
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

    def end(self, handles: list[Handle]) -> None:
        """Kill and reap them; record those that survive with the place where they hang, and leave them behind.

        End the waiting ones first: some clients of network filesystems (GlusterFS) do not survive a signal to a waiter
        while the end of the holder releases the lock.
        """
        waiting = [handle for handle in handles if handle.pending]
        self._end(waiting)
        self._end([handle for handle in handles if handle not in waiting])

    def _end(self, handles: Sequence[Handle]) -> None:
        for handle in handles:
            handle.process.send(SIGKILL)
        deadline = time.monotonic() + KILLED_S
        for handle in handles:
            if handle.process.wait(max(0.0, deadline - time.monotonic())) is None:
                stuck = Stuck(handle.process.pid, f"{handle.process.sleeps_in() or 'unknown'}{self._at(handle.folder)}")
                self.stuck.append(stuck)
                note_hang(f"the end of a program's processes, asleep in {stuck.where}")
            handle.close()
