"""From what was asked for to the rows of the table: the cases, and the trials of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

from lab.errors import CannotRunError, UsageError
from lab.locks import Lock, probe_lock
from lab.results import Case as Row
from lab.results import Verdict
from lab.scenario import Found

from .summary import summarise, unsupported
from .trial import Result, Setting, run_trial


@dataclass(frozen=True, slots=True)
class Options:
    """How to race; None leaves the choice to the scenario. Times in the unit that the name ends in."""

    directory: Path
    trials: int = 10
    rounds: int | None = None
    seed: int = 0
    pin: str | None = None
    window_ns: int = 0
    leak: float = 0.0
    time_limit_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Case:
    """One row to be: a scenario under a lock with so many workers."""

    found: Found
    lock: Lock
    workers: int
    setting: Setting

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.found.name}, lock {self.lock.name}, {self.workers} workers"


def cases_of(
    scenarios: Sequence[Found],
    locks: Sequence[str],
    workers: Sequence[int],
    options: Options,
    find: Callable[[str], Lock],
) -> list[Case]:
    """Scenario x workers x lock, in the order in which the table shows them.

    Without locks each scenario is shown under those that it names itself. Raises UsageError for a scenario that
    cannot race.
    """
    made = []
    for found in scenarios:
        if "race" not in found.kind.worlds:
            raise UsageError(f"scenario {found.name}: runs only in {', '.join(sorted(found.kind.worlds))}, not in race")
        for count, name in product(workers, locks or found.kind.locks):
            lock = find(name)
            made.append(Case(found, lock, count, _setting(found, lock, count, options)))
    return made


def _setting(found: Found, lock: Lock, workers: int, options: Options) -> Setting:
    kind = found.kind
    expected = kind().expected(lock.name)
    if expected not in get_args(Verdict):
        raise UsageError(f"scenario {found.name}: expects {expected!r}, which is no verdict; mend the file")
    return Setting(
        scenario=kind(),
        lock=lock,
        workers=workers,
        rounds=options.rounds or kind.rounds,
        pin=options.pin or kind.pin,
        window_ns=options.window_ns,
        leak=options.leak,
        time_limit_s=min(options.time_limit_s, kind.time_limit or options.time_limit_s),
        seed=f"{options.seed}/{found.name}/{lock.name}/{workers}",
        directory=options.directory,
    )


def run_cases(cases: Sequence[Case], trials: int, tell: Callable[[str], None]) -> Iterator[Row]:
    """Run case after case and give each row as soon as it is done; `tell` hears what comes next.

    A case stops at the first trial in which a worker died or hung: what it left cannot be judged.
    """
    for case in cases:
        tell(case.title)
        results: list[Result] = []
        try:
            if case.lock.excludes:
                probe_lock(case.lock, case.setting.directory)
            for number in range(trials):
                results.append(run_trial(case.setting, number))
                if results[-1].failures:
                    break
        except CannotRunError as error:
            yield unsupported(case.found, case.setting, str(error))
        else:
            yield summarise(case.found, case.setting, results)
