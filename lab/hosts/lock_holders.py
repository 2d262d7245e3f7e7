"""Hold locks on this host, or ask for them, in processes that go on whatever becomes of the network.

They are the keeper's side of `lab.hosts.partition`: one process for each lock. A holder writes, reads and asks for its
lock again, each in a thread of its own, since a call may hang for as long as the host is cut off. One that asks does so
until the lock is granted, and then writes once. Each call is noted in memory with its stamps, for the keeper to read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from select import select
from signal import SIGKILL
from threading import Event, Thread
from typing import Any

from lab.checking.language import REQUESTS, errno_name, parse
from lab.checking.mounts import PROBE_S
from lab.checking.partition import ASK, DONE, HELD, LENGTH, LOCK, READ, RELEASE, TAKE, WRITE, mark
from lab.locking.kernel import call_range, call_whole
from lab.memory.workspace import scratch
from lab.processes import detach_output, fork_child
from lab.processes.deadlines import Watched
from lab.processes.rpc import attempt_all

from .actors import HERE

PERIOD_S, ASK_AGAIN_S = 0.1, 0.05
"""A holder makes each of its calls so often; one that asks does it so often."""

START_S, END_S = 5.0, 2.0
"""The first request is answered within this time; a call that is under way at the end gets so long."""

STOP, LET_GO = b"s", b"g"
"""What a process is told: to stop what it does, and to give the lock up and end."""


class _Process:
    """One process, by what it noted and the pipe on which it is told what to do."""

    def __init__(self, lock: str, body: Callable[[int, int], None]) -> None:
        self.lock = lock
        self._notes = os.memfd_create("notes", 0)
        orders, self._orders = os.pipe()

        def live() -> None:
            os.close(self._orders)
            detach_output()
            body(self._notes, orders)

        self.process = Watched(fork_child(live, group=0))
        os.close(orders)
        HERE.processes.append(self.process)

    def notes(self) -> list[list[Any]]:
        """Return its calls so far: what, begun and ended in ns of this host's clock, and the result.

        A call that is under way has 0 for its end.
        """
        text = os.pread(self._notes, os.fstat(self._notes).st_size, 0).decode()
        found: dict[tuple[str, int], list[Any]] = {}
        for line in text.splitlines():
            with suppress(ValueError):  # half a line
                what, begun, ended, result = json.loads(line)
                found[what, begun] = [what, begun, ended, result]
        return list(found.values())

    def tell(self, order: bytes) -> None:
        """Tell it what to do; one that has ended is told nothing."""
        with suppress(OSError):
            os.write(self._orders, order)

    def close(self) -> None:
        """Close what belongs to it here."""
        os.close(self._orders)
        os.close(self._notes)


_running: list[_Process] = []


def hold(locks: Sequence[str]) -> dict[str, Any]:
    """Start a holder of each of these locks; return what its first request came to."""
    return _started(locks, _hold, TAKE)


def contend(locks: Sequence[str]) -> dict[str, Any]:
    """Start a process that asks for each of these locks; return what its first request came to."""
    return _started(locks, _ask, ASK)


def _started(locks: Sequence[str], body: Callable[[str, int, int, int], None], first: str) -> dict[str, Any]:
    within = HERE.within
    _running.extend(_Process(lock, partial(body, lock, within)) for lock in locks)
    deadline = time.monotonic() + START_S
    said: dict[str, str] = {}
    while len(said) < len(locks) and time.monotonic() < deadline:
        for each in _running:
            answers = [result for what, _, ended, result in each.notes() if ended and what in (first, "open")]
            said |= {each.lock: answers[0]} if answers else {}
        time.sleep(0.005)
    return {"said": {lock: said.get(lock, "no answer") for lock in locks}}


def last_calls() -> dict[str, Any]:
    """Return, for each lock, when the last answered call of each kind began, and what it came to."""
    found = {}
    for each in _running:
        found[each.lock] = {what: [begun, ended, result] for what, begun, ended, result in each.notes() if ended}
    return {"last": found}


def stop() -> dict[str, Any]:
    """Let them ask for no lock any more."""
    for each in _running:
        each.tell(STOP)
    return {}


def end() -> dict[str, Any]:
    """Let them give their locks up and end, by force where they do not; return all their calls."""
    for each in _running:
        each.tell(STOP + LET_GO)
    deadline = time.monotonic() + 2 * END_S
    calls, stuck = {}, []
    for each in _running:
        if each.process.wait(max(0.0, deadline - time.monotonic())) is None:
            each.process.send(SIGKILL)
            if each.process.wait(END_S) is None:
                stuck.append([each.process.pid, each.process.sleeps_in() or "unknown"])
        calls[each.lock] = each.notes()
        HERE.processes.remove(each.process)
        each.close()
    _running.clear()
    return {"calls": calls, "stuck": stuck}


def reaches() -> dict[str, Any]:
    """Tell whether a file can be made and removed in the folder; a child of this process tries it."""
    folder = HERE.folder

    def attempt() -> str:
        try:
            with scratch(folder.path if folder else Path()):
                return DONE[0]
        except OSError as error:
            return errno_name(error.errno or 0)

    return {"reaches": [each.answer for each in attempt_all([attempt], PROBE_S)] == [DONE[0]]}


def read_files(locks: Sequence[str]) -> dict[str, Any]:
    """Open the file of each lock anew and return what it begins with."""
    found = {}
    for lock in locks:
        descriptor = os.open(_file(lock), os.O_RDONLY, dir_fd=HERE.within)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # as far as this kernel alone has kept it
            found[lock] = os.pread(descriptor, LENGTH, 0).decode("ascii", "replace")
        finally:
            os.close(descriptor)
    return {"found": found}


def _file(lock: str) -> str:
    return f"partition-{lock}"


class _Noting:
    """The calls of one process on the file of its lock."""

    def __init__(self, lock: str, within: int, notes: int) -> None:
        self._lock, self._notes = lock, notes
        self._within = within
        self.descriptor = -1
        self._written = 0

    def open(self) -> bool:
        """Open the file, which the first that does makes; return False where that is refused."""

        def opened() -> str:
            self.descriptor = os.open(_file(self._lock), os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self._within)
            return ""

        return not self.make("open", opened, silent=True)

    def make(self, what: str, call: Callable[[], str], *, silent: bool = False) -> str:
        """Make a call, note it, and return what it came to; `silent` notes refusals alone."""
        begun = time.monotonic_ns()
        if not silent:
            self._note(what, begun, 0, "")
        try:
            result = call()
        except OSError as error:
            result = errno_name(error.errno or 0)
        if result or not silent:
            self._note(what, begun, time.monotonic_ns(), result)
        return result

    def _note(self, *words: object) -> None:
        os.write(self._notes, f"{json.dumps(words)}\n".encode())

    def request(self) -> str:
        """Ask for the lock, without waiting."""
        return self._called(REQUESTS[self._lock][0])

    def release(self) -> str:
        """Give the lock up."""
        return self._called(REQUESTS[self._lock][2])

    def _called(self, line: str) -> str:
        [step] = parse(f"A: {line}")
        verb, (_, *words) = step.call.verb, step.call.args
        if verb == "flock":
            call_whole(self.descriptor, {"exclusive": 1, "unlock": 2}[words[0]], wait=False)
        else:
            kind, start, length = words
            call_range(self.descriptor, verb, {"write": 1, "unlock": 2}[kind], int(start), int(length), 0, 0)
        return "granted"

    def write(self, who: str) -> str:
        """Write this one's mark, so that it is on the server's side."""
        self._written += 1
        os.pwrite(self.descriptor, mark(who, self._written), 0)
        os.fsync(self.descriptor)
        return "ok"

    def read(self) -> str:
        """Read the mark that is there."""
        os.pread(self.descriptor, LENGTH, 0)
        return "ok"


def _hold(lock: str, within: int, notes: int, orders: int) -> None:
    """Hold the lock, and make calls until told to stop."""
    file = _Noting(lock, within, notes)
    if not file.open() or file.make(TAKE, file.request) != "granted":
        return
    over = Event()

    def repeat(what: str, call: Callable[[], str]) -> None:
        while not over.is_set():
            file.make(what, call)
            over.wait(PERIOD_S)

    calls = {WRITE: partial(file.write, HELD), READ: file.read, LOCK: file.request}
    threads = [Thread(target=repeat, args=each, daemon=True) for each in calls.items()]
    for each in threads:
        each.start()
    os.read(orders, 1)
    over.set()
    for each in threads:
        each.join(END_S / len(threads))
    file.make(RELEASE, file.release)


def _ask(lock: str, within: int, notes: int, orders: int) -> None:
    """Ask for the lock until it is granted; then write once, and keep it until told to give it up."""
    file = _Noting(lock, within, notes)
    if not file.open():
        return
    while not select([orders], [], [], ASK_AGAIN_S)[0]:
        if file.make(ASK, file.request) == "granted":
            file.make(WRITE, partial(file.write, ASK))
            break
    while os.read(orders, 1) not in (LET_GO, b""):
        pass
