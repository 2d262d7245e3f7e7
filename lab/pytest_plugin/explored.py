"""What an exploration came to, for a test to claim something about."""

from __future__ import annotations

from lab.report.exploration import covered, text_of
from lab.report.formats import DEFAULT_FORMAT
from lab.report.words import plural
from lab.results import Exploration, Explored

from .again import Again
from .answer import Explored as Answer
from .arguments import as_arguments
from .hidden import told_by_the_test
from .raced import REPLAY

__tracebackhide__ = told_by_the_test


class ExploreResult:
    """One exploration. It is looked at once a claim was made, or `run` or `case` was read."""

    def __init__(self, answer: Answer, again: Again) -> None:
        self.looked_at = False
        self._answer = answer
        self._again = again

    def __repr__(self) -> str:
        (case,) = self._answer.run.cases
        return f"exploration of {_what(case)}"

    @property
    def run(self) -> Exploration:
        """The document (lab.results)."""
        self.looked_at = True
        return self._answer.run

    @property
    def case(self) -> Explored:
        """What was explored, and what came of it."""
        return self.run.cases[0]

    def assert_exhausted(self) -> None:
        """Fails unless every interleaving was covered and none breaks anything."""
        self.assert_holds()
        if not self.case.exhausted:
            raise AssertionError(
                f"{_what(self.case)}: not exhausted: nothing broke in {self.case.covered}; raise time_limit= or "
                f"preemptions=, or lower rounds=\n\n{self._evidence()}"
            )

    def assert_holds(self) -> None:
        """Fails unless every interleaving with up to `preemptions` was covered and none breaks anything."""
        if self.case.verdict == "broken":
            raise AssertionError(f"{_what(self.case)}: broken: {self.case.headline}\n\n{self._evidence()}")
        if self.case.verdict != "holds":
            said = as_arguments(covered(self.case))
            raise AssertionError(f"{said}\n\n{self._evidence(said)}")

    def assert_broken(self, kind: str | None = None) -> None:
        """Fails unless an interleaving was found that breaks something, with damage of this kind where one is named."""
        kinds = [each.kind for each in self.case.damage]
        if self.case.verdict != "broken":
            raise AssertionError(f"{_what(self.case)}: was to break and did not\n\n{self._evidence()}")
        if kind is not None and kind not in kinds:
            raise AssertionError(
                f"{_what(self.case)}: broken, but by {', '.join(kinds)}, not by {kind}\n\n{self._evidence()}"
            )

    def _evidence(self, said: str = "") -> str:
        """The report of the exploration, without what has been said, and how to do it again."""
        lines = as_arguments(text_of(self.run, DEFAULT_FORMAT)).splitlines()
        lines = [line for line in lines if self._answer.name or not line.startswith(REPLAY)]
        text = "\n".join(line for line in lines if not line or line != said)
        return f"{text.rstrip()}\n\nagain: {self._again.tested(self.run.options.seed)}"


def _what(case: Explored) -> str:
    return f"{case.scenario} under {case.lock}, {plural(case.workers, 'worker')} x {plural(case.rounds, 'round')}"
