"""Step the actors of an experiment on a lock: a process, its second thread and its child, one operation at a time.

A request for a lock may wait; every other operation ends at once. The stage of an experiment has fresh files, the lock
prepared for each, the actors, and a record of their calls.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.locking import Lock, prepared
from lab.memory import Folder, create
from lab.processes.actor import LockWait, SteppedProcess
from lab.processes.rpc import Gone
from lab.records import ActorCall

from .operations import AFTER_EXEC, GRANTED, OK, PENDING, File, LockRequest, Operations

LOOKS = 10
SHORTEST_S = 0.02
"""The shortest time, in seconds, after which a request without an answer counts as waiting.

It counts so where it has left the processor so often by then that it evidently polls.
"""

SETTLE_S = 0.15
"""The time, in seconds, after which a request that polls less often counts as waiting if it sleeps.

It is three times 50 ms, the interval at which libraries usually poll: a false grant comes at once.
"""

BUSY_S = 1.0
"""The time, in seconds, after which a request that never sleeps counts as waiting: it spins."""

GRANT_S = 1.2
"""The time, in seconds, after which a request that should have been granted counts as hung.

It is over four times 250 ms, the interval of the slowest library known.
"""

USUAL_S = 0.01
"""The time, in seconds, in which a free lock is granted.

Where it takes longer, all these times grow by the same factor.
"""

LOOK_AGAIN_S = 0.001

SLOWEST = 6.0
"""The limit of a cell is multiplied by at most this factor, where a free lock is slow to acquire."""


class Unclear(Exception):  # noqa: N818 - a finding
    """The experiment gave no clear result; the text is the reason."""


class Limit(Unclear):
    """The time limit of the cell is over."""


class Stage:
    """Two files, so that two locks can be requested in opposite orders; all actors end with the block.

    `known` are the values of the properties that were looked at before, `slowness` how much longer than usual the lock
    takes. Raises CannotRunError where the lock cannot be made.
    """

    def __init__(self, lock: Lock, folder: Path, limit_s: float, known: Mapping[str, str]) -> None:
        self.folder = folder
        self.calls: list[ActorCall] = []
        self.actors = ExitStack()
        self.files: list[File] = []
        self.slowness = 1.0
        self.known = known
        self._lock = lock
        self._limit_s = limit_s
        self._begun = time.monotonic()
        self._prepared = ExitStack()

    def __enter__(self) -> Stage:
        try:
            for path in (self.folder / "1", self.folder / "2"):
                create(path, bytes(64), sparse=False)
                self.files.append(File(path, self._prepared.enter_context(prepared(self._lock, str(path)))))
        except BaseException:
            self._prepared.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.actors.close()
        finally:
            self._prepared.close()
            with suppress(OSError):
                Folder.at(self.folder).clear()

    def inodes(self) -> set[int]:
        """Return the inode numbers of the files there, including those that a lock keeps beside the data."""
        return {path.stat().st_ino for path in self.folder.iterdir()}

    def record_call(self, actor: str, call: str, result: str) -> None:
        """Record what an actor did, and the result."""
        self.calls.append(ActorCall(actor, call, result))

    def granted_in(self, seconds: float) -> None:
        """Record how long it took to acquire a free lock."""
        self.slowness = max(self.slowness, seconds / USUAL_S)

    def left_s(self) -> float:
        """Return the seconds until the cell is given up, more where all is slow; raises Limit where none are left."""
        left = self._begun + self._limit_s * min(self.slowness, SLOWEST) - time.monotonic()
        if left <= 0:
            raise Limit(f"inconclusive within {self._limit_s:g} s; --seconds gives more")
        return left


WAITS = "waits"
HANGS = "still waits"
WAITED_FOR = "the lock that it waited for"


class Actor(ABC):
    """A process or thread that may request a lock; the stage records what it does."""

    def __init__(self, name: str, stage: Stage, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.answered_ns = 0
        self._stage = stage
        self._thread: int | None = None
        self._locked = LockRequest()

    @abstractmethod
    def _begin(self, operation: str, *values: object) -> None:
        """Begin an operation."""

    @abstractmethod
    def _result(self, seconds: float) -> object:
        """Return the result of the operation, None where it has not ended after that time."""

    def _read(self, answer: Any) -> object:
        result, self.answered_ns = answer
        return result

    def acquires(self, request: LockRequest | None = None) -> None:
        """Acquire a lock that is free, however long it takes. Raises Unclear where it is refused."""
        self._locked = request or LockRequest()
        begun = time.monotonic()
        result = self.does("lock", *self._locked, label=in_words(self._locked))
        self._stage.granted_in(time.monotonic() - begun)
        if result != GRANTED:
            raise Unclear(f"{self.name} {in_words(self._locked)}, which no process holds: {result}")

    def asks(self, request: LockRequest | None = None) -> str:
        """Request a lock; return "granted", "waits", or what the request raised at once."""
        request = request or LockRequest()
        self._locked = request
        wait = LockWait(self.pid, self._stage.inodes, self._thread)
        self._begin("lock", *request)
        if self._thread:
            wait.follow(self._thread)
        with self._record_failure(in_words(request)):
            result = self._first_result(wait)
        self._stage.record_call(self.name, in_words(request), result)
        return result

    def goes_on(self) -> str:
        """Return the result of the request that waited, now that it need not wait any more."""
        result = self._result(min(GRANT_S * self._stage.slowness, self._stage.left_s()))
        self._stage.record_call(self.name, WAITED_FOR, HANGS if result is None else str(result))
        return HANGS if result is None else str(result)

    def still(self, seconds: float = 0) -> str:
        """Return the result of the request that waited, "waits" where it still waits after this time."""
        result = self._result(seconds)
        if result is None:
            return WAITS
        self._stage.record_call(self.name, WAITED_FOR, str(result))
        return str(result)

    def releases(self, request: LockRequest | None = None) -> int:
        """Release the lock that was requested last; return the time just before."""
        begun = self.does("unlock", *(request or self._locked), label="unlocks")
        return begun if isinstance(begun, int) else 0

    def does(self, operation: str, *values: object, label: str = "") -> object:
        """Do an operation that waits for no other process; return its result. Raises Limit where it does not end in
        time.
        """
        self._begin(operation, *values)
        result = None
        with self._record_failure(label):
            while result is None:
                result = self._result(self._stage.left_s())
        if label:
            self._stage.record_call(self.name, label, result if isinstance(result, str) else OK)
        return result

    @contextmanager
    def _record_failure(self, call: str) -> Iterator[None]:
        """Record a call that has no result, where it has a name."""
        try:
            yield
        except Unclear as unclear:
            if call:
                self._stage.record_call(self.name, call, str(unclear))
            raise

    def _first_result(self, wait: LockWait) -> str:
        """Return the result of a request, "waits" where it is blocked."""
        while True:
            result = self._result(LOOK_AGAIN_S)
            if result is not None:
                return str(result)
            if wait.is_blocked(SETTLE_S * self._stage.slowness) or self._keeps_looking(wait):
                result = self._result(0)  # an actor that has answered sleeps too
                return WAITS if result is None else str(result)
            self._stage.left_s()

    def _keeps_looking(self, wait: LockWait) -> bool:
        """Return whether the request has looked again often enough, or for long enough without a sleep."""
        slow = self._stage.slowness
        return wait.seconds > BUSY_S * slow or (wait.seconds > SHORTEST_S * slow and wait.polls(LOOKS))


def in_words(request: LockRequest) -> str:
    """Return the request as text."""
    file = f" of file {request.file + 1}" if request.file else ""
    through = ", through an open of its own" if request.opened else ""
    kind = "write" if request.write else "read"
    return f"locks bytes {request.start} to {request.start + request.length - 1}{file} to {kind}{through}"


KILLED = "ends"


class Process(Actor):
    """A process, forked now; it ends with the stage."""

    def __init__(self, name: str, stage: Stage) -> None:
        self._process = stage.actors.enter_context(SteppedProcess(Operations(stage.files).perform))
        super().__init__(name, stage, self._process.pid)

    def _begin(self, operation: str, *values: object) -> None:
        self._process.begin(operation, *values)

    def _result(self, seconds: float) -> object:
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
        pid = self.does("fork", label="forks a child")
        return Child(f"{self.name}, its child", self._stage, self, int(str(pid)))

    def closes_others(self) -> None:
        """Open and close every file of the lock once more, as code does that does not know of the lock."""
        self.does("touch", label="opens the file once more, and closes that")

    def dies(self) -> None:
        """Kill the process (SIGKILL)."""
        self._process.kill()
        with suppress(Gone):
            self._process.result(self._stage.left_s())
        self._stage.record_call(self.name, "SIGKILL", KILLED)

    def stops(self) -> None:
        """Stop the process (SIGSTOP)."""
        self._process.stop()
        self._stage.record_call(self.name, "SIGSTOP", "stops")

    def continues(self) -> None:
        """Continue the process (SIGCONT)."""
        self._process.resume()
        self._stage.record_call(self.name, "SIGCONT", "goes on")

    def execs(self, *, keep: bool) -> None:
        """Put another program in its place (execve(2)); from now on it can only die."""
        self._begin("exec", keep)
        name = Path(f"/proc/{self.pid}/comm")
        while name.read_text().strip() != AFTER_EXEC:
            self._stage.left_s()
            time.sleep(LOOK_AGAIN_S)
        self._stage.record_call(self.name, f"execve, its descriptors {'left open' if keep else 'closed by it'}", OK)


class Second(Actor):
    """A thread or a child of a process; requests to it go through that process."""

    result_of: str

    def __init__(self, name: str, stage: Stage, process: Process, pid: int) -> None:
        super().__init__(name, stage, pid)
        self._process = process

    def _result(self, seconds: float) -> object:
        answer = self._process.does(self.result_of, seconds)
        return None if answer == PENDING else self._read(answer)


class Thread(Second):
    """A thread; a new one is started for each operation."""

    result_of = "thread_result"

    def __init__(self, name: str, stage: Stage, process: Process) -> None:
        super().__init__(name, stage, process, process.pid)

    def _begin(self, operation: str, *values: object) -> None:
        self._thread = int(str(self._process.does("start_thread", operation, *values)))


class Child(Second):
    """A child of the process."""

    result_of = "child_result"

    def _begin(self, operation: str, *values: object) -> None:
        self._process.does("ask_child", operation, *values)

    def exits(self) -> None:
        """End as a program does."""
        self.does("close_and_exit", label="closes its descriptors, and exits")
