"""From what was asked for to the rows of the table: the cases, and the trials of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import get_args

from lab.environment import anonymous_text
from lab.errors import CannotRunError, ScenarioError, UsageError
from lab.locks import Lock, LockFailed, find_lock, told
from lab.locks.missing import Missing
from lab.regions import MAPPED, REGIONS, Region, find_region
from lab.results import Case as Row
from lab.results import Failure, Options, Verdict
from lab.scenario import Found, Scenario

from .probe import Untaken, probe_within
from .setting import Setting
from .summary import summarise
from .trial import Result, run_trial


@dataclass(frozen=True, slots=True)
class Case:
    """One row to be: a scenario under a lock with so many workers."""

    found: Found
    setting: Setting

    @property
    def title(self) -> str:
        """What a person calls it."""
        setting = self.setting
        if setting.alone:
            return f"{self.found.name}, {setting.copies} {'copies' if setting.copies > 1 else 'copy'}"
        where = "" if setting.region == MAPPED.name else f", region {setting.region}"
        return (
            f"{self.found.name}, lock {setting.lock.name}{where}, "
            f"{setting.workers} worker{'s' if setting.workers > 1 else ''}"
            + (f", of them {setting.copies} {setting.program.name}" if setting.program else "")
        )


def cases_of(scenarios: Sequence[Found], options: Options) -> list[Case]:
    """Scenario x workers x region x lock, in the order in which the table shows them.

    Without locks each scenario is shown under those that it names itself, without regions in its own. Raises
    UsageError for an unknown lock or region, for a scenario that cannot race, that cannot use a region or expects what
    is no verdict, and for a leak without a lock.
    """
    cases = [
        Case(found, _setting(found, name, region, workers, options))
        for found in scenarios
        for workers, region, name in product(
            options.workers, _regions(found, options.regions), options.locks or found.kind.locks
        )
    ]
    if options.leak and not any(case.setting.lock.excludes for case in cases):
        raise UsageError("--leak: without a lock there is nothing to leak; add --locked or --lock NAME")
    return cases


def _regions(found: Found, names: Sequence[str]) -> list[Region]:
    """Each region that was asked for, once; else the scenario's own. Raises UsageError where it cannot use one."""
    regions = [find_region(name) for name in dict.fromkeys(names or [found.kind.region])]
    for region in regions:
        if found.kind.by_name and not region.of_file:
            fit = ", ".join(each.name for each in REGIONS.values() if each.of_file)
            raise UsageError(
                f"scenario {found.name}: saves its file by name, and the bytes of region {region.name} are no file; "
                f"choose another --region ({fit}), or name other scenarios"
            )
    return list(dict.fromkeys(regions))


def _setting(found: Found, name: str, region: Region, workers: int, options: Options) -> Setting:
    kind = found.kind
    found.check_world("race")
    found.check_workers(workers)
    scenario = _made(found)
    expected = scenario.expected(name, region.name)
    if expected not in get_args(Verdict) or expected == "inconclusive":
        raise UsageError(f"scenario {found.name}: expects {expected!r}, which is no verdict; mend the file")
    return Setting(
        scenario=scenario,
        lock=_lock(name),
        region=region.name,
        workers=workers,
        rounds=options.rounds or kind.rounds,
        pin=options.pin or kind.pin,
        window_ns=options.window_ns,
        leak=options.leak,
        time_limit_s=_time_limit(kind, expected, options),
        seed=f"{options.seed}/{found.name}/{name}/{workers}",
    )


def _lock(name: str) -> Lock:
    """The lock; one that cannot be had here, for want of a package, keeps its row and does not end the others."""
    try:
        return find_lock(name)
    except CannotRunError as error:
        return Missing(name, str(error))


def _made(found: Found) -> Scenario:
    """The scenario itself; what its `__init__` raises is a mistake in the file."""
    try:
        return found.kind()
    except Exception as error:
        raise UsageError(f"scenario {found.name}: cannot be made: {told(error)}; mend the file") from error


def _time_limit(kind: type[Scenario], expected: str, options: Options) -> float:
    """The user's limit; the scenario's own, shorter one only where it says that it will hang."""
    hangs = expected == "timeout" and kind.time_limit
    return min(options.time_limit_s, hangs or options.time_limit_s)


def run_case(case: Case, trials: int, folders: Sequence[Path]) -> Row:
    """Race the trials of one case in this folder, or in several that show one directory (`run_trial`)."""
    return row_of(case, folders, _trials(case.setting, trials, folders))


def row_of(case: Case, folders: Sequence[Path], trials: Iterable[Result]) -> Row:
    """The row of a case from its trials, which run as they are asked for, once the lock is known to answer.

    A case stops at the first trial in which a worker died or hung: what it left cannot be judged. Nor can a case
    whose scenario raises outside its workers, in `check` as a rule.
    """
    results: list[Result] = []
    trouble: tuple[Verdict, str] | None = None
    try:
        for folder in folders if case.setting.lock.excludes else ():
            probe_within(case.setting.lock, folder, case.setting.time_limit_s, silent=case.setting.soaks)
        for result in trials:
            results.append(result)
            if result.failures:
                break
    except Untaken as error:
        trouble = error.verdict, str(error)
    except CannotRunError as error:
        trouble = "unsupported", str(error)
    except (ScenarioError, LockFailed) as error:
        trouble = "died", str(error)
    except (MemoryError, OverflowError):
        asked = f"{case.setting.rounds:,} rounds of {case.setting.workers:,} workers"
        trouble = "unsupported", f"{case.found.name}: no memory for {asked}; lower --rounds or --workers"
    except OSError as error:
        trouble = "unsupported", f"{case.found.name}: {error.strerror or error}; raise the limit, or try another --dir"
    row = summarise(case.found, case.setting, results)
    return replace(row, verdict=trouble[0], reason=anonymous_text(trouble[1])) if trouble else row


def untried(case: Case, verdict: Verdict, reason: str, failures: Sequence[Failure] = ()) -> Row:
    """The row of a case that is known beforehand to come to nothing."""
    row = summarise(case.found, case.setting, [])
    return replace(row, verdict=verdict, reason=anonymous_text(reason), failures=list(failures))


def _trials(setting: Setting, trials: int, folders: Sequence[Path]) -> Iterator[Result]:
    if setting.alone:
        from .programs.alone import run_alone

        yield from (run_alone(setting, number, folders[0]) for number in range(trials))
        return
    for number in range(trials):
        yield run_trial(setting, number, folders)
