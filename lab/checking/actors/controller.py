"""Direct an actor of `check`: send it a call, watch it while it makes the call, end it.

`Patience` holds how long a call may take here before it is judged: slow is not hung.

A local lock passes from one process to the next within a millisecond. NFSv4 clients and GlusterFS's eager locks take
0.5 to 5 s for it, and ask again after longer and longer pauses. So a contended hand-off of each lock is measured
first (`lab.checking.actors.pool`), and every wait is allowed several such hand-offs, up to a ceiling.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from signal import Signals
from typing import Protocol, Self

from lab.host.procfs import ASLEEP
from lab.processes import fork_child
from lab.processes.actor import LockWait
from lab.processes.deadlines import Watched

from .actor import Actor, Ordered

ANSWER_S = 2.0
"""A call that never waits is answered within this time where locks are quick, or the mount hangs."""

WAKE_S = 3.0
"""A lock that has become free is granted to a waiter within this time where locks are quick."""

HANDOFFS = 8
"""A waiter that should be woken is allowed this many measured hand-offs, because one that polls backs off."""

ASLEEP_S = 0.5
"""The same for a lock whose waiters were not woken while hand-offs were measured, for many times as long."""

LONGEST_ANSWER_S, LONGEST_WAKE_S = 10.0, 20.0
"""These are the ceilings of both, whatever was measured, because a check has to end."""

SETTLE_S = (0.01, 0.3)
"""The least and the most seconds for a waiting call to settle.

Between them the time is that of USUAL_ANSWERS to calls that do not wait: a server answers as fast as it can.
"""

USUAL_ANSWERS = 10
REMEMBERED = 8
"""The usual answer time is taken from this many of the last answers."""

DOUBT = 10
"""A call that may or may not be waiting is given this many times longer than one that is expected to wait."""


class Patience:
    """The time limits of calls on one filesystem."""

    def __init__(self, handoffs: Mapping[str, float] | None = None, asleep: Collection[str] = ()) -> None:
        self.handoffs = dict(handoffs or {})
        """The slowest hand-off of each lock, in seconds."""
        self.asleep = frozenset(asleep)
        """The locks that were released and not handed over: `lab.checking.actors.pool.CEILING_S` was not enough."""
        self._usual_s = 0.0

    @property
    def handoff_s(self) -> float:
        """Return the slowest hand-off of all locks, in seconds."""
        return max(self.handoffs.values(), default=0.0)

    @property
    def answer_s(self) -> float:
        """Return the seconds allowed for a call that does not wait; one that is refused may first recall the lock."""
        return max(ANSWER_S, min(LONGEST_ANSWER_S, 2 * self.handoff_s))

    @property
    def wake_s(self) -> float:
        """Return the seconds allowed for a waiter that should be woken, counted from the last time one was woken."""
        return max(WAKE_S, min(LONGEST_WAKE_S, HANDOFFS * self.handoff_s))

    def wake_s_of(self, locks: Collection[str]) -> float:
        """Return the same for a waiter for one of these locks, given by their guarantees.

        Where all of them left their waiters asleep before, nothing is learnt from another long wait.
        """
        return ASLEEP_S if locks and self.asleep.issuperset(locks) else self.wake_s

    def answered_in(self, seconds: float) -> None:
        """Record the time that a lock call took which does not wait."""
        self._usual_s += (seconds - self._usual_s) / REMEMBERED

    def settle_s(self, expected: Sequence[str]) -> float:
        """Return the seconds that a call has to sleep; one that should not wait is given all the available time."""
        shortest, longest = SETTLE_S
        usual_s = max(shortest, min(longest, USUAL_ANSWERS * self._usual_s))
        if "waits" in expected:
            return usual_s
        return DOUBT * usual_s if "(waits)" in expected else self.answer_s


KILLED_S = 2.0
"""A process that still exists this long after SIGKILL is stuck in the kernel."""

OF_PROCESSES = "ulimit -u, or the container's limit of pids"
"""The limits that may make fork(2) fail."""

GONE = (BrokenPipeError, ConnectionResetError)
"""The errors of a channel whose other end has gone, maybe without reading."""

TICK_MS = 1

AWAKE_S = 0.0005
"""The answer is polled without a pause for this time, since most calls end or settle by then."""


class Process(Protocol):
    """The process of an actor, which may be on another host."""

    @property
    def pid(self) -> int:
        """Return its process id, on its host."""

    def send(self, number: Signals) -> None:
        """Send it a signal; nothing happens where it has ended."""

    def wait(self, timeout_s: float) -> int | None:
        """Return its exit code, or minus the signal that ended it; None where it lives on after that time."""

    def sleeps_in(self) -> str:
        """Return the kernel's function in which it sleeps; empty where the kernel does not say."""

    def reaches(self, letter: str, timeout_s: float, *, wanted: bool) -> bool:
        """Wait until it is, or no longer is, in that state; return False after that time."""


class Handle(Protocol):
    """What the pool and the stage ask of an actor: `ActorHandle` documents it; its process may be elsewhere."""

    folder: int
    answer_s: float
    fresh: bool

    @property
    def pending(self) -> object:
        """Return whether it has a call that is not answered, as a truth value."""

    @property
    def process(self) -> Process:
        """Return its process."""

    def fork(self, verb: str) -> Handle | str: ...  # noqa: D102

    def tell(self, *command: str) -> None: ...  # noqa: D102

    def answer(self, timeout_s: float) -> str | None: ...  # noqa: D102

    def outcome(self, settle_s: float) -> str: ...  # noqa: D102

    def heard(self, timeout_ms: int) -> str | None: ...  # noqa: D102

    def has_answered(self) -> bool: ...  # noqa: D102

    def sleeps_on(self) -> bool: ...  # noqa: D102

    def rest_again(self) -> None: ...  # noqa: D102

    def silence(self, after_s: float = 0.0) -> str: ...  # noqa: D102

    def ended(self, timeout_s: float) -> str: ...  # noqa: D102

    def make_all(self, calls: Sequence[Ordered]) -> list[str]: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class ActorHandle:
    """One actor process, on the mount that `folder` is on."""

    def __init__(self, pid: int, channel: socket.socket, folder: int) -> None:
        self.folder = folder
        self.answer_s = ANSWER_S
        """The seconds allowed for a call that does not wait (`Patience`)."""
        self.fresh = True
        self.pending: LockWait | None = None
        self._sleeps_in = ""
        """Where in the kernel it slept when it came to wait."""
        self.process = Watched(pid)
        self._channel = channel
        self._poll = select.poll()
        for descriptor in (channel.fileno(), self.process.descriptor):
            self._poll.register(descriptor, select.POLLIN)

    @classmethod
    def forked(cls, folder: int, within: int | None = None) -> Self:
        """Fork a process with its files in the folder of this descriptor; raise OSError where fork(2) is refused."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def live() -> None:
            mine.close()
            Actor(theirs, within).serve()

        with theirs:
            pid = fork_child(live, group=0)  # out of reach of a Ctrl-C, which is for its parent
        try:
            return cls(pid, mine, folder)
        except OSError:
            mine.close()  # which ends it
            os.waitpid(pid, 0)
            raise

    def fork(self, verb: str) -> Self | str:
        """Make it fork or clone a child: return the child, or the answer where there is none."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            with suppress(*GONE):
                socket.send_fds(self._channel, [json.dumps([verb]).encode()], [theirs.fileno()])
            answer = self.answer(self.answer_s)
        if answer is None or not answer.isdigit():
            mine.close()
            return answer or self.silence()
        self.fresh = self.fresh and verb == "fork"
        child = type(self)(int(answer), mine, self.folder)
        child.fresh, child.answer_s = False, self.answer_s
        return child

    def tell(self, *command: str) -> None:
        """Send it a call to make."""
        with suppress(*GONE):  # it has ended, as its answer will say
            self._channel.send(json.dumps(command).encode())
        self.pending = LockWait(self.process.pid)

    def make_all(self, calls: Sequence[Ordered]) -> list[str]:
        """Have it make these calls, one after the other; return their results, up to the first that ends it."""
        with suppress(*GONE):
            self._channel.send(json.dumps(["all", calls]).encode())
        results: list[str] = []
        for call in calls:
            self.pending = LockWait(self.process.pid)
            if call.may_wait:
                results.append(self.outcome(call.limit_s))
            else:
                results.append(self.answer(call.limit_s) or self.silence(call.limit_s))
            if call.ends_with(results[-1]):
                break
        return results

    def answer(self, timeout_s: float) -> str | None:
        """Return the result of the call, the name of the signal where it killed the actor, None after that time."""
        deadline = time.monotonic() + timeout_s
        while not (answer := self.heard(TICK_MS * 20)) and time.monotonic() < deadline:
            pass
        return answer

    def outcome(self, settle_s: float) -> str:
        """Return the answer to a call that may wait, or "waits", or after a long time that nothing is known.

        Where the kernel does not report that it waits for a lock, it has to sleep for `settle_s`.
        """
        begun = time.monotonic()
        while (spent := time.monotonic() - begun) < settle_s + self.answer_s:
            if answer := self.heard(0 if spent < AWAKE_S else TICK_MS):
                return answer
            if self.at_rest(settle_s):
                self._sleeps_in = self.process.sleeps_in()
                return self.heard(0) or "waits"
        return self.silence()

    def heard(self, timeout_ms: int) -> str | None:
        """Return the answer, if it comes within that time."""
        ready = {descriptor for descriptor, _ in self._poll.poll(timeout_ms)}
        if self._channel.fileno() in ready and (content := self._read()):
            self.pending = None
            return str(json.loads(content))
        if self.process.descriptor in ready:
            return self.ended(self.answer_s)
        return None

    def _read(self) -> bytes:
        with suppress(*GONE):
            return self._channel.recv(1 << 16)
        return b""

    def at_rest(self, settle_s: float) -> bool:
        """Tell whether it is blocked in its call."""
        return self.pending is not None and self.pending.is_blocked(settle_s)

    def has_answered(self) -> bool:
        """Tell whether the answer, or the end of the actor, can be read from the channel."""
        return bool(self._poll.poll(0))

    def sleeps_on(self) -> bool:
        """Tell whether it still sleeps in its call: one that was woken has tried again and sleeps again by then.

        One that was woken may also sleep for a page that is not in memory, before it answers: that is another place.
        """
        deadline = time.monotonic() + self.answer_s
        while not self._sleeps_there() and time.monotonic() < deadline:
            if self.has_answered():
                return False
        return not self.has_answered()

    def _sleeps_there(self) -> bool:
        return self.process.state() in ASLEEP and self.process.sleeps_in() == self._sleeps_in

    def rest_again(self) -> None:
        """Forget how long it has slept, because something has happened that may wake it."""
        if self.pending:
            self.pending.restart()

    def silence(self, after_s: float = 0.0) -> str:
        """Return the description of a call without an answer, after `answer_s` or this time."""
        place = self.process.sleeps_in()
        return f"no answer in {after_s or self.answer_s:g} s" + (f", asleep in {place}" if place else "")

    def ended(self, timeout_s: float) -> str:
        """Return "ok" or the name of the signal, after it has ended."""
        code = self.process.wait(timeout_s)
        self.fresh, self.pending = False, None
        if code is None:
            return f"no end in {timeout_s:g} s"
        if code < 0:
            return Signals(-code).name
        return f"ended with {code}" if code else "ok"

    def close(self) -> None:
        """Close the descriptors that this process has of it."""
        self._channel.close()
        self.process.close()
