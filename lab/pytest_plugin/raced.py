"""What a race came to, for a test to claim something about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

import pytest

from lab.errors import UsageError
from lab.locks.find import OWN
from lab.model.statistics import requests_for
from lab.race.strength import MORE, rounds_for, seconds_for
from lab.report.exploration import explanation
from lab.report.formats import DEFAULT_FORMAT
from lab.report.tables import what_broke
from lab.report.verdicts import TELLING, complaints, heading
from lab.report.words import one_in, plural
from lab.results import Case, Explored, Run

from .again import Again
from .answer import Raced
from .arguments import as_arguments
from .hidden import told_by_the_test
from .manner import TOLD
from .request import DETECTS

__tracebackhide__ = told_by_the_test

REPLAY = "replay: "


class RaceResult:
    """One race. It is looked at once a claim was made, or `run` or `case` was read."""

    def __init__(self, raced: Raced, again: Again, explain: Callable[[Run], Run]) -> None:
        self.looked_at = False
        self._raced = raced
        self._again = again
        self._explain = explain

    def __repr__(self) -> str:
        (case,) = self._raced.run.cases
        return f"race of {_what(case)}"

    @property
    def run(self) -> Run:
        """The document (lab.results)."""
        self.looked_at = True
        return self._raced.run

    @property
    def case(self) -> Case:
        """The row of the table: what was raced, and what came of it."""
        return self.run.cases[0]

    @property
    def manner(self) -> str:
        """What workers did inside the lock, "gave way" or "slept", which widens the race window (see `giving`)."""
        return self._raced.manner

    @property
    def gave_way(self) -> bool:
        """True where the race window was widened so, in either manner."""
        return bool(self.manner)

    def assert_clean(self, detects: float = DETECTS) -> None:
        """Fails unless nothing broke, nobody died or hung, no two were in, and that says something about the lock.

        It says something where a lock that grants falsely at the rate `detects` would have been noticed with 95 %
        probability. Skips where the environment cannot race it. Raises UsageError for what is no rate.
        """
        if not 0 < detects < 1:
            raise UsageError(f"detects={detects!r} is no rate: above 0, below 1")
        self._skip_unsupported()
        case = self.case
        if case.verdict != "clean" or case.overlapping_holds:
            raise AssertionError(self._told(self.run if self._leaked else self._explain(self.run)))
        if case.detection_power is None or case.detection_power > detects:
            raise AssertionError(f"{self._too_weak(detects)}\n\n{self._evidence(self.run)}")

    def assert_damaged(self) -> None:
        """Fails unless data broke or the lock let two in. Skips where the environment cannot race it."""
        self._skip_unsupported()
        case = self.case
        if case.verdict == "clean":
            raise AssertionError(
                f"{_what(case)}: was to break and did not in {plural(case.operations, 'round')}; race for more "
                f"seconds=, or widen the window with window_ns=\n\n{self._evidence(self.run)}"
            )
        if case.verdict != "damaged":
            raise AssertionError(self._told(self.run))

    @property
    def _leaked(self) -> bool:
        """True where two were let in because the test asked for it."""
        return bool(self.run.options.leak and self.case.two_in)

    def _skip_unsupported(self) -> None:
        if self.case.verdict == "unsupported":
            pytest.skip(self.case.reason)

    def _told(self, run: Run) -> str:
        """What went wrong, where nothing was to."""
        blamed = replace(run, cases=[replace(case, expected="clean", lets_two_in=False) for case in run.cases])
        return "\n".join([*map(as_arguments, complaints(blamed)), "", self._evidence(blamed)])

    def _evidence(self, run: Run) -> str:
        """The table, why it broke where that is known, and how to do it again."""
        parts = [what_broke(run, DEFAULT_FORMAT)]
        if self._leaked:
            parts.append(f"why it broke: leak={run.options.leak:g} has the lock let two in: no fault of its own")
        parts += [self._why(case.explanation) for case in run.cases if case.explanation]
        where = "; ".join(filter(None, [heading(run), TOLD.get(self.manner)]))
        return "\n\n".join([*parts, f"{where}\nagain: {self._again.line(self._raced)}"])

    def _why(self, explored: Explored) -> str:
        """The shortest interleaving; without the line that replays it where the command line finds no such scenario."""
        lines = explanation(explored).splitlines()
        return "\n".join(line for line in lines if self._raced.name or not line.startswith(REPLAY))

    def _too_weak(self, detects: float) -> str:
        """That a clean race shows too little, and how much more it takes."""
        case = self.case
        shows = f"{_what(case)}: clean, but that shows too little"
        if not case.holds:
            return f"{shows}: no hold of a lock was recorded, so a lock that lies could not have been noticed"
        if not case.contended_requests:
            return f"{shows}: no request met a holder, so no lie could have been noticed; {_to_meet(case, detects)}"
        more = rounds_for(case, detects) - case.operations
        seconds = ceil(seconds_for(case, detects, self._raced.raced_s))
        return (
            f"{shows}: {case.contended_requests:,} of {plural(case.operations, 'round')} met a holder, so "
            f"{_noticed(case)}, and detects={detects:g} asks for {one_in(detects)}, which takes "
            f"{requests_for(detects):,}: about {more:,} more rounds, as with seconds={seconds}"
            f"{_polling(self.manner, case)}"
        )


def _noticed(case: Case) -> str:
    """What would have been, by so many requests."""
    power = case.detection_power
    if power is None or power > TELLING:
        return "hardly a lie would have been noticed"
    return f"a lock that lies {one_in(power)} times would have been noticed"


def _polling(manner: str, case: Case) -> str:
    """What else may help where workers waited inside the lock and still met seldom: not under one of the kernel's."""
    if not manner or case.lock in OWN:
        return ""
    return "; a lock that polls meets others only as often as it looks: have it look every millisecond"


def _to_meet(case: Case, detects: float) -> str:
    """What to try where nobody met a holder: twice the workers, and rounds by far."""
    rounds = MORE * max(1, case.operations // case.workers)
    return (
        f"detects={detects:g} takes {requests_for(detects):,} that do: give workers={2 * case.workers} and "
        f"rounds={rounds:_}, or leave trials= out, and workers who meet too seldom wait inside the lock"
    )


def _what(case: Case) -> str:
    return f"{case.scenario} under {case.lock}, {plural(case.workers, 'worker')}"
