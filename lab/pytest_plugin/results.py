"""Define the results that a test makes claims about: of a race, of an exploration, with the line that repeats it.

Advice that names options of the lab's commands is given here with the arguments that a test has in their place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from shlex import join

import pytest

from lab.analysis.statistics import requests_for
from lab.errors import UsageError
from lab.locking.registry import OWN
from lab.output import lab_command
from lab.racing.summary import MORE, rounds_for, seconds_for
from lab.records import Case, Exploration, ExploredCase, Run
from lab.report.format import PLAIN, one_in, plural
from lab.report.text.explore import covered, explanation
from lab.report.text.explore import text_of as explore_text
from lab.report.text.race import what_broke
from lab.report.text.race_verdict import TELLING, complaints, heading

from .manner import MANNERS
from .protocol import DETECTS, ExploreAnswer, RaceAnswer, is_about_the_test


@dataclass(frozen=True, slots=True)
class Repetition:
    """The facts needed to repeat a race.

    They are the test, the lock where it was given by its name, and the name of the directory here.
    """

    test: str
    lock: str | None
    directory: str = ""

    def line(self, answer: RaceAnswer) -> str:
        """Return `lab race ...` where the command line can do the same; else the line of the test."""
        (case,), options = answer.run.cases, answer.run.options
        if not self.lock or not answer.name or answer.manner:
            return self.tested(options.seed)
        rounds, trials = _shape(case)
        words: list[object] = [answer.name, "--lock", self.lock, "--workers", case.workers]
        words += ["--rounds", rounds, "--trials", trials, "--seed", options.seed, "--dir", self.directory]
        words += ["--time-limit", f"{options.time_limit_s:g}"]
        words += ["--backing", *options.backings] if options.backings else []
        words += ["--window", options.window_ns] if options.window_ns else []
        words += ["--leak", options.leak] if options.leak else []
        return f"{lab_command()} race {join(map(str, words))}"

    def tested(self, seed: int) -> str:
        """Return the line that runs the test again."""
        return join(["python", "-m", "pytest", self.test, "--lab-seed", str(seed)])


def _shape(case: Case) -> tuple[int, int]:
    """Return rounds and trials that are as much as was raced; a race for a time has shorter trials at its beginning."""
    each = max(1, case.operations // case.workers)
    rounds = min(case.rounds, each) if case.operations else case.rounds
    return rounds, max(1, round(each / rounds))


OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def as_arguments(text: str) -> str:
    """Return the text with `time_limit=` for `--time-limit`, and so on."""
    return OPTION.sub(lambda found: f"{found[1].replace('-', '_')}=", text)


__tracebackhide__ = is_about_the_test

REPLAY = "replay: "


class RaceResult:
    """The result of one race. It counts as looked at once a claim was made, or `run` or `case` was read."""

    def __init__(self, answer: RaceAnswer, repetition: Repetition, explain: Callable[[Run], Run]) -> None:
        self.looked_at = False
        self._answer = answer
        self._repetition = repetition
        self._explain = explain

    def __repr__(self) -> str:
        (case,) = self._answer.run.cases
        return f"race of {_raced_case(case)}"

    @property
    def run(self) -> Run:
        """Return the document (lab.records)."""
        self.looked_at = True
        return self._answer.run

    @property
    def case(self) -> Case:
        """Return the row of the table: the case, and its result."""
        return self.run.cases[0]

    @property
    def manner(self) -> str:
        """Return what workers did inside the lock, "yielded" or "slept", which widens the race window."""
        return self._answer.manner

    @property
    def yielded(self) -> bool:
        """Return True where the race window was widened so, in either manner."""
        return bool(self.manner)

    def assert_clean(self, detects: float = DETECTS) -> None:
        """Fail unless the race was clean, and clean enough to say something about the lock.

        Clean means that nothing broke, no worker died or hung, and no holds overlapped. It says something where a lock
        that grants falsely at the rate `detects` would have been noticed with 95 % probability. Skips where the
        environment cannot race it. Raises UsageError for what is no rate.
        """
        if not 0 < detects < 1:
            raise UsageError(f"detects={detects!r} is no rate: above 0, below 1")
        self._skip_unsupported()
        case = self.case
        if case.verdict != "clean" or case.overlapping_holds:
            raise AssertionError(self._failure(self.run if self._leaked else self._explain(self.run)))
        if case.detection_limit is None or case.detection_limit > detects:
            raise AssertionError(f"{self._too_weak(detects)}\n\n{self._evidence(self.run)}")

    def assert_damaged(self) -> None:
        """Fail unless data broke or holds overlapped. Skips where the environment cannot race it."""
        self._skip_unsupported()
        case = self.case
        if case.verdict == "clean":
            raise AssertionError(
                f"{_raced_case(case)}: was to break and did not in {plural(case.operations, 'round')}; race for more "
                f"seconds=, or widen the window with window_ns=\n\n{self._evidence(self.run)}"
            )
        if case.verdict != "damaged":
            raise AssertionError(self._failure(self.run))

    @property
    def _leaked(self) -> bool:
        """Return True where holds overlapped because the test asked for it."""
        return bool(self.run.options.leak and self.case.has_overlaps)

    def _skip_unsupported(self) -> None:
        if self.case.verdict == "unsupported":
            pytest.skip(self.case.reason)

    def _failure(self, run: Run) -> str:
        """Say what went wrong in a race that should have been clean."""
        unexpected = replace(run, cases=[replace(case, expected="clean", allows_overlaps=False) for case in run.cases])
        return "\n".join([*map(as_arguments, complaints(unexpected)), "", self._evidence(unexpected)])

    def _evidence(self, run: Run) -> str:
        """Return the table, why it broke where that is known, and how to repeat it."""
        parts = [what_broke(run, PLAIN)]
        if self._leaked:
            parts.append(
                f"why it broke: leak={run.options.leak:g} makes conflicting holds overlap: no fault of its own"
            )
        parts += [self._why(case.explanation) for case in run.cases if case.explanation]
        where = "; ".join(filter(None, [heading(run), MANNERS.get(self.manner)]))
        return "\n\n".join([*parts, f"{where}\nagain: {self._repetition.line(self._answer)}"])

    def _why(self, explored: ExploredCase) -> str:
        """Return the shortest interleaving; without the replay line where the command line finds no such scenario."""
        lines = explanation(explored).splitlines()
        return "\n".join(line for line in lines if self._answer.name or not line.startswith(REPLAY))

    def _too_weak(self, detects: float) -> str:
        """Say that a clean race shows too little, and how much more it takes."""
        case = self.case
        shows = f"{_raced_case(case)}: clean, but that shows too little"
        if not case.holds:
            return f"{shows}: no hold of a lock was recorded, so a lock that grants falsely could not have been noticed"
        if not case.contended_requests:
            return f"{shows}: no request met a holder, so it could notice no false grant; {_to_meet(case, detects)}"
        more = rounds_for(case, detects) - case.operations
        seconds = ceil(seconds_for(case, detects, self._answer.raced_s))
        return (
            f"{shows}: {case.contended_requests:,} of {plural(case.operations, 'round')} met a holder, so "
            f"{_noticed(case)}, and detects={detects:g} asks for {one_in(detects)}, which takes "
            f"{requests_for(detects):,}: about {more:,} more rounds, as with seconds={seconds}"
            f"{_polling(self.manner, case)}"
        )


def _noticed(case: Case) -> str:
    """Say which rate would have been noticed, by so many requests."""
    power = case.detection_limit
    if power is None or power > TELLING:
        return "hardly a false grant would have been noticed"
    return f"a lock that grants falsely {one_in(power)} times would have been noticed"


def _polling(manner: str, case: Case) -> str:
    """Say what else may help where workers waited inside the lock and still met seldom.

    Nothing is said under one of the kernel's locks.
    """
    if not manner or case.lock in OWN:
        return ""
    return "; a lock that polls meets others only as often as it looks: have it look every millisecond"


def _to_meet(case: Case, detects: float) -> str:
    """Say what to try where no request met a holder: twice the workers, and many more rounds."""
    rounds = MORE * max(1, case.operations // case.workers)
    return (
        f"detects={detects:g} takes {requests_for(detects):,} that do: give workers={2 * case.workers} and "
        f"rounds={rounds:_}, or leave trials= out, and workers who meet too seldom wait inside the lock"
    )


def _raced_case(case: Case) -> str:
    return f"{case.scenario} under {case.lock}, {plural(case.workers, 'worker')}"


class ExploreResult:
    """The result of one exploration. It counts as looked at once a claim was made, or `run` or `case` was read."""

    def __init__(self, answer: ExploreAnswer, repetition: Repetition) -> None:
        self.looked_at = False
        self._answer = answer
        self._repetition = repetition

    def __repr__(self) -> str:
        (case,) = self._answer.run.cases
        return f"exploration of {_explored_case(case)}"

    @property
    def run(self) -> Exploration:
        """Return the document (lab.records)."""
        self.looked_at = True
        return self._answer.run

    @property
    def case(self) -> ExploredCase:
        """Return the row of the table: the case, and its result."""
        return self.run.cases[0]

    def assert_exhausted(self) -> None:
        """Fail unless every interleaving was covered and none breaks anything."""
        self.assert_holds()
        if not self.case.exhausted:
            raise AssertionError(
                f"{_explored_case(self.case)}: not exhausted: nothing broke in {self.case.covered}; raise "
                f"time_limit= or preemptions=, or lower rounds=\n\n{self._evidence()}"
            )

    def assert_holds(self) -> None:
        """Fail unless every interleaving with up to `preemptions` was covered and none breaks anything."""
        if self.case.verdict == "broken":
            raise AssertionError(f"{_explored_case(self.case)}: broken: {self.case.headline}\n\n{self._evidence()}")
        if self.case.verdict != "holds":
            text = as_arguments(covered(self.case))
            raise AssertionError(f"{text}\n\n{self._evidence(text)}")

    def assert_broken(self, kind: str | None = None) -> None:
        """Fail unless an interleaving was found that breaks something, with damage of this kind where one is named."""
        kinds = [each.kind for each in self.case.damage]
        if self.case.verdict != "broken":
            raise AssertionError(f"{_explored_case(self.case)}: was to break and did not\n\n{self._evidence()}")
        if kind is not None and kind not in kinds:
            raise AssertionError(
                f"{_explored_case(self.case)}: broken, but by {', '.join(kinds)}, not by {kind}\n\n{self._evidence()}"
            )

    def _evidence(self, without: str = "") -> str:
        """Return the report of the exploration, without what has been said, and how to repeat it."""
        lines = as_arguments(explore_text(self.run, PLAIN)).splitlines()
        lines = [line for line in lines if self._answer.name or not line.startswith(REPLAY)]
        text = "\n".join(line for line in lines if not line or line != without)
        return f"{text.rstrip()}\n\nagain: {self._repetition.tested(self.run.options.seed)}"


def _explored_case(case: ExploredCase) -> str:
    return f"{case.scenario} under {case.lock}, {plural(case.workers, 'worker')} x {plural(case.rounds, 'round')}"
