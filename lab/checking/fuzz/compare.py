"""Perform one random program on the model and by real processes, call by call, until their answers differ.

Which of several waiting calls gets a lock that has become free is left open: the model lets the one that returns
first continue, if it may. Also left open is which conflicting lock F_GETLK reports, and whether a deadlock is noticed:
where there is one, EDEADLK and waiting are both right, and the program ends there, since nothing can be compared any
more. Source: POSIX.1-2024, fcntl(): "any lock which blocks"; "EDEADLK: the system may".

A lock of an open file description may disappear a little later than the close that ends it: a FUSE server is notified
of the last close by RELEASE, for which close(2) does not wait. A process that meets a lock that should have gone by
then therefore asks again, as the rules let a waiter wait for it. Source: libfuse, fuse_lowlevel.h, `release`;
fs/fuse/file.c of Linux.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from copy import deepcopy

from lab.checking.actors.controller import WAKE_S
from lab.checking.actors.stage import RealStage
from lab.checking.blame import excuse, family_of, is_refusal
from lab.checking.language import GET, MAX, NAME_CALLS, SUCCESS, Call, Range, range_of
from lab.checking.oracle import ModelStage
from lab.locking.registry import FAMILIES, OWN

from .generate import TO_WAITERS, Drawing, Program

SOON_S = 0.05
"""Most woken calls have returned within this time."""

AGAIN_S = 0.002
"""The pause between two requests for a lock that a close may be about to end."""

CLOSES = frozenset({"close", "exit", "killed"})
OF_DESCRIPTIONS = frozenset(family for family, name in FAMILIES.items() if OWN[name].owner == "open file")
IN_THE_WAY = ("EAGAIN", "EACCES")


class Ended(Exception):  # noqa: N818 - what happened
    """The program cannot continue: `made` and `calls` are those of `Twins`, `call` is the last of them.

    It is about the call `asked`: itself, or the one that waited. The result in the model is `expected`.
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
        """Tell whether the call never returned, not even with an error: another try would hang as well."""
        return self.observed.startswith(("no answer", "no end"))


class Differs(Ended):
    """The real answer is not one that the model allows."""


class LeftOpen(Ended):
    """The answers differ, and both are right."""


class Refused(Ended):
    """The mount does not have such a call."""


class Disturbed(Ended):
    """A call failed for a reason other than a lock: a limit, a signal from outside, a file that is not there."""


class Twins:
    """The two stages, and the calls that wait on both."""

    def __init__(self, model: ModelStage, real: RealStage, patience_s: float = WAKE_S) -> None:
        self.made: list[Call] = []
        self.calls: list[str] = []
        """The calls that were made, each with its result; calls that end a waiting call are included."""
        self.waiting: dict[str, Call] = {}
        self._model = model
        self._real = real
        self._patience_s = patience_s

    def perform_all(self, drawing: Drawing, program: Program) -> None:
        """Perform the program to its end; raise Differs, LeftOpen or Refused where it ends earlier."""
        for numbers in program.calls:
            call = drawing.call(numbers, self.waiting)
            if call is None:
                return
            if self.perform(call) in SUCCESS:
                drawing.done(call)

    def perform_calls(self, calls: Iterable[Call]) -> None:
        """Perform these calls, up to one that makes no sense where some before it are left out; raise as above."""
        for call in calls:
            if (call.actor in self.waiting) != (call.verb in TO_WAITERS) and call.verb != "killed":
                return
            self.perform(call)

    def perform(self, call: Call) -> str:
        """Make the call on both stages, and ensure that the right ones of the waiting calls continue."""
        self.made.append(call)
        answer = self._compared(call)
        while ready := self._model.wakeable():
            self._one_goes_on(ready)
        for name in self._real.disturbed(self.waiting):
            self._compared(Call(name, "waits", ()))
        return answer

    def _one_goes_on(self, ready: list[str]) -> None:
        """Let one waiter continue; others that it let in may return sooner, and are checked after it has answered."""
        back = self._real.first_back(ready, SOON_S)
        if not back:
            self._check_for_deadlock(ready)
            back = self._real.first_back(ready, self._patience_s)
        if back:
            self._compared(_returns(back[0]))
        else:
            self._nobody_came(ready)

    def _nobody_came(self, ready: list[str]) -> None:
        """Handle a waiter that did not return: another may have been granted the lock instead, or none is woken."""
        back = self._real.first_back(self.waiting, 0)
        for name in back:
            if name not in ready:
                self._compared(Call(name, "waits", ()))
        if not back:
            raise self._ended(Differs, _returns(ready[0]), self._would_end(ready[0]), "waits")

    def _check_for_deadlock(self, ready: list[str]) -> None:
        """Raise LeftOpen where the calls that have not returned could only return with EDEADLK."""
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
        """Wait for a late answer, because with a slow server the call may seem to wait."""
        back = self._real.first_back([actor], self._patience_s)
        return self._real.perform(_returns(actor)) if back else "waits"

    def _may_go_late(self, call: Call, expected: str, observed: str) -> bool:
        """Tell whether the call meets a lock that should not be there, and an earlier close may be about to end it."""
        met = observed in IN_THE_WAY if expected == "granted" else call.verb in GET and " by " in observed
        agrees = expected == observed or self._reports_a_holder(call, expected, observed)
        closed = any(made.verb in CLOSES for made in self.made)
        return met and not agrees and closed and any(family_of(made) in OF_DESCRIPTIONS for made in self.made)

    def _asked_again(self, call: Call, expected: str) -> str:
        """Return the answer after the lock has gone, or the last answer: a request that is refused changes nothing."""
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
        """Tell whether it reports another conflicting lock than the first; a holder is compared where it is known."""
        if call.verb not in GET or " by " not in expected:
            return False
        return any(self._is_same(call, each, observed) for each in self._model.in_the_way(call))

    def _is_same(self, call: Call, expected: str, observed: str) -> bool:
        """Tell whether both answers mean the same.

        Processes have no names on other hosts; a FUSE server does not know which locks are of descriptions. A part
        of a lock that the model has merged is a lock as well, as long as it conflicts.
        """
        lock, _, holder = expected.partition(" by ")
        told, _, who = observed.partition(" by ")
        unknown = self._real.spread or call.verb == "F_OFD_GETLK" or holder == "description"
        return (who == holder or (unknown and bool(who))) and _is_part(told, lock, range_of(call.args[1:]))


def _is_part(told: str, lock: str, asked: Range) -> bool:
    """Tell whether the reported lock is all or a part of that one, and has a byte of the requested range."""
    (kind, *told_at), (its_kind, *its) = told.split(), lock.split()
    (start, end), (first, last) = _extent(*map(int, told_at)), _extent(*map(int, its))
    begin, until = _extent(asked.start, asked.length)
    return kind == its_kind and first <= start <= end <= last and start < until and begin < end


def _extent(start: int, length: int) -> tuple[int, int]:
    """Return the first byte and the one after the last; a negative length is that before the start."""
    return (start + length, start) if length < 0 else (start, start + length if length else MAX + 1)


def _returns(name: str) -> Call:
    return Call(name, "returns", ())


WRONG = frozenset({"EBADF", "EINVAL", "EOVERFLOW"})
STALE = "stale"
"""A conflicting lock is no longer held; the shortest form of the program shows what left it there."""


def guarantee_of(difference: Differs) -> str:
    """Return the guarantee, by its name in `lab.checking.guarantees`."""
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
    """Return the guarantee as far as the last call alone shows, or `STALE`: it stays the same during shrinking."""
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
