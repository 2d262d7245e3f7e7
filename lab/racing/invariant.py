"""Check a scenario's invariant in the middle of a race, in a process of its own beside the workers.

Now and then it takes the lock on the whole file, so that no worker is inside, copies the bytes and releases the lock;
only then does it look at the copy. It opens the file by itself: closing a worker's descriptor, or holding its lock,
would release that worker's POSIX locks (fcntl(2)). Its holds are in no log, so they count in no figure. A worker may
wait for one, for as long as the copy takes; so it pauses many times longer than a look takes.

Without a lock nothing keeps the workers out, so the invariant is checked only once they have ended. So it is where a
look would disturb what is measured or done to the workers: in recorded trials, in those of `check`, beside programs,
and while faults are made.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

from lab.errors import CannotRunError, LabError, ScenarioError
from lab.output import print_to_stderr
from lab.processes import fork_child, stops_held
from lab.processes.deadlines import Watched
from lab.scenario import Damage
from lab.scenario.base import broken_invariant, exception_text, has_invariant

from .mailbox import EVIDENCE_KEPT
from .recorder import ROUNDS_DONE
from .worker import Job, Setting

QUICK, QUICK_PAUSE_S, QUICK_PAUSES = 20, 0.0002, 5
PAUSE_S, PAUSES = 0.005, 50
"""The shortest pause between two looks in seconds, and how many times longer it is than a look took without its wait.

The first looks of a trial follow each other more quickly: it may be over soon.
"""

GRACE_S = 0.5
"""The time, in seconds, that a look may still take once the workers have ended."""

RAISED = "invariant raised"
KINDS, SHOWN = 20, 500
"""The most kinds of damage that are kept, and the most characters of a piece of evidence."""


class Snapshot(NamedTuple):
    """The bytes of the file, when the lock on it was granted (time.monotonic), and the rounds done by then."""

    granted_s: float
    content: bytes
    done: int


@dataclass(slots=True)
class Checks:
    """What came of the checks: how many there were, and for each kind in how many it was broken, with evidence."""

    count: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    evidence: dict[str, list[str]] = field(default_factory=dict)

    def add(self, damage: list[Damage], when: str) -> None:
        """Count one check, and what it found."""
        self.count += 1
        for kind in dict.fromkeys(each.kind for each in damage):
            if kind not in self.broken and len(self.broken) == KINDS:
                continue
            self.broken[kind] = self.broken.get(kind, 0) + 1
            texts = self.evidence.setdefault(kind, [])
            found = [text for each in damage if each.kind == kind for text in each.evidence[:1]]
            if len(texts) < EVIDENCE_KEPT:
                texts.append(": ".join([when, *found])[:SHOWN])

    def beside(self, damage: list[Damage]) -> list[Damage]:
        """Return this damage and what the invariant found: each kind as often as it was broken, of all checks.

        A kind that is in the damage too is counted there; only where that found none, the invariant's count is taken.
        """
        own = {each.kind: each for each in damage}
        for kind, count in self.broken.items():
            other = own.get(kind)
            if other is None:
                own[kind] = Damage(kind, count, self.count, self.evidence[kind])
            elif not other.count:
                own[kind] = Damage(kind, min(count, max(1, other.of)), other.of, self.evidence[kind])
        return list(own.values())


class InvariantChecker:
    """The process that checks the invariant of one trial, where its scenario has one that can be checked meanwhile.

    It is forked on entering the block, before the workers, and gone when the block ends.
    """

    def __init__(self, setting: Setting, job: Job) -> None:
        self._look = _looks(setting, job) if _can_look(setting, job) else None
        self._ends = ExitStack()
        self._child: Watched | None = None
        self._orders = self._answer = -1

    def __enter__(self) -> InvariantChecker:
        """Fork it. Raises CannotRunError where there is no process available."""
        if self._look:
            try:
                with stops_held():  # it is known here before anything interrupts
                    self._fork(self._look)
            except OSError as error:
                self._ends.close()
                raise CannotRunError(f"fork refused ({error.strerror}); raise the limits (ulimit -u, -n)") from error
        return self

    def _fork(self, look: Callable[[int, int], None]) -> None:
        orders, self._orders = os.pipe()
        self._answer = os.memfd_create("lab-invariant")
        for descriptor in (orders, self._orders, self._answer):
            self._ends.callback(os.close, descriptor)
        self._child = Watched(fork_child(lambda: look(orders, self._answer), group=0))
        self._ends.callback(self._child.close)
        self._ends.callback(self._end, self._child)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with stops_held():
            self._ends.close()

    def begin(self) -> None:
        """Let it look, now that the workers are released."""
        self._order()

    def result(self) -> Checks:
        """Return what it found, now that the workers have ended.

        Where it does not end it has found nothing: it waits for a lock that a failed worker has left locked.
        """
        self._order()
        if not self._child or self._child.wait(GRACE_S) is None:
            return Checks()
        content = os.pread(self._answer, os.fstat(self._answer).st_size, 0)
        return Checks(*json.loads(content)) if content else Checks()

    def _order(self) -> None:
        """Send the next order: to begin, then to stop."""
        if self._child:
            os.write(self._orders, b".")

    def _end(self, child: Watched) -> None:
        child.send(signal.SIGKILL)
        child.wait(GRACE_S)


def _can_look(setting: Setting, job: Job) -> bool:
    disturbed = setting.stresses or setting.recorded or setting.program or setting.fault
    of_the_file = job.backing.shares and not setting.scenario.by_name
    return has_invariant(type(setting.scenario)) and job.lock.excludes and of_the_file and not disturbed


def _looks(setting: Setting, job: Job) -> Callable[[int, int], None]:
    """Return what the process does: wait for the first order, look until the second comes, and leave the answer."""

    def look(orders: int, answer: int) -> None:
        print_to_stderr()
        checks = Checks()
        try:
            take = _snapshots(job)
            os.read(orders, 1)
            _look_on(setting, job, take, checks, orders)
        except (LabError, OSError):
            pass  # what it has found by then counts; the workers meet the same, and report it
        os.write(answer, json.dumps([checks.count, checks.broken, checks.evidence]).encode())

    return look


def _look_on(setting: Setting, job: Job, take: Callable[[], Snapshot], checks: Checks, orders: int) -> None:
    total = job.workers * job.rounds
    pause_s = QUICK_PAUSE_S
    while not select.select([orders], [], [], pause_s)[0]:
        granted_s, content, done = take()
        if done == total:  # all is over: the trial itself checks that
            return
        checks.add(_found(setting, job, content), f"after {done:,} of {total:,} rounds")
        least_s, times = (QUICK_PAUSE_S, QUICK_PAUSES) if checks.count < QUICK else (PAUSE_S, PAUSES)
        pause_s = max(least_s, times * (monotonic() - granted_s))


def _snapshots(job: Job) -> Callable[[], Snapshot]:
    """Return a function that copies the file while it holds the lock on all of it."""
    file = job.shared.open(job.path)
    acquire, release = job.lock.actions(file.guard, 0, 0, write=True)
    held = file.around(_Held(acquire, release))

    def take() -> Snapshot:
        with held:
            granted_s = monotonic()
            return Snapshot(granted_s, file.load(0, job.layout.size), sum(job.log.header(ROUNDS_DONE)))

    return take


class _Held:
    """A lock that is held within the block, and recorded nowhere."""

    def __init__(self, acquire: Callable[[], object], release: Callable[[], object]) -> None:
        self._acquire = acquire
        self._release = release

    def __enter__(self) -> None:
        self._acquire()

    def __exit__(self, *raised: object) -> None:
        self._release()


def _found(setting: Setting, job: Job, content: bytes) -> list[Damage]:
    """Return what the invariant finds; raising is damage too, since broken bytes may lead it astray."""
    memory: Any = job.memory.from_buffer_copy(content)
    try:
        return broken_invariant(setting.scenario, memory)
    except (Exception, SystemExit) as error:
        text = str(error) if isinstance(error, ScenarioError) else exception_text(error)
        return [Damage(RAISED, 1, 1, [text])]
