"""The line that does it again."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import join

from lab.results import Case

from .answer import Raced


@dataclass(frozen=True, slots=True)
class Again:
    """Which test it was, the lock where it was given by its name, and the directory as it is called here."""

    test: str
    lock: str | None
    directory: str = ""

    def line(self, raced: Raced) -> str:
        """`python -m lab race ...` where the command line can do the same; else the test."""
        (case,), asked = raced.run.cases, raced.run.options
        if not self.lock or not raced.name or raced.manner:
            return self.tested(asked.seed)
        rounds, trials = _shape(case)
        words: list[object] = [raced.name, "--lock", self.lock, "--workers", case.workers]
        words += ["--rounds", rounds, "--trials", trials, "--seed", asked.seed, "--dir", self.directory]
        words += ["--region", *asked.regions] if asked.regions else []
        words += ["--window", asked.window_ns] if asked.window_ns else []
        words += ["--leak", asked.leak] if asked.leak else []
        return join(["python", "-m", "lab", "race", *map(str, words)])

    def tested(self, seed: int) -> str:
        """The line that runs the test again."""
        return join(["python", "-m", "pytest", self.test, "--lab-seed", str(seed)])


def _shape(case: Case) -> tuple[int, int]:
    """Rounds and trials that are as much as was raced; a race for a time has shorter trials at its beginning."""
    each = max(1, case.operations // case.workers)
    rounds = min(case.rounds, each) if case.operations else case.rounds
    return rounds, max(1, round(each / rounds))
