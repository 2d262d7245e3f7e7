"""The recorded trial of a case, raced after those that count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.errors import LabError
from lab.results import Case, Recording

from .setting import Setting
from .trial import Result, run_trial

ATTEMPTS = 20
"""Trials that are raced at most until one shows what is to be seen."""


def with_recording(row: Case, setting: Setting, rounds: int, folders: Sequence[Path]) -> Case:
    """The row with one more trial written down, of so many rounds of all workers together.

    It counts in none of the row's figures: writing down takes time, and so widens the race window. Where the row was
    damaged, or was to be, the first damaged trial is kept; under a lock that holds, the first in which a request met a
    holder. A row whose trials could not run is given back as it is.
    """
    if row.verdict == "unsupported" or not row.trials:
        return row
    each = min(setting.rounds, max(1, rounds // setting.workers))
    recorded = replace(setting, rounds=each, recorded=True, seed=f"{setting.seed}/recorded")
    wanted = "damaged" in (row.verdict, row.expected)
    try:
        return replace(row, recording=_first(recorded, folders, _broke if wanted else _met))
    except (LabError, MemoryError, OverflowError, OSError):
        return row


def _first(setting: Setting, folders: Sequence[Path], shows: Callable[[Result], bool]) -> Recording | None:
    """The first trial that shows it, or the last of all attempts."""
    for attempt in range(1, ATTEMPTS + 1):
        result = run_trial(setting, attempt, folders)
        if shows(result):
            break
    return replace(result.recording, attempts=attempt) if result.recording else None


def _broke(result: Result) -> bool:
    return bool(result.damage or result.failures or result.exclusion.overlaps)


def _met(result: Result) -> bool:
    return bool(not result.holds or result.exclusion.contended or _broke(result))
