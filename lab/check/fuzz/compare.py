"""One random program performed on the model and by real processes, call by call, until their answers differ.

Left open is which of several waiting calls gets a lock that has come free: whoever comes back first, the model lets
it go on, if it may. Left open is also which lock in the way F_GETLK reports, and whether a deadlock is noticed: where
there is one, EDEADLK and waiting are both right, and the program ends there, since nothing can be compared any more.
Source: POSIX.1-2024, fcntl(): "any lock which blocks"; "EDEADLK: the system may".

A lock of an open file description may go a little later than the close that ends it: a FUSE server hears of the last
close by RELEASE, for which close(2) does not wait. So who meets a lock that ought to have gone by then asks again,
as the rules let a waiter wait for it. Source: libfuse, fuse_lowlevel.h, `release`; fs/fuse/file.c of Linux.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from copy import deepcopy

from lab.check.actors.controller import WAKE_S
from lab.check.actors.stage import RealStage
from lab.check.blame import NAME_CALLS, excuse, family_of, is_refusal
from lab.check.language import GET, MAX, SUCCESS, Call, Range, range_of
from lab.check.oracle import ModelStage
from lab.locks.registry import FAMILIES, OWN

from .generate import TO_WAITERS, Drawing, Program

SOON_S = 0.05
"""Most of those who are woken are back by then."""

AGAIN_S = 0.002
"""Between two requests for a lock that a close may be about to end."""

CLOSES = frozenset({"close", "exit", "killed"})
OF_DESCRIPTIONS = frozenset(family for family, name in FAMILIES.items() if OWN[name].owner == "open file")
IN_THE_WAY = ("EAGAIN", "EACCES")


class Ended(Exception):  # noqa: N818 - what happened
    """The program cannot go on: `made` and `calls` are those of `Twins`, `call` is the last of them.

    It is about the call `asked`: itself, or the one that waited. The model has it come to what is `expected`.
    """

    def __init__(
        self, made: list[Call], calls: list[str], call: Call, asked: Call, expected: str, observed: str
    ) -> None:
        super().__init__(f"{call}: {expected} expected, {observed} observed")
        self.made = made
        self.calls = [*calls, f"{call} = {observed}"]
        self.call = call
        self.asked = asked
        self.expected = expected
        self.observed = observed

    @property
    def unanswered(self) -> bool:
        """True where the call never came back, not even with an error: another try would hang as well."""
        return self.observed.startswith(("no answer", "no end"))


class Differs(Ended):
    """The real answer is none that the model allows."""


class LeftOpen(Ended):
    """The answers differ, and both are right."""


class Refused(Ended):
    """The mount does not have such a call."""


class Disturbed(Ended):
    """A call failed that is no lock's: by a limit, by a signal from outside, by a file that is not there."""


class Twins:
    """The two stages, and the calls that wait on both."""

    def __init__(self, model: ModelStage, real: RealStage, patience_s: float = WAKE_S) -> None:
        self.made: list[Call] = []
        self.calls: list[str] = []
        """Those made, and with what each came to, those also that end a call which waited."""
        self.waiting: dict[str, Call] = {}
        self._model = model
        self._real = real
        self._patience_s = patience_s

    def perform_all(self, drawing: Drawing, program: Program) -> None:
        """Perform the program to its end; raises Differs, LeftOpen or Refused where it ends before."""
        for numbers in program.calls:
            call = drawing.call(numbers, self.waiting)
            if call is None:
                return
            if self.perform(call) in SUCCESS:
                drawing.done(call)

    def perform_calls(self, calls: Iterable[Call]) -> None:
        """Perform these calls, up to one that makes no sense where some before it are left out; raises as above."""
        for call in calls:
            if (call.actor in self.waiting) != (call.verb in TO_WAITERS) and call.verb != "killed":
                return
            self.perform(call)

    def perform(self, call: Call) -> str:
        """Make the call on both stages, and see to it that the right ones of those who wait go on."""
        self.made.append(call)
        answer = self._compared(call)
        while ready := self._model.wakeable():
            self._one_goes_on(ready)
        for name in self._real.disturbed(self.waiting):
            self._compared(Call(name, "waits", ()))
        return answer

    def _one_goes_on(self, ready: list[str]) -> None:
        """Others may be back sooner, let in by one who is slower to tell: they are looked at when he has told."""
        back = self._real.first_back(ready, SOON_S)
        if not back:
            self._check_for_deadlock(ready)
            back = self._real.first_back(ready, self._patience_s)
        if back:
            self._compared(_returns(back[0]))
        else:
            self._nobody_came(ready)

    def _nobody_came(self, ready: list[str]) -> None:
        """Somebody else may have come in his place; or nobody is woken."""
        back = self._real.first_back(self.waiting, 0)
        for name in back:
            if name not in ready:
                self._compared(Call(name, "waits", ()))
        if not back:
            raise self._ended(Differs, _returns(ready[0]), self._would_end(ready[0]), "waits")

    def _check_for_deadlock(self, ready: list[str]) -> None:
        """Raise LeftOpen where those who are not back could only come back with EDEADLK."""
        if all(self._would_end(name) == "EDEADLK" for name in ready):
            raise self._ended(LeftOpen, _returns(ready[0]), "EDEADLK", "waits")

    def _would_end(self, name: str) -> str:
        return deepcopy(self._model).perform(_returns(name))

    def _compared(self, call: Call) -> str:
        expected, observed = self._model.perform(call), self._real.perform(call)
        if observed == "waits" and expected not in ("waits", "EDEADLK"):
            observed = self._late_answer(call.actor)
        if self._may_go_late(call, expected, observed):
            observed = self._asked_again(call, expected)
        if expected != observed and not self._reports_a_holder(call, expected, observed):
            raise self._ended(self._kind(call, expected, observed), call, expected, observed)
        self.calls.append(f"{call} = {observed}")
        if observed != "waits":
            self.waiting.pop(call.actor, None)
        elif call.may_wait:
            self.waiting[call.actor] = call
        return observed

    def _late_answer(self, actor: str) -> str:
        """A server that is slow may seem to let the call wait."""
        back = self._real.first_back([actor], self._patience_s)
        return self._real.perform(_returns(actor)) if back else "waits"

    def _may_go_late(self, call: Call, expected: str, observed: str) -> bool:
        """True where a lock is met that ought not to be there, and a close before may be about to end it."""
        met = observed in IN_THE_WAY if expected == "granted" else call.verb in GET and " by " in observed
        agrees = expected == observed or self._reports_a_holder(call, expected, observed)
        closed = any(made.verb in CLOSES for made in self.made)
        return met and not agrees and closed and any(family_of(made) in OF_DESCRIPTIONS for made in self.made)

    def _asked_again(self, call: Call, expected: str) -> str:
        """The answer once the lock has gone, or the last one: a request that is refused changes nothing."""
        deadline = time.monotonic() + self._patience_s
        while self._may_go_late(call, expected, observed := self._real.perform(call)):
            if time.monotonic() >= deadline:
                break
            time.sleep(AGAIN_S)
        return observed

    def _ended(self, kind: type[Ended], call: Call, expected: str, observed: str) -> Ended:
        return kind(self.made, self.calls, call, self.waiting.get(call.actor, call), expected, observed)

    def _kind(self, call: Call, expected: str, observed: str) -> type[Ended]:
        if is_refusal(self.waiting.get(call.actor, call), observed):
            return Refused
        if excuse(call, observed) or (call.verb in NAME_CALLS and expected in SUCCESS):
            return Disturbed
        if (expected, observed) == ("EDEADLK", "waits"):
            return LeftOpen
        if (expected, observed) == ("waits", "EDEADLK") and self._model.is_in_a_ring(call.actor):
            return LeftOpen
        return Differs

    def _reports_a_holder(self, call: Call, expected: str, observed: str) -> bool:
        """True where it reports another lock in the way than the first; who holds it is compared where one can know."""
        if call.verb not in GET or " by " not in expected:
            return False
        return any(self._is_same(call, each, observed) for each in self._model.in_the_way(call))

    def _is_same(self, call: Call, expected: str, observed: str) -> bool:
        """Processes have no names on other hosts; a FUSE server is not told which locks are of descriptions.

        A part of what the model has merged is a lock as well, as long as it is in the way.
        """
        lock, _, holder = expected.partition(" by ")
        told, _, who = observed.partition(" by ")
        unknown = self._real.spread or call.verb == "F_OFD_GETLK" or holder == "description"
        return (who == holder or (unknown and bool(who))) and _is_part(told, lock, range_of(call.args[1:]))


def _is_part(told: str, lock: str, asked: Range) -> bool:
    """True where the lock that is told is all or a part of that one, and has a byte of what was asked for."""
    (kind, *told_at), (its_kind, *its) = told.split(), lock.split()
    (start, end), (first, last) = _extent(*map(int, told_at)), _extent(*map(int, its))
    begin, until = _extent(asked.start, asked.length)
    return kind == its_kind and first <= start <= end <= last and start < until and begin < end


def _extent(start: int, length: int) -> tuple[int, int]:
    """The first byte, and the one behind the last; a negative length is that before the start."""
    return (start + length, start) if length < 0 else (start, start + length if length else MAX + 1)


def _returns(name: str) -> Call:
    return Call(name, "returns", ())


WRONG = frozenset({"EBADF", "EINVAL", "EOVERFLOW"})
STALE = "stale"
"""Something is in the way that is held no more; what left it there shows when the program is as short as it gets."""


def guarantee_of(difference: Differs) -> str:
    """The guarantee, by its name in `lab.check.guarantees`."""
    found = roughly(difference)
    if found != STALE:
        return found
    verbs = {line.split()[1] for line in difference.calls}
    if verbs & {"killed", "exit"}:
        return "death"
    if "close" in verbs:
        return "ownership"
    return "flock" if difference.asked.verb == "flock" else "ranges"


def roughly(difference: Differs) -> str:
    """The guarantee as far as the last call alone tells, or `STALE`: it stays the same while a program is shrunk."""
    call, answers = difference.call, {difference.expected, difference.observed}
    if difference.unanswered:
        return "blocking"
    if "EDEADLK" in answers:
        return "deadlock"
    if answers & WRONG:
        return "modes"
    if call.verb in ("killed", "exit"):
        return "death"
    if call.verb in ("returns", "interrupted"):
        return "blocking"
    if call.verb in GET:
        return _of_report(difference)
    if family_of(difference.asked):
        return family_of(difference.asked) if difference.observed in SUCCESS else STALE
    return "ownership"


def _of_report(difference: Differs) -> str:
    if difference.observed == "free":
        return family_of(difference.call)
    return STALE if difference.expected == "free" else "ranges"
