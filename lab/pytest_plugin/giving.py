"""Workers that wait in the middle of their work, so that the others arrive meanwhile: also on a machine that is busy.

Two processes meet at a lock by themselves where both run at once. On a busy machine they take turns of milliseconds,
and a hold of microseconds is over before anybody else runs. So each worker gives the processor away once it holds the
lock. Where those who wait sleep between two looks, as many libraries have it, nobody is there to take it: then each
sleeps inside the lock, and for a while before it asks again, so that one of them finds it free.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from functools import partial
from time import sleep
from typing import Any

from lab.race import Case

from .manner import GAVE_WAY, SLEPT

INSIDE_S = 0.0005
AFTER_S = 0.0003
"""How long one sleeps while it holds the lock, and once it has given it back."""

Wait = Callable[[], object]


def nothing() -> None:
    """No wait at all."""


WAITS: dict[str, tuple[Wait, Wait]] = {
    GAVE_WAY: (os.sched_yield, nothing),
    SLEPT: (partial(sleep, INSIDE_S), partial(sleep, AFTER_S)),
}
"""What a worker does when a lock was granted to it, and when it has given it back."""


def manners_of(case: Case) -> list[str]:
    """The manners in which it can be raced besides its own."""
    return list(WAITS) if case.setting.lock.excludes else [GAVE_WAY]


def mannered(case: Case, manner: str) -> Case:
    """The case with workers that give way, on one processor (sched_yield(2)), or that sleep; "" as it is.

    Under a lock that excludes nobody they give way before each store: there the data are to break.
    """
    if not manner:
        return case
    if not case.setting.lock.excludes:
        return replace(case, setting=replace(case.setting, soaks=True, pin="one"))
    scenario = copy(case.setting.scenario)
    work = type(scenario).work
    scenario.work = lambda w: work(scenario, Polite(w, *WAITS[manner]))  # type: ignore[method-assign]
    pin = "one" if manner == GAVE_WAY else case.setting.pin
    return replace(case, setting=replace(case.setting, scenario=scenario, pin=pin))


class Polite:
    """A worker as it is, but for its locks."""

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
    """A hold that begins with one wait, and another one behind it."""

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
