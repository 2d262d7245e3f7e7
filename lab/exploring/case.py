"""Name what is explored: a scenario under a lock with so many workers and rounds, and what fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.scenario import Found

Kind = Literal["kill", "power"]
"""What crashes: one worker, or all of them and the disk."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row that will be explored; with a `crash` at every point at which that can happen."""

    found: Found
    lock: str
    workers: int
    rounds: int
    crash: Kind | None = None

    @property
    def title(self) -> str:
        """Return the title of the case."""
        crash = f", crash {self.crash}" if self.crash else ""
        return f"{self.found.name}, lock {self.lock}, {self.workers} x {self.rounds}{crash}"

    @property
    def expected(self) -> Literal["holds", "broken"]:
        """Return what the scenario announces under this lock, and of this crash."""
        scenario = self.found.kind()
        of_crash = scenario.after_crash.get(self.crash, "clean") if self.crash else "clean"
        return "holds" if scenario.expected(self.lock) == of_crash == "clean" else "broken"

    @property
    def kind(self) -> Kind:
        """Return what crashes, in a case in which something does."""
        assert self.crash is not None  # noqa: S101 - it is asked of no other
        return self.crash
