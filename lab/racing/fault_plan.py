"""Make one fault again and again while a trial runs: kill or stop the holder of the lock, kill or signal who waits.

Every fault is made by hand-over, not by luck. A round of all workers is one event. Its subject is drawn from the seed.
The others request the lock once the holder of that round is inside (HELD), the fault is made once they are seen to
wait, in the log of the holds, and then the event is over (OVER). Each of these waits has a limit, so a worker that
never requests the lock, or a lock that nobody gets, only ends the wait. A worker kills only what it has forked itself,
short-lived helpers that do a round in its place; what is done to workers is done by the process that reaps them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from time import monotonic, monotonic_ns, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lab.locking import GaveUp
from lab.memory import anonymous
from lab.memory.protocol import Held

from .faults import Fault
from .mailbox import Mailbox, report_of
from .recorder import WORD_BYTES, Log, end_holds

if TYPE_CHECKING:
    from .worker import RaceWorker

Work = Callable[[Any], None]

READY, HELD, OVER, MADE, BEGUN_NS, WORDS = range(6)
"""The words that a trial's processes share: each of the first three is the number of the last such event, plus 1."""

HAND_OVER_S = 1.0
"""The longest wait for the holder of an event: a lock that polls is slow to let anyone in."""

WAITING_S = 0.005
"""The longest wait for the others to request the lock: some may never do so."""

INSIDE_S = 0.1
"""The longest time that a holder stays inside for a fault that is made to another worker."""

LOOK_S = 0.00005
DELAY_US = 500
"""A fault is made up to so many microseconds after it could be, drawn from the seed."""

SIGNALS = 3
"""So many signals are sent to each worker that waits, one after the other."""

HELPER_FAILED = 73
"""The exit code of a helper whose work raised; it has sent its report."""


def until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait for the condition; return False if the limit came first."""
    deadline = monotonic() + limit_s
    while not condition():
        if monotonic() > deadline:
            return False
        sleep(LOOK_S)
    return True


class AtGrant:
    """A hold that calls a function once its lock is acquired and recorded."""

    __slots__ = ("_hold", "_then")

    def __init__(self, hold: Held, then: Callable[[], None]) -> None:
        self._hold = hold
        self._then = then

    def __enter__(self) -> None:
        self._hold.__enter__()
        self._then()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold.__exit__(kind, error, trace)


class Plan:
    """The faults of one trial: made before the fork, so that all its processes share the words and the draws."""

    def __init__(self, fault: Fault, seed: str, workers: int, log: Log) -> None:
        from zlib import crc32  # a library, which the forks of other races do not pay for

        self.fault = fault
        self._crc32 = crc32
        self._seed = seed
        self._workers = workers
        self._log = log
        self._words = memoryview(anonymous(WORDS * WORD_BYTES)).cast("Q")

    @property
    def made(self) -> int:
        """Return how many times the fault was made."""
        return self._words[MADE]

    def start(self) -> None:
        """Prepare a worker for the fault, in the worker."""

    def work(self, work: Work, worker: RaceWorker, mailbox: Mailbox) -> None:
        """Do one round of a worker, with its part in the round's event; once the time is used there are no more.

        A lock that takes seconds to let others in after a death would take them in every round.
        """
        if self._has_time():
            self._before(work, worker, mailbox)
        work(worker)

    def _before(self, work: Work, worker: RaceWorker, mailbox: Mailbox) -> None:
        """Do what the worker has to do in this event before its round."""
        if worker.index != self._subject(worker.round):
            self._await_holder(worker.round)

    def at_grant(self, worker: RaceWorker) -> None:
        """Go on, inside the lock, with the event of this round, if the worker is its holder."""

    def look(self, pids: Mapping[int, int]) -> None:
        """Do what the parent has to do, and pass some time; `pids` are the indexes of live workers by process id."""
        sleep(LOOK_S)

    def _has_time(self) -> bool:
        self._words[BEGUN_NS] = self._words[BEGUN_NS] or monotonic_ns()  # the first worker's first round
        return not self.fault.seconds or monotonic_ns() < self._words[BEGUN_NS] + self.fault.seconds * 1e9

    def _drawn(self, what: str, number: int, below: int) -> int:
        return self._crc32(f"{self._seed}/{what}/{number}".encode()) % below

    def _subject(self, number: int) -> int:
        return self._drawn("subject", number, self._workers)

    def _delay(self, number: int) -> None:
        sleep(self._drawn("delay", number, DELAY_US) / 1e6)

    def _await_holder(self, number: int) -> None:
        self._await(lambda: self._words[HELD] > number or self._is_over(number))

    def _await(self, condition: Callable[[], bool]) -> None:
        """Wait for another worker, which takes no more part in events once their time is used."""
        until(lambda: condition() or not self._has_time(), HAND_OVER_S)

    def _stay_inside(self, number: int) -> None:
        """Hold the lock until the event is over, once in a round."""
        if not self._is_over(number) and self._words[HELD] <= number:
            self._words[HELD] = number + 1
            until(lambda: self._is_over(number), INSIDE_S)

    def _is_over(self, number: int) -> bool:
        return self._words[OVER] > number

    def _waiting(self, but: int) -> int:
        return sum(self._log.is_waiting(index) for index in range(self._workers) if index != but)

    def _end(self, number: int, made: int) -> None:
        self._words[MADE] += made
        self._words[OVER] = max(self._words[OVER], number + 1)


class WithHelpers(Plan):
    """A plan whose subject forks a helper, which does a round in its place and is killed."""

    _mailbox: Mailbox
    _is_helper = False

    def _helper(self, work: Work, helper: RaceWorker) -> None:
        """Do a round, in the helper, up to its first grant; an exception is reported as the worker's."""
        self._is_helper = True
        try:
            work(helper)
        except GaveUp:
            raise
        except Exception as error:
            self._mailbox.send(report_of(helper.index, error))
            os._exit(HELPER_FAILED)

    def _reaped(self, code: int) -> None:
        if code == HELPER_FAILED:
            os._exit(1)  # after the helper's report


class KilledHolder(WithHelpers):
    """Every round a helper of the subject is killed inside the lock, while others wait for it."""

    def _before(self, work: Work, worker: RaceWorker, mailbox: Mailbox) -> None:
        """See `Plan._before`."""
        number = worker.round
        if worker.index != self._subject(number):
            self._await_holder(number)
        elif not self._is_over(number):
            self._mailbox = mailbox
            self._reaped(worker.helper(lambda helper: self._helper(work, helper)).wait())
            self._end(number, 0)

    def at_grant(self, worker: RaceWorker) -> None:
        """Die here, in a helper."""
        if not self._is_helper:
            return
        number = worker.round
        self._words[HELD] = number + 1
        until(lambda: self._waiting(worker.index) >= self._workers - 1, WAITING_S)
        self._delay(number)
        self._words[MADE] += 1
        worker.die()


class KilledWaiter(WithHelpers):
    """Every round a helper of the subject is killed while it waits for a holder that stays inside meanwhile."""

    def _before(self, work: Work, worker: RaceWorker, mailbox: Mailbox) -> None:
        """See `Plan._before`."""
        number = worker.round
        if worker.index == self._subject(number):
            self._words[READY] = number + 1
        if worker.index != self._holder(number):
            self._await_holder(number)
        else:  # whoever still waits in the round before needs the lock that the holder would keep for the subject
            self._await(lambda: self._words[READY] > number)
        if worker.index == self._subject(number) and not self._is_over(number):
            self._mailbox = mailbox
            self._kill_waiter(work, worker)

    def _holder(self, number: int) -> int:
        others = self._drawn("holder", number, self._workers - 1)
        return (self._subject(number) + 1 + others) % self._workers

    def _kill_waiter(self, work: Work, worker: RaceWorker) -> None:
        number, segment = worker.round, self._log.helper_of(worker.index)
        first = self._log.cursor(segment)
        helper = worker.helper(lambda helper: self._helper(work, helper))
        waits = until(lambda: self._log.is_waiting(segment), WAITING_S * 10)
        self._delay(number)
        end_holds(self._log.segment(segment), first)
        os.kill(helper.pid, signal.SIGKILL)
        self._reaped(helper.wait())
        self._log.forget_request(segment)
        self._end(number, int(waits))

    def at_grant(self, worker: RaceWorker) -> None:
        """Stay inside until the helper was killed; a helper that is let in all the same does nothing there."""
        if self._is_helper:
            worker.die()
        if self._has_time() and worker.index == self._holder(worker.round):
            self._stay_inside(worker.round)


class StoppedHolder(Plan):
    """Once in the trial the holder is stopped (SIGSTOP) inside the lock, for longer than some wait."""

    def __init__(self, fault: Fault, seed: str, workers: int, log: Log) -> None:
        super().__init__(fault, seed, workers, log)
        self._round = 1 + self._drawn("round", 0, 3)
        self._holder = self._subject(0)
        self._since: float | None = None
        self._held_since: float | None = None

    def _before(self, work: Work, worker: RaceWorker, mailbox: Mailbox) -> None:
        """See `Plan._before`."""
        if worker.round == self._round and worker.index != self._holder:
            self._await_holder(0)

    def at_grant(self, worker: RaceWorker) -> None:
        """Stop here, once; the parent lets the holder go on."""
        if worker.index == self._holder and worker.round >= self._round and not self._words[HELD]:
            self._words[HELD] = 1
            os.kill(os.getpid(), signal.SIGSTOP)
            self._end(0, 1)

    def look(self, pids: Mapping[int, int]) -> None:
        """Let the holder go on once others waited for it for the time of the fault."""
        sleep(LOOK_S)
        if not self._words[HELD] or self._is_over(0):
            return
        now = monotonic()
        self._held_since = self._held_since or now
        if self._since is None and (self._waiting(self._holder) or now - self._held_since > INSIDE_S):
            self._since = now
        if self._since is not None and now - self._since >= self.fault.stop_s:
            for pid in (pid for pid, index in pids.items() if index == self._holder):
                os.kill(pid, signal.SIGCONT)


def _handled(number: int, frame: object) -> None:
    """Do nothing: what counts is that the call that waited was interrupted."""


class SignalledWaiter(Plan):
    """Every round those that wait for the holder get signals that they handle, without SA_RESTART (sigaction(2))."""

    def start(self) -> None:
        """Handle the signal as signal.signal does: system calls that it interrupts return EINTR."""
        signal.signal(signal.SIGUSR1, _handled)
        signal.siginterrupt(signal.SIGUSR1, True)

    def at_grant(self, worker: RaceWorker) -> None:
        """Stay inside until the others were signalled."""
        if self._has_time() and worker.index == self._subject(worker.round):
            self._stay_inside(worker.round)

    def look(self, pids: Mapping[int, int]) -> None:
        """Signal those that wait."""
        sleep(LOOK_S)
        number = self._words[HELD] - 1
        if self._words[HELD] <= self._words[OVER]:
            return
        until(lambda: self._waiting(self._subject(number)) >= self._workers - 1, WAITING_S)
        sent = 0
        for each in range(SIGNALS):
            for pid, index in pids.items():
                if index != self._subject(number) and self._log.is_waiting(index):
                    os.kill(pid, signal.SIGUSR1)
                    sent += 1
            self._delay(number * SIGNALS + each)
        self._end(number, sent)


PLANS: dict[tuple[str, str], type[Plan]] = {
    ("holder", "kill"): KilledHolder,
    ("waiter", "kill"): KilledWaiter,
    ("holder", "stop"): StoppedHolder,
    ("waiter", "signal"): SignalledWaiter,
}


def plan_of(fault: Fault | None, seed: str, workers: int, log: Log) -> Plan | None:
    """Return the plan of a fault that is made while the workers run; None where there is none."""
    kind = PLANS.get((fault.whom, fault.what)) if fault else None
    return kind(fault, seed, workers, log) if kind and fault else None
