"""Run in a child what may hang, with a guard between it and this process that ends it.

    this process  --orders-->  guard  --SIGTERM, SIGKILL-->  worker, and all that it forks
          ^------------------- messages ---------------------'

The worker touches what may hang: a mount that stops answering. It sends its findings as it makes them, so that none is
lost with it. The guard touches nothing of that sort. It adopts whatever the worker leaves (prctl(2),
PR_SET_CHILD_SUBREAPER), kills all of it when the worker ends, when it is ordered to, and when this process dies, by
SIGKILL too. A worker in uninterruptible sleep could not do that: its children are not informed of the death of a parent
that does not die. A process that does not end on SIGKILL is named. Last of all the guard cleans up, with no process
left that could undo it; this process waits for that as long as it wants.

Neither of the two holds any descriptor of this process: a reader of its output to the end does not wait for them.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from lab.errors import CannotRunError, ExitCode, LabError
from lab.host.procfs import sleeps_in

from .child import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    STOPS,
    close_all_but,
    detach_output,
    fork_child,
    prctl,
    stops_held,
)
from .deadlines import Watched, is_readable
from .descendants import living_descendants

KILLED_S = 2.0
"""The time, in seconds, after SIGKILL after which a living process counts as sleeping uninterruptibly.

It is left behind.
"""

CLEAN_S = 20
"""The time, in seconds, after which a clean-up is ended by SIGALRM; the parent may end it before."""

GIVEN_UP_S = 0.5
LOOK_AGAIN_S = 0.01
FRAME = struct.Struct("<I")

TERMINATE, KILL = b"t", b"k"
"""The orders: SIGTERM for the worker; SIGKILL for it and all that it forked."""

CLEAN = b"0123456789"
"""The orders to clean up, each in one of the ways that the caller knows by number."""

WAIT_S = 0.1

Send = Callable[[object], None]


class Hung(LabError):  # noqa: N818 - a finding
    """The worker does nothing any more, or was killed."""

    exit_code = ExitCode.FAILED


@dataclass(frozen=True, slots=True)
class Left:
    """A process that did not end on SIGKILL, and the function of the kernel in which it sleeps."""

    pid: int
    where: str


@dataclass(frozen=True, slots=True)
class Over:
    """The worker and all that it forked have ended, but those that are `left`.

    `code` is the worker's exit code, or minus the signal that ended it; None where it is left itself.
    """

    code: int | None
    left: list[Left]


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception of the worker, with the place where it was raised."""

    error: BaseException
    trace: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The clean-up has ended with this answer."""

    answer: str


@dataclass(frozen=True, slots=True)
class Refused:
    """There was no process available for the worker."""

    reason: str


class Guarded:
    """The worker and its guard, forked on entering the block; on leaving it both are gone, or the guard is stuck."""

    def __init__(self, body: Callable[[Send], None], clean: Callable[[int], str]) -> None:
        """Keep the two functions: `body` runs in the worker, `clean` in the guard.

        `body` gets a function that sends any record. `clean` runs when it is requested (`clean_up`), and where this
        process has died.
        """
        self._body = body
        self._clean = clean
        self._buffer = bytearray()
        self._is_over = False

    def __enter__(self) -> Guarded:
        """Fork the guard and the worker. Raises CannotRunError where there is no process available."""
        try:
            with stops_held():
                self._fork()
        except OSError as error:
            raise CannotRunError(f"fork refused ({error.strerror}); raise the limits (ulimit -u, -n)") from error
        return self

    def _fork(self) -> None:
        orders, self._orders = os.pipe()
        try:
            self._messages, messages = os.pipe()
            os.set_blocking(self._messages, False)
            try:
                pid = fork_child(lambda: _Guard(orders, messages).serve(self._body, self._clean), group=0)
                self.guard = Watched(pid)
            except OSError:
                os.close(self._messages)
                raise
            finally:
                os.close(messages)
        except OSError:
            os.close(self._orders)  # which ends the guard, where it was forked
            raise
        finally:
            os.close(orders)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what is left of the two, without a clean-up."""
        with stops_held():
            self.order(KILL)
            deadline = time.monotonic() + 2 * KILLED_S
            while not self._is_over and not self.has_ended and time.monotonic() < deadline:
                list(self.received(LOOK_AGAIN_S))
            self.give_up()
            self.guard.close()
            os.close(self._orders)
            os.close(self._messages)

    def give_up(self) -> list[Left]:
        """Kill the guard (SIGKILL), whatever it does; return the guard itself where it does not end."""
        where = sleeps_in(self.guard.pid)
        self.guard.send(signal.SIGKILL)
        return [] if self.guard.wait(GIVEN_UP_S) is not None else [Left(self.guard.pid, where or "unknown")]

    def order(self, what: bytes) -> None:
        """Send the guard an order: TERMINATE or KILL."""
        with suppress(BrokenPipeError):
            os.write(self._orders, what)

    def clean_up(self, how: int) -> None:
        """Have the guard clean up, once all has ended, in the way of this number (0 to 9); Cleaned says how it went."""
        self.order(CLEAN[how : how + 1])

    @property
    def has_ended(self) -> bool:
        """Return whether the guard has ended, whatever killed it: nothing more is sent."""
        return self.guard.wait(0) is not None

    def received(self, timeout_s: float) -> Iterator[Any]:
        """Yield what has been sent by now; wait so long at most for the first of it.

        The worker's own records come in their order, then Raised where it raised; Over once it and all that it forked
        has ended; Cleaned at the end.
        """
        if is_readable(self._messages, timeout_s):
            with suppress(BlockingIOError):
                while content := os.read(self._messages, 1 << 16):
                    self._buffer += content
        while len(self._buffer) >= FRAME.size:
            end = FRAME.size + FRAME.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[FRAME.size : end])
            del self._buffer[:end]
            record = pickle.loads(frame)  # noqa: S301 - from a fork of this process
            self._is_over = self._is_over or isinstance(record, Over | Refused)
            yield record


def run_guarded(body: Callable[[Send], None], keep: Callable[[Any], None], patience_s: float) -> None:
    """Run the body in a worker with a guard, and give each record that it sends to `keep`.

    All that the worker forked has ended when this returns or raises, but what SIGKILL does not end. Raises what the
    body raised; CannotRunError where there is no process available; Hung where no record came for so long, or the
    worker was killed.
    """
    with Guarded(body, lambda how: "") as guarded:
        deadline = time.monotonic() + patience_s
        while True:
            for record in guarded.received(WAIT_S):
                match record:
                    case Raised(error, _):
                        raise error
                    case Refused(reason):
                        raise CannotRunError(f"fork refused ({reason}); raise the limit (ulimit -u)")
                    case Over(code, left):
                        if left:
                            raise Hung(f"process {left[0].pid} does not end on SIGKILL: it hangs in {left[0].where}")
                        if code:
                            raise Hung(f"a process of the lab ended with {code}; try again")
                        return
                    case _:
                        keep(record)
                deadline = time.monotonic() + patience_s
            if guarded.has_ended:
                raise Hung("a process of the lab was killed; try again")
            if time.monotonic() > deadline:
                raise Hung(f"nothing was done for {patience_s:g} s, and all processes of it were ended; try again")


class _Guard:
    """The process between this one and the worker."""

    def __init__(self, orders: int, messages: int) -> None:
        self._orders = orders
        self._messages = messages

    def serve(self, body: Callable[[Send], None], clean: Callable[[int], str]) -> None:
        """Fork the worker, wait for its end, end all the others, and clean up."""
        for stop in STOPS:
            signal.signal(stop, signal.SIG_IGN)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        detach_output()
        close_all_but(self._orders, self._messages)
        prctl(PR_SET_PDEATHSIG, 0)  # the end of the orders says the same, and there is something to do then
        try:
            worker = Watched(fork_child(lambda: self._work(body)))
        except OSError as error:
            self._send(Refused(error.strerror or str(error)))
            return
        self._await_end(worker)
        code, left = _end_all(worker)
        self._send(Over(code, left))
        how = self._asked_to_clean()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CLEAN_S)  # nothing else ends this process where its parent is gone
        self._send(Cleaned(clean(how)))

    def _work(self, body: Callable[[Send], None]) -> None:
        os.close(self._orders)
        try:
            body(self._send)
        except Exception as error:
            trace = traceback.format_exc()
            try:
                pickle.loads(pickle.dumps(error))  # noqa: S301 - to see that it can be sent
            except Exception:
                error = RuntimeError(f"{type(error).__name__}: {error}")
            self._send(Raised(error, trace))

    def _await_end(self, worker: Watched) -> None:
        """Wait until the worker has ended, or until all of it must end."""
        poll = select.poll()
        poll.register(self._orders, select.POLLIN)
        poll.register(worker.descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if worker.descriptor in ready:
                return
            order = os.read(self._orders, 1)
            if order != TERMINATE:
                return
            worker.send(signal.SIGTERM)

    def _asked_to_clean(self) -> int:
        """Wait for the order to clean up, and its number; where the parent is gone no other process will do it."""
        while (order := os.read(self._orders, 1)) in (TERMINATE, KILL):
            pass
        return CLEAN.index(order) if order else 0

    def _send(self, record: object) -> None:
        frame = pickle.dumps(record)
        content = FRAME.pack(len(frame)) + frame
        with stops_held(), suppress(BrokenPipeError):  # a frame is sent whole; the parent may be gone
            while content:
                content = content[os.write(self._messages, content) :]


def _end_all(worker: Watched) -> tuple[int | None, list[Left]]:
    """Kill and reap every descendant, the worker among them; return its code, and those that do not end."""
    deadline = time.monotonic() + KILLED_S
    code: int | None = None
    while True:
        alive = living_descendants()
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = worker.wait(0) if code is None else code
        _reap(worker.pid if code is None else 0)
        if not alive or time.monotonic() > deadline:
            return code, [Left(pid, sleeps_in(pid) or "unknown") for pid in alive]
        time.sleep(LOOK_AGAIN_S)


def _reap(but: int) -> None:
    """Reap the adopted processes that have ended; the worker is reaped by its own descriptor."""
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == but:
                return
            os.waitpid(ended.si_pid, 0)
