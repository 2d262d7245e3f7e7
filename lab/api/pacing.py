"""Choose for how long and in which manner a case is raced: until it shows what `assert_clean` asks for, or for a time.

Two processes meet at a lock by themselves where both run at once. On a busy machine they take turns of milliseconds,
and a hold of microseconds is over before any other runs. So each worker yields the processor once it holds the lock.
Where those that wait sleep between two looks, as in many libraries, no process is there to run: then each sleeps inside
the lock, and for a while before it requests it again, so that one of them finds it free.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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
from lab.racing.summary import seconds_for
from lab.records import Case as Row

from .examples import Failure
from .manner import SLEPT, YIELDED

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


LONGEST_S, MOST_S = 10.0, 60.0
"""The time that a race may take, in seconds, where the caller gives none; the second where that will be enough.

A busy machine leaves little of each second. The race ends as soon as it would have noticed the rate that is asked for.
"""

DETECTS = 1e-3
"""The rate of falsely granted requests that `assert_clean` asks for by itself."""


class Race(Protocol):
    """A function that races the case for so many seconds in this manner, or until `enough` requests met a holder."""

    def __call__(self, seconds: float, manner: str, enough: float = inf) -> Row:
        """Return the result of the race."""


@dataclass(frozen=True, slots=True)
class Pace:
    """For how long a case is raced: for `seconds`; else for `about_s`, or longer until it shows enough, within limits.

    It shows enough where a lock that grants falsely at the rate `detects` would have been noticed. A case that is in
    `first` is raced for a moment as it was when it failed, before anything else.
    """

    seconds: float | None
    about_s: float
    detects: float = DETECTS
    first: Sequence[Failure] = ()

    def race_case(self, case: Case, folders: Sequence[Path]) -> Row:
        """Race the case; the result reports one race alone.

        Its workers wait inside the lock where the first, short race shows that by themselves they meet too seldom for
        the time that there is, and where waiting helps.
        """
        again = self._again(case, folders)
        if again and again.verdict != "clean":
            return again

        def race(seconds: float, manner: str, enough: float = inf) -> Row:
            return _timed(case, folders, seconds, manner=manner, enough=enough)

        if self.seconds:
            return self._for(race, manners_of(case), self.seconds)
        return self._until(race, manners_of(case))

    def _again(self, case: Case, folders: Sequence[Path]) -> Row | None:
        """Return the result of a short race with the settings with which this case failed; None where it did not."""
        for each in self.first:
            setting = case.setting
            key = case.found.name, setting.lock.name, setting.workers, setting.backing
            if (each.scenario, each.lock, each.workers, each.backing) == key:
                rounds = max(1, min(each.rounds, setting.rounds))
                seed = "/".join([str(each.seed), *setting.seed.split("/")[1:]])
                same = replace(case, setting=replace(setting, rounds=rounds, seed=seed))
                manner = each.manner if each.manner in WAITS else ""
                return _timed(same, folders, min(self.seconds or inf, self.about_s), manner=manner)
        return None

    def _until(self, race: Race, manners: list[str]) -> Row:
        """Race each manner for about so long until one shows enough, then the best of them until it does.

        Its speed so far says which is best, not how long it takes: on a busy machine the next second is another.
        """
        tried = [race(self.about_s, "")]
        for manner in manners:
            best = self._best(tried)
            if not self._lacks(tried[-1]) or (len(tried) > 1 and self._needed_s(best) <= SOON_S):
                break
            tried.append(race(self.about_s, manner))
        best = self._best(tried)
        if not self._lacks(tried[-1]) or self._needed_s(best) == inf:
            return tried[-1] if not self._lacks(tried[-1]) else best
        enough = requests_for(self.detects)
        if self._needed_s(best) > MOST_S:
            best = race(LONGEST_S, best.manner, enough)
            if not self._lacks(best) or self._needed_s(best) > MOST_S:
                return best
        return race(MOST_S, best.manner, enough)

    def _for(self, race: Race, manners: list[str], seconds: float) -> Row:
        """Race for the time asked for, most of it in the manner in which the rest shows enough, or most."""
        tried = [race(seconds / FIRST, "")]
        if tried[0].verdict != "clean":
            return tried[0]
        for manner in manners:
            if self._needed_s(self._best(tried)) <= seconds:
                break
            tried.append(race(seconds / FURTHER, manner))
            if tried[-1].verdict != "clean":
                return tried[-1]
        used_s = sum(each.raced_s for each in tried)
        return race(max(BRIEF_S, seconds - used_s), self._best(tried).manner)

    def _lacks(self, row: Row) -> bool:
        """Return True where a longer race could show more of what is asked for."""
        return row.verdict == "clean" and (row.detection_limit or 1.0) > self.detects

    def _needed_s(self, row: Row) -> float:
        """Return the seconds in all that it takes at the same pace; infinite where no request met a holder."""
        return seconds_for(row, self.detects, row.raced_s) or inf

    def _best(self, tried: list[Row]) -> Row:
        """Return the race that takes the least time; of several that take for ever, the one that waits most."""
        return min(reversed(tried), key=self._needed_s)


def _timed(case: Case, folders: Sequence[Path], seconds: float, *, manner: str = "", enough: float = inf) -> Row:
    begun = monotonic()
    row = race_for(in_manner(case, manner), folders, seconds, enough=enough)
    return replace(row, raced_s=round(monotonic() - begun, 6), manner=manner)  # type: ignore[arg-type]
