"""How long a case is raced, and how: until it shows what `assert_clean` asks for by itself, or for the time asked."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic

from lab.race import Case, race_for
from lab.race.matrix import run_case
from lab.results import Case as Row

from .giving import giving_way
from .request import DETECTS, LONGEST_S, RaceRequest
from .shortfall import seconds_for

FIRST = 4
"""The part of the time asked for after which it is decided how the rest is raced is one in so many."""

BRIEF_S = 0.05
"""The least that the rest is given."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row, how long its race took in seconds, and whether its workers gave way."""

    row: Row
    raced_s: float = 0.0
    gave_way: bool = False

    @property
    def lacking(self) -> bool:
        """True where more of the same could show more of what `assert_clean` asks for by itself."""
        return self.row.verdict == "clean" and (self.row.detection_power or 1.0) > DETECTS

    @property
    def needed_s(self) -> float:
        """Seconds in all that this takes at the same pace; infinite where nobody met."""
        return seconds_for(self.row, DETECTS, self.raced_s) or inf


def raced(case: Case, folder: Path, asked: RaceRequest) -> Shown:
    """The case, raced by trials or for a time; where the test says neither, until it shows enough, within limits.

    What is told is one race alone. It is one with workers that give way where the first, short one shows that by
    themselves they meet too seldom for the time that there is, and where it helps.
    """
    if asked.trials:
        return _timed(case, folder, trials=asked.trials)
    if asked.seconds:
        return _for(case, folder, asked.seconds)
    first = _timed(case, folder, asked.about_s)
    if not first.lacking:
        return first
    polite = _timed(giving_way(case), folder, asked.about_s, gave_way=True)
    if not polite.lacking:
        return polite
    better = min(polite, first, key=lambda shown: shown.needed_s)  # a lock that polls asleep gains nothing by it
    if better.needed_s == inf:
        return better
    again = giving_way(case) if better.gave_way else case
    return _timed(again, folder, min(better.needed_s, LONGEST_S), gave_way=better.gave_way)


def _for(case: Case, folder: Path, seconds: float) -> Shown:
    first = _timed(case, folder, seconds / FIRST)
    if first.row.verdict != "clean":
        return first
    gave_way = first.needed_s > seconds
    rest_s = max(BRIEF_S, seconds - first.raced_s)
    return _timed(giving_way(case) if gave_way else case, folder, rest_s, gave_way=gave_way)


def _timed(case: Case, folder: Path, seconds: float = 0.0, trials: int = 0, *, gave_way: bool = False) -> Shown:
    begun = monotonic()
    row = run_case(case, trials, [folder]) if trials else race_for(case, [folder], seconds)
    return Shown(row, monotonic() - begun, gave_way)
