"""Choose for how long and in which manner a case is raced: until it shows what `assert_clean` asks for, or for a time.

Two processes meet at a lock by themselves where both run at once. On a busy machine they take turns of milliseconds,
and a hold of microseconds is over before any other runs. So each worker yields the processor once it holds the lock.
Where those that wait sleep between two looks, as in many libraries, no process is there to run: then each sleeps inside
the lock, and for a while before it requests it again, so that one of them finds it free.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol

from lab.analysis.statistics import requests_for
from lab.racing import Case, race_for
from lab.racing.cases import run_case
from lab.racing.summary import seconds_for
from lab.records import Case as Row

from .manner import SLEPT, YIELDED
from .protocol import DETECTS, LONGEST_S, RaceRequest

INSIDE_S = 0.0005
AFTER_S = 0.0003
"""The time, in seconds, that a worker sleeps while it holds the lock, and again once it has released it."""

Wait = Callable[[], object]


def nothing() -> None:
    """Do not wait at all."""


WAITS: dict[str, tuple[Wait, Wait]] = {
    YIELDED: (os.sched_yield, nothing),
    SLEPT: (partial(sleep, INSIDE_S), partial(sleep, AFTER_S)),
}
"""The waits of a worker when a lock was granted to it, and when it has released it, by manner."""


def manners_of(case: Case) -> list[str]:
    """Return the manners in which the case can be raced besides its own."""
    return list(WAITS) if case.setting.lock.excludes else [YIELDED]


def in_manner(case: Case, manner: str) -> Case:
    """Return the case with workers that yield, on one processor (sched_yield(2)), or that sleep; "" leaves it as it is.

    Under a lock that excludes no process they yield before each store: there the data are expected to break.
    """
    if not manner:
        return case
    if not case.setting.lock.excludes:
        return replace(case, setting=replace(case.setting, stresses=True, pin="one"))
    scenario = copy(case.setting.scenario)
    work = type(scenario).work
    scenario.work = lambda w: work(scenario, Polite(w, *WAITS[manner]))  # type: ignore[method-assign]
    pin = "one" if manner == YIELDED else case.setting.pin
    return replace(case, setting=replace(case.setting, scenario=scenario, pin=pin))


class Polite:
    """A worker whose locks begin and end with a wait."""

    def __init__(self, worker: Any, inside: Wait, after: Wait) -> None:
        self._worker = worker
        self._waits = inside, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)

    def write_lock(self, *place: Any, **named: Any) -> AbstractContextManager[object]:
        """See `lab.Worker.write_lock`."""
        return Waiting(self._worker.write_lock(*place, **named), *self._waits)

    def read_lock(self, *place: Any, **named: Any) -> AbstractContextManager[object]:
        """See `lab.Worker.read_lock`."""
        return Waiting(self._worker.read_lock(*place, **named), *self._waits)


class Waiting:
    """A hold that begins with one wait and ends with another."""

    __slots__ = ("_after", "_hold", "_inside")

    def __init__(self, hold: AbstractContextManager[object], inside: Wait, after: Wait) -> None:
        self._hold = hold
        self._inside = inside
        self._after = after

    def __enter__(self) -> None:
        self._hold.__enter__()
        self._inside()

    def __exit__(self, *raised: Any) -> bool | None:
        left = self._hold.__exit__(*raised)
        self._after()
        return left


FIRST, FURTHER = 4, 8
"""Parts of the time asked for: the first race, after which the manner is chosen, and a race in each other manner."""

SOON_S = 5.0
"""The time, in seconds, up to which a manner is not compared with the next."""

BRIEF_S = 0.05
"""The least time, in seconds, that the rest is given."""


@dataclass(frozen=True, slots=True)
class PacedRace:
    """A row, how long its race took in seconds, and the manner of its workers (`lab.pytest_plugin.protocol`)."""

    row: Row
    raced_s: float = 0.0
    manner: str = ""

    @property
    def lacking(self) -> bool:
        """Return True where a longer race could show more of what `assert_clean` asks for by itself."""
        return self.row.verdict == "clean" and (self.row.detection_limit or 1.0) > DETECTS

    @property
    def needed_s(self) -> float:
        """Return the seconds in all that this takes at the same pace; infinite where no request met a holder."""
        return seconds_for(self.row, DETECTS, self.raced_s) or inf


class Race(Protocol):
    """A function that races the case for so many seconds in this manner, or until `enough` requests met a holder."""

    def __call__(self, seconds: float, manner: str, enough: float = inf) -> PacedRace:
        """Return the result of the race."""


def race_case(case: Case, folder: Path, request: RaceRequest) -> PacedRace:
    """Race the case by trials or for a time; where the test gives neither, until it shows enough, within limits.

    The result reports one race alone. Its workers wait inside the lock where the first, short race shows that by
    themselves they meet too seldom for the time that there is, and where waiting helps.
    """
    if request.trials:
        return _timed(case, folder, trials=request.trials)

    def race(seconds: float, manner: str, enough: float = inf) -> PacedRace:
        return _timed(case, folder, seconds, manner=manner, enough=enough)

    if request.seconds:
        return _for(race, manners_of(case), request.seconds)
    return _until(race, manners_of(case), request.about_s)


def _until(race: Race, manners: list[str], about_s: float) -> PacedRace:
    """Race each manner for about so long until one shows enough, then the best of them until it does.

    Its speed so far says which is best, not how long it takes: on a busy machine the next second is another.
    """
    tried = [race(about_s, "")]
    for manner in manners:
        best = _best(tried)
        if not tried[-1].lacking or (len(tried) > 1 and best.needed_s <= SOON_S):
            break
        tried.append(race(about_s, manner))
    best = _best(tried)
    if not tried[-1].lacking or best.needed_s == inf:
        return tried[-1] if not tried[-1].lacking else best
    return race(LONGEST_S, best.manner, requests_for(DETECTS))


def _for(race: Race, manners: list[str], seconds: float) -> PacedRace:
    """Race for the time asked for, most of it in the manner in which the rest shows enough, or most."""
    tried = [race(seconds / FIRST, "")]
    if tried[0].row.verdict != "clean":
        return tried[0]
    for manner in manners:
        if _best(tried).needed_s <= seconds:
            break
        tried.append(race(seconds / FURTHER, manner))
        if tried[-1].row.verdict != "clean":
            return tried[-1]
    used_s = sum(each.raced_s for each in tried)
    return race(max(BRIEF_S, seconds - used_s), _best(tried).manner)


def _best(tried: list[PacedRace]) -> PacedRace:
    """Return the manner that takes the least time; of several that take for ever, the one that waits most."""
    return min(reversed(tried), key=lambda shown: shown.needed_s)


def _timed(
    case: Case, folder: Path, seconds: float = 0.0, trials: int = 0, *, manner: str = "", enough: float = inf
) -> PacedRace:
    begun = monotonic()
    case = in_manner(case, manner)
    row = run_case(case, trials, [folder]) if trials else race_for(case, [folder], seconds, enough=enough)
    return PacedRace(row, monotonic() - begun, manner)
