"""Perform random programs against the model until the time is over, and shrink each difference to a short program.

Hypothesis draws the programs and shrinks them, in batches; then one call after the other is left out. The time is
measured here, and the shortest program that showed a difference is stored here: on a mount that grants falsely only
now and then, the last try of a shrinking may show nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from os import devnull
from typing import Any

from lab.checking.actors.pool import ActorPool
from lab.checking.blame import family_of
from lab.checking.language import Call
from lab.checking.oracle import ModelStage
from lab.processes import stops_noted
from lab.records import Difference, RandomPrograms

from .compare import Differs, Disturbed, Ended, LeftOpen, Refused, Twins, guarantee_of, roughly
from .generate import Drawing, Program, programs

BATCH = 100
"""The programs in a batch, not counting those for shrinking."""


class Enough(BaseException):
    """The time is over. This is no Exception, because Hypothesis would treat it as a failure of the program."""


class Met(Exception):  # noqa: N818 - what happened
    """A program showed the difference in question."""


def perform_batch(body: Callable[[Program], None], number: int) -> None:
    """Make Hypothesis call the body with a batch of programs, and with shorter ones after it raises Met."""
    from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
    from hypothesis.errors import Flaky

    quietly: dict[str, Any] = {
        "database": None,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        "verbosity": Verbosity.quiet,
        "print_blob": False,
        "report_multiple_bugs": False,
    }
    performed = given(programs())(lambda program: body(program))
    try:
        settings(max_examples=BATCH, phases=(Phase.generate, Phase.shrink), **quietly)(seed(number)(performed))()
    except (Met, Flaky, Enough):
        return


@contextmanager
def no_files_of_hypothesis() -> Iterator[None]:
    """Give Hypothesis a home that it cannot write to, because it stores findings in the working directory otherwise."""
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(devnull)
    try:
        yield
    finally:
        set_hypothesis_home_dir(None)


DRAWING = 0.1
DRAWING_S = 1.0
LEAVING_OUT = 0.15
LEAVING_OUT_S = 2.0
"""Each of two ways of shrinking may take this share of the whole time, or this long if that is longer."""

HURRY = 12
"""Meanwhile a waiter that should be woken gets only one part in this many of the time; the result is tried in full."""

Again = Callable[[Sequence[Call], float], Differs | None]
"""Performs the calls, with this many seconds for waiters to be woken, and returns the difference, if it shows one."""


class Shrinking:
    """One difference, and the shortest program so far that shows it, or another one of its kind."""

    def __init__(self, first: Differs, seconds: float, wake_s: float) -> None:
        self._kind = roughly(first)
        self._first = self._best = first
        self._seconds = seconds
        self._wake_s = wake_s
        self.hurry_s = wake_s / HURRY
        self._deadline = time.monotonic() + max(DRAWING_S, DRAWING * seconds)

    def is_over(self) -> bool:
        """Tell whether its time is over; at once for a call that never answers, which would take its time again."""
        return self._best.unanswered or time.monotonic() >= self._deadline

    def takes(self, difference: Differs | None) -> bool:
        """Tell whether the difference is of this kind; if it is the shortest, keep it."""
        if difference is None or roughly(difference) != self._kind:
            return False
        if _length(difference) < _length(self._best):
            self._best = difference
        return True

    def shortest(self, again: Again) -> Differs:
        """Return the shortest program that shows it: no call can be left out, if there was time to try them all."""
        self._deadline = time.monotonic() + max(LEAVING_OUT_S, LEAVING_OUT * self._seconds)
        calls_less = len(self._best.made) // 2
        while calls_less and not self.is_over():
            if not self._is_shown_without(calls_less, again):
                calls_less //= 2
        return self._in_full(again)

    def _is_shown_without(self, number: int, again: Again) -> bool:
        """Try to leave out this many calls, the last ones first; return True when that works."""
        made = self._best.made
        starts = (at for at in reversed(range(0, len(made), number)) if not self.is_over())
        return any(self.takes(again([*made[:at], *made[at + number :]], self.hurry_s)) for at in starts)

    def _in_full(self, again: Again) -> Differs:
        """Return the difference only if it also shows with the full waiting time, where it was found with less."""
        if self._best is self._first or self._best.call.verb != "returns":
            return self._best
        found = again(self._best.made, self._wake_s)
        return found if found and roughly(found) == self._kind else self._first


def _length(difference: Differs) -> tuple[int, int]:
    return len(difference.calls), sum(map(len, difference.calls))


MOST_DIFFERENCES = 3
DISTURBED_AT_MOST = 5
"""At most this many programs may be cut short by causes other than a lock."""

FEWEST = 10
"""At least this many are performed however short the time is, unless that exceeds the next limit."""

LONGEST, HARDLY_S = 3, 5.0
"""The limit is LONGEST times as long, or HARDLY_S if that is longer; it is reached where hand-offs are slow."""


class Search:
    """Random programs that are performed for about so many seconds; `families` are the locks that the mount has.

    The same seed draws the same programs. It ends early with the third difference, with a call that never answers, or
    with a process that SIGKILL does not end (`actor_pool.stuck`).
    """

    def __init__(
        self,
        actor_pool: ActorPool,
        families: Collection[str],
        seconds: float,
        seed: int,
        tell: Callable[[str], None],
        model: Callable[[], ModelStage] = ModelStage,
    ) -> None:
        self._actor_pool = actor_pool
        self._families = set(families)
        self._seconds = seconds
        self._seed = seed
        self._tell = tell
        self._model = model
        self._programs = self._calls = self._open = 0
        self._disturbed = 0
        self._begun = time.monotonic()
        self._found: dict[str, Differs] = {}
        self._stuck = len(actor_pool.stuck)
        self._shrinking: Shrinking | None = None
        self._stops: Sequence[int] = ()

    def perform(self) -> RandomPrograms:
        """Perform programs until the time is over, and return what they found; `result` reports them at any time."""
        self._actor_pool.know_handoffs()
        with no_files_of_hypothesis(), stops_noted() as self._stops:
            self._begun = time.monotonic()  # the import on first use takes half a second
            for batch in self._batches():
                self._run(batch)
        return self.result()

    def _batches(self) -> Iterator[int]:
        """Yield a seed for each of the batches that there is time for."""
        number = 0
        while self._goes_on():
            yield self._seed * 1_000_003 + number
            number += 1

    def _goes_on(self) -> bool:
        enough = self._programs >= FEWEST or self._spent() >= max(HARDLY_S, LONGEST * self._seconds)
        timed_out = self._spent() >= self._seconds and enough
        over = timed_out or self._hangs() or not self._families
        return not over and len(self._found) < MOST_DIFFERENCES

    def _hangs(self) -> bool:
        """Tell whether a call was never answered, or a process could not be ended: the next would hang as well.

        Also return True when a stop was requested, because Hypothesis would swallow what the signal raises, or when
        several programs were cut short by causes other than a lock.
        """
        return (
            bool(self._stops)
            or self._disturbed >= DISTURBED_AT_MOST
            or len(self._actor_pool.stuck) > self._stuck
            or any(found.unanswered for found in self._found.values())
        )

    def _spent(self) -> float:
        return time.monotonic() - self._begun

    def _run(self, batch: int) -> None:
        """Run one batch; at most one difference results from it, shrunk."""
        perform_batch(self._one, batch)
        if self._shrinking:
            found = self._shrinking.shortest(self._again)
            self._found[roughly(found)] = found
            self._shrinking = None

    def _one(self, program: Program) -> None:
        """Perform one program for Hypothesis: raise Met where it shows the difference, Enough at the end."""
        if self._hangs() or (self._shrinking.is_over() if self._shrinking else not self._goes_on()):
            raise Enough
        difference = self._drawn(program)
        if difference is None or roughly(difference) in self._found:
            return
        if self._shrinking is None:
            self._tell(f"random programs: {difference.call} = {difference.observed}; looking for less that shows it")
            self._shrinking = Shrinking(difference, self._seconds, self._wake_s)
        if self._shrinking.takes(difference):
            raise Met

    @property
    def _wake_s(self) -> float:
        return self._actor_pool.patience.wake_s_of(self._families)

    def _drawn(self, program: Program) -> Differs | None:
        with self._twins(self._shrinking.hurry_s if self._shrinking else self._wake_s) as twins:
            difference = _difference(lambda: twins.perform_all(Drawing(program, self._families), program))
        if isinstance(difference, Disturbed):
            self._disturbed += 1
        elif self._shrinking is None:
            self._programs += 1
            self._calls += len(twins.calls)
            self._open += isinstance(difference, LeftOpen)
        if isinstance(difference, Refused):
            self._families.discard(family_of(difference.asked))
        return difference if isinstance(difference, Differs) else None

    def _again(self, calls: Sequence[Call], patience_s: float) -> Differs | None:
        if self._hangs():
            return None
        with self._twins(patience_s) as twins:
            difference = _difference(lambda: twins.perform_calls(calls))
        return difference if isinstance(difference, Differs) else None

    @contextmanager
    def _twins(self, patience_s: float) -> Iterator[Twins]:
        with self._actor_pool.stage() as real:
            yield Twins(self._model(), real, patience_s)

    def result(self) -> RandomPrograms:
        """Return the section of the document about these programs."""
        differences = [
            Difference(
                guarantee=guarantee_of(found), calls=found.calls, expected=found.expected, observed=found.observed
            )
            for found in self._found.values()
        ]
        return RandomPrograms(self._programs, self._calls, self._open, self._spent(), differences)


def _difference(perform: Callable[[], None]) -> Ended | None:
    """Return the reason why the program ended before its end; None where it did not."""
    try:
        perform()
    except Ended as ended:
        return ended
    return None
