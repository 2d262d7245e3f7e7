"""Workers that give way once they hold a lock, so that the others arrive meanwhile: also on a machine that is busy.

Two processes meet at a lock by themselves where both run at once. On a busy machine they take turns of milliseconds,
and a hold of microseconds is over before anybody else runs.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from typing import Any

from lab.race import Case


def giving_way(case: Case) -> Case:
    """The case on one processor, where each worker gives it away (sched_yield(2)) right after it was granted a lock.

    Under a lock that excludes nobody, before each store: there the data are to break.
    """
    if not case.setting.lock.excludes:
        return replace(case, setting=replace(case.setting, soaks=True, pin="one"))
    scenario = copy(case.setting.scenario)
    work = type(scenario).work
    scenario.work = lambda w: work(scenario, Polite(w))  # type: ignore[method-assign]
    return replace(case, setting=replace(case.setting, scenario=scenario, pin="one"))


class Polite:
    """A worker as it is, but for its locks."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)

    def write_lock(self, *place: Any, **named: Any) -> AbstractContextManager[object]:
        """See `lab.Worker.write_lock`."""
        return Yielding(self._worker.write_lock(*place, **named))

    def read_lock(self, *place: Any, **named: Any) -> AbstractContextManager[object]:
        """See `lab.Worker.read_lock`."""
        return Yielding(self._worker.read_lock(*place, **named))


class Yielding:
    """A hold that begins by giving way."""

    __slots__ = ("_hold",)

    def __init__(self, hold: AbstractContextManager[object]) -> None:
        self._hold = hold

    def __enter__(self) -> None:
        self._hold.__enter__()
        os.sched_yield()

    def __exit__(self, *raised: Any) -> bool | None:
        return self._hold.__exit__(*raised)
