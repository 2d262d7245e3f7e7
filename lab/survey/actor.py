"""Step the actors of an experiment on a lock: a process, its second thread and its child, one operation at a time.

A request for a lock may wait; every other operation ends at once.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lab.processes.actor import SteppedProcess
from lab.processes.blocked import LockWait
from lab.processes.rpc import Gone

from .observations import BUSY_S, GRANT_S, LOOK_AGAIN_S, LOOKS, SETTLE_S, SHORTEST_S
from .operations import AFTER_EXEC, GRANTED, OK, PENDING, Deeds, Locked
from .stage import Stage, Unclear

WAITS = "waits"
HANGS = "still waits"
WAITED_FOR = "the lock that it waited for"


class Actor(ABC):
    """A process or thread that may request a lock; the stage records what it does."""

    def __init__(self, name: str, stage: Stage, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.heard_ns = 0
        self._stage = stage
        self._thread: int | None = None
        self._locked = Locked()

    @abstractmethod
    def _begin(self, deed: str, *values: object) -> None:
        """Begin an operation."""

    @abstractmethod
    def _heard(self, seconds: float) -> object:
        """Return the result of the operation, None where it has not ended after that time."""

    def _read(self, answer: Any) -> object:
        result, self.heard_ns = answer
        return result

    def acquires(self, asked: Locked | None = None) -> None:
        """Acquire a lock that is free, however long it takes. Raises Unclear where it is refused."""
        self._locked = asked or Locked()
        begun = time.monotonic()
        came_to = self.does("lock", *self._locked, told_as=in_words(self._locked))
        self._stage.granted_in(time.monotonic() - begun)
        if came_to != GRANTED:
            raise Unclear(f"{self.name} {in_words(self._locked)}, which no process holds: {came_to}")

    def asks(self, asked: Locked | None = None) -> str:
        """Request a lock; return "granted", "waits", or what the request raised at once."""
        asked = asked or Locked()
        self._locked = asked
        wait = LockWait(self.pid, self._stage.inodes, self._thread)
        self._begin("lock", *asked)
        if self._thread:
            wait.follow(self._thread)
        with self._noted(in_words(asked)):
            came_to = self._settled(wait)
        self._stage.show(self.name, in_words(asked), came_to)
        return came_to

    def goes_on(self) -> str:
        """Return the result of the request that waited, now that it need not wait any more."""
        came_to = self._heard(min(GRANT_S * self._stage.slowness, self._stage.left_s()))
        self._stage.show(self.name, WAITED_FOR, HANGS if came_to is None else str(came_to))
        return HANGS if came_to is None else str(came_to)

    def still(self, seconds: float = 0) -> str:
        """Return the result of the request that waited, "waits" where it still waits after this time."""
        came_to = self._heard(seconds)
        if came_to is None:
            return WAITS
        self._stage.show(self.name, WAITED_FOR, str(came_to))
        return str(came_to)

    def releases(self, asked: Locked | None = None) -> int:
        """Release the lock that was requested last; return the time just before."""
        begun = self.does("unlock", *(asked or self._locked), told_as="unlocks")
        return begun if isinstance(begun, int) else 0

    def does(self, deed: str, *values: object, told_as: str = "") -> object:
        """Do an operation that waits for no other process; return its result. Raises Limit where it does not end in
        time.
        """
        self._begin(deed, *values)
        came_to = None
        with self._noted(told_as):
            while came_to is None:
                came_to = self._heard(self._stage.left_s())
        if told_as:
            self._stage.show(self.name, told_as, came_to if isinstance(came_to, str) else OK)
        return came_to

    @contextmanager
    def _noted(self, call: str) -> Iterator[None]:
        """Record a call that has no result, where it has a name."""
        try:
            yield
        except Unclear as unclear:
            if call:
                self._stage.show(self.name, call, str(unclear))
            raise

    def _settled(self, wait: LockWait) -> str:
        """Return the result of a request, "waits" where it is blocked."""
        while True:
            came_to = self._heard(LOOK_AGAIN_S)
            if came_to is not None:
                return str(came_to)
            if wait.is_blocked(SETTLE_S * self._stage.slowness) or self._looks_on(wait):
                came_to = self._heard(0)  # an actor that has answered sleeps too
                return WAITS if came_to is None else str(came_to)
            self._stage.left_s()

    def _looks_on(self, wait: LockWait) -> bool:
        """Return whether the request has looked again often enough, or for long enough without a sleep."""
        slow = self._stage.slowness
        return wait.seconds > BUSY_S * slow or (wait.seconds > SHORTEST_S * slow and wait.polls(LOOKS))


def in_words(asked: Locked) -> str:
    """Return the request as text."""
    file = f" of file {asked.file + 1}" if asked.file else ""
    through = ", through an open of its own" if asked.opened else ""
    kind = "write" if asked.write else "read"
    return f"locks bytes {asked.start} to {asked.start + asked.length - 1}{file} to {kind}{through}"


KILLED = "ends"


class Process(Actor):
    """A process, forked now; it ends with the stage."""

    def __init__(self, name: str, stage: Stage) -> None:
        self._process = stage.actors.enter_context(SteppedProcess(Deeds(stage.files).perform))
        super().__init__(name, stage, self._process.pid)

    def _begin(self, deed: str, *values: object) -> None:
        self._process.begin(deed, *values)

    def _heard(self, seconds: float) -> object:
        try:
            answer = self._process.result(seconds)
        except Gone as gone:
            raise Unclear(f"{self.name} ended with {gone.code}") from gone
        return None if answer is None else self._read(answer)

    def starts_thread(self) -> Thread:
        """Return its second thread, which has its own opens of the files."""
        return Thread(f"{self.name}, its thread", self._stage, self)

    def forks(self) -> Child:
        """Fork a child that has copies of all that the process has."""
        pid = self.does("fork", told_as="forks a child")
        return Child(f"{self.name}, its child", self._stage, self, int(str(pid)))

    def closes_others(self) -> None:
        """Open and close every file of the lock once more, as code does that does not know of the lock."""
        self.does("touch", told_as="opens the file once more, and closes that")

    def dies(self) -> None:
        """Kill the process (SIGKILL)."""
        self._process.kill()
        with suppress(Gone):
            self._process.result(self._stage.left_s())
        self._stage.show(self.name, "SIGKILL", KILLED)

    def stops(self) -> None:
        """Stop the process (SIGSTOP)."""
        self._process.stop()
        self._stage.show(self.name, "SIGSTOP", "stops")

    def continues(self) -> None:
        """Continue the process (SIGCONT)."""
        self._process.resume()
        self._stage.show(self.name, "SIGCONT", "goes on")

    def execs(self, *, keep: bool) -> None:
        """Put another program in its place (execve(2)); from now on it can only die."""
        self._begin("exec", keep)
        commands = Path(f"/proc/{self.pid}/cmdline")
        while AFTER_EXEC.encode() not in commands.read_bytes():
            self._stage.left_s()
            time.sleep(LOOK_AGAIN_S)
        self._stage.show(self.name, f"execve, its descriptors {'left open' if keep else 'closed by it'}", OK)


class Second(Actor):
    """A thread or a child of a process; requests to it go through that process."""

    hear: str

    def __init__(self, name: str, stage: Stage, process: Process, pid: int) -> None:
        super().__init__(name, stage, pid)
        self._process = process

    def _heard(self, seconds: float) -> object:
        answer = self._process.does(self.hear, seconds)
        return None if answer == PENDING else self._read(answer)


class Thread(Second):
    """A thread; a new one is started for each operation."""

    hear = "hear_thread"

    def __init__(self, name: str, stage: Stage, process: Process) -> None:
        super().__init__(name, stage, process, process.pid)

    def _begin(self, deed: str, *values: object) -> None:
        self._thread = int(str(self._process.does("start_thread", deed, *values)))


class Child(Second):
    """A child of the process."""

    hear = "hear_child"

    def _begin(self, deed: str, *values: object) -> None:
        self._process.does("ask_child", deed, *values)

    def exits(self) -> None:
        """End as a program does."""
        self.does("close_and_exit", told_as="closes its descriptors, and exits")
