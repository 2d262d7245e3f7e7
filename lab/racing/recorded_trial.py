"""Race the recorded trial of a case, after those that count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.errors import LabError, ScenarioError
from lab.host.environment import anonymous_text
from lab.locking import LockFailed
from lab.records import Case, Failure, Recording, Verdict

from .trial import Result, run_trial
from .worker import Setting

ATTEMPTS = 20
"""The most trials that are raced until one shows what is looked for."""

IN_IT = "in the recorded trial"


def with_recording(row: Case, setting: Setting, rounds: int, folders: Sequence[Path]) -> Case:
    """Add one more trial to the row, in which every access is recorded, of so many rounds of all workers together.

    It counts in none of the row's figures: recording takes time, and so widens the race window. Where the row was
    damaged, or was expected to be, the first damaged trial is kept; under a lock that holds, the first in which a
    request met a holder. A worker that fails in it, and a scenario or lock that raises, make the case a failed one. A
    row whose trials could not run stays as it is; `not_recorded` says why a trial could not be recorded.
    """
    if row.verdict == "unsupported" or not row.trials:
        return row
    each = min(setting.rounds, max(1, rounds // setting.workers))
    recorded = replace(setting, rounds=each, recorded=True, seed=f"{setting.seed}/recorded")
    wanted = "damaged" in (row.verdict, row.expected)
    try:
        recording, failures = _first(recorded, folders, _broke if wanted else _met)
    except (ScenarioError, LockFailed) as error:
        return row if row.failures else replace(row, verdict="died", reason=anonymous_text(f"{IN_IT}, {error}"))
    except (LabError, MemoryError, OverflowError, OSError) as error:
        return replace(row, not_recorded=anonymous_text(str(error) or type(error).__name__))
    row = replace(row, recording=recording)
    if not failures or row.failures:
        return row
    first = failures[0]
    reason = f"{IN_IT}, worker {first.worker} {first.reason}, in round {first.round}"
    verdict: Verdict = "timeout" if all(failure.how == "late" for failure in failures) else "died"
    return replace(row, failures=failures, verdict=verdict, reason=reason)


def _first(
    setting: Setting, folders: Sequence[Path], shows: Callable[[Result], bool]
) -> tuple[Recording | None, list[Failure]]:
    """Return the first trial that shows it, or the last of all attempts; and the workers that failed in it."""
    for attempt in range(1, ATTEMPTS + 1):
        result = run_trial(setting, attempt, folders)
        if shows(result):
            break
    recording = replace(result.recording, attempts=attempt) if result.recording else None
    return recording, result.failures


def _broke(result: Result) -> bool:
    return bool(result.damage or result.failures or result.exclusion.overlaps)


def _met(result: Result) -> bool:
    return bool(not result.holds or result.exclusion.contended or _broke(result))
