"""Random programs held against the model until the time is over; each difference shrunk to a short program.

Hypothesis draws the programs and shrinks them, in batches; time is kept here, and the shortest program that showed
a difference as well: on a mount that lies only now and then the last try of a shrinking may show nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from lab.processes import stops_noted
from lab.results import Difference, RandomPrograms

from ..actors.company import Company
from ..language import Call
from ..modelled.stage import ModelStage
from .batches import Enough, Met, no_files_of_hypothesis, perform_batch
from .programs import Drawing, Program
from .promise_of import family, promise_of, roughly
from .shrinking import Shrinking
from .twins import Differs, Disturbed, Ended, LeftOpen, Refused, Twins

MOST_DIFFERENCES = 3
DISTURBED_AT_MOST = 5
"""So many programs may be cut short by what is no fault of a lock."""

FEWEST = 10
"""So many are performed however short the time is, as long as that does not take LONGEST times as long."""

LONGEST, HARDLY_S = 3, 5.0
"""And not much longer than this time, where locks are handed over slowly."""


def random_programs(
    company: Company,
    families: Collection[str],
    seconds: float,
    seed: int,
    tell: Callable[[str], None],
    model: Callable[[], ModelStage] = ModelStage,
) -> RandomPrograms:
    """Perform random programs for about so many seconds; `families` are the locks that the mount has.

    The same seed draws the same programs. Ends early with the third difference, with a call that never
    answers, or with a process that SIGKILL does not end (`company.stuck`).
    """
    search = Search(company, families, seconds, seed, tell, model)
    search.perform()
    return search.result()


class Search:
    """The programs performed so far, and the differences found."""

    def __init__(
        self,
        company: Company,
        families: Collection[str],
        seconds: float,
        seed: int,
        tell: Callable[[str], None],
        model: Callable[[], ModelStage] = ModelStage,
    ) -> None:
        self._company = company
        self._families = set(families)
        self._seconds = seconds
        self._seed = seed
        self._tell = tell
        self._model = model
        self._programs = self._calls = self._open = 0
        self._disturbed = 0
        self._begun = time.monotonic()
        self._found: dict[str, Differs] = {}
        self._stuck = len(company.stuck)
        self._shrinking: Shrinking | None = None
        self._stops: Sequence[int] = ()

    def perform(self) -> None:
        """Perform programs until the time is over; `result` tells of them at any time."""
        self._company.know_handoffs()
        with no_files_of_hypothesis(), stops_noted() as self._stops:
            self._begun = time.monotonic()  # what is imported first takes half a second
            for batch in self._batches():
                self._run(batch)

    def _batches(self) -> Iterator[int]:
        """A seed for each of the batches that there is time for."""
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
        """True once a call was never answered, or a process could not be ended: the next would hang as well.

        And once somebody wants it to stop: Hypothesis would swallow what the signal raises. Or once several programs
        were cut short by what is no fault of a lock.
        """
        return (
            bool(self._stops)
            or self._disturbed >= DISTURBED_AT_MOST
            or len(self._company.stuck) > self._stuck
            or any(found.unanswered for found in self._found.values())
        )

    def _spent(self) -> float:
        return time.monotonic() - self._begun

    def _run(self, batch: int) -> None:
        """One batch; at most one difference comes out of it, shrunk."""
        perform_batch(self._one, batch)
        if self._shrinking:
            found = self._shrinking.shortest(self._again)
            self._found[roughly(found)] = found
            self._shrinking = None

    def _one(self, program: Program) -> None:
        """What Hypothesis calls: raises Met where the program shows the difference in question, Enough at the end."""
        if self._hangs() or (self._shrinking.is_over() if self._shrinking else not self._goes_on()):
            raise Enough
        difference = self._drawn(program)
        if difference is None or roughly(difference) in self._found:
            return
        if self._shrinking is None:
            self._tell(f"random programs: {difference.call} = {difference.observed}; looking for less that shows it")
            self._shrinking = Shrinking(difference, self._seconds, self._company.patience)
        if self._shrinking.takes(difference):
            raise Met

    def _drawn(self, program: Program) -> Differs | None:
        with self._twins(self._shrinking.hurry_s if self._shrinking else self._company.patience.wake_s) as twins:
            difference = _difference(lambda: twins.perform_all(Drawing(program, self._families), program))
        if isinstance(difference, Disturbed):
            self._disturbed += 1
        elif self._shrinking is None:
            self._programs += 1
            self._calls += len(twins.calls)
            self._open += isinstance(difference, LeftOpen)
        if isinstance(difference, Refused):
            self._families.discard(family(difference.asked))
        return difference if isinstance(difference, Differs) else None

    def _again(self, calls: Sequence[Call], patience_s: float) -> Differs | None:
        if self._hangs():
            return None
        with self._twins(patience_s) as twins:
            difference = _difference(lambda: twins.perform_calls(calls))
        return difference if isinstance(difference, Differs) else None

    @contextmanager
    def _twins(self, patience_s: float) -> Iterator[Twins]:
        with self._company.stage() as real:
            yield Twins(self._model(), real, patience_s)

    def result(self) -> RandomPrograms:
        """What the document says of it."""
        differences = [
            Difference(promise=promise_of(found), calls=found.calls, expected=found.expected, observed=found.observed)
            for found in self._found.values()
        ]
        return RandomPrograms(self._programs, self._calls, self._open, self._spent(), differences)


def _difference(perform: Callable[[], None]) -> Ended | None:
    """Why the program ended before its end; None where it did not."""
    try:
        perform()
    except Ended as ended:
        return ended
    return None
