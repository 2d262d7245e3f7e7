"""Make trials whose length follows from those before: for a time, or until the data break; keep a sample of holds.

`with_recording` runs one more trial of a case, which is recorded and does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from time import monotonic

from lab.analysis.holds import Row as Hold
from lab.errors import LabError, ScenarioError
from lab.host.environment import anonymous_text
from lab.locking import LockFailed
from lab.records import Case, Failure, Recording, Verdict

from .summary import SPARE
from .trial import Result, run_trial
from .worker import Setting

FIRST_ROUNDS = 20
"""The rounds of the first trial: a FUSE server may do no more than 300 lock pairs a second."""

GROWTH = 8
"""The factor by which a trial may be longer than the one before it.

A short trial is mostly start, and its requests meet no holder.
"""

LEAST_GROWTH = 2
"""The least factor by which raised rounds grow: a race that is little longer is little likelier to break."""

SHARE = 4
"""One trial takes one part in so many of the time, so that more than one fresh file is tried."""

STARTS = 3
"""A later trial takes so many times as long as its start, where two fit into the time: most of it is to be race."""

KEPT = 500
"""The number of holds of each trial that are kept for the quantiles: all of them would fill the memory."""

RAISED_S = (1.0, 5.0)
"""Raising the rounds takes as long as the trials before it took, but at least and at most so many seconds."""


RunTrial = Callable[[Setting, int, Sequence[Path]], Result]
"""A way to race one trial of this number, in these folders; `run_trial` is the usual one."""


def timed_trials(
    setting: Setting,
    folders: Sequence[Path],
    seconds: float,
    first_rounds: int,
    enough: float,
    trial: RunTrial | None = None,
) -> Iterator[Result]:
    """Yield trials whose rounds follow the speed of the one before, and what is missing of `enough`."""
    begun = before = monotonic()
    longest_s = min(seconds, setting.time_limit_s) / SHARE
    rounds = min(first_rounds, setting.rounds)
    number = raced = contended = refused = 0
    while True:
        result = (trial or run_trial)(replace(setting, rounds=rounds), number, folders)
        yield result
        now = monotonic()
        left_s = seconds - (now - begun)
        raced, contended, refused = raced + rounds, contended + result.exclusion.contended, refused + result.refused
        met = max(contended, refused)
        raced_s = result.wall_ns / 1e9
        start_s = max(0.0, now - before - raced_s)
        next_s = min(left_s, max(longest_s, min(STARTS * start_s, 2 * longest_s)))
        if met >= enough or left_s < longest_s / SHARE or next_s <= start_s:  # too short to meet a holder
            return
        fits = rounds * min(GROWTH, (next_s - start_s) / raced_s) if raced_s else rounds
        lacks = SPARE * raced * (enough - met) / met if met else inf
        rounds = max(1, int(min(setting.rounds, fits, lacks)))
        before, number = now, number + 1


def sampled(results: Iterator[Result]) -> Iterator[Result]:
    """Yield each trial with an even sample of its holds, and with those that took longer than any before."""
    longest = [-1, -1]
    for result in results:
        kept = result.holds[:: max(1, -(-len(result.holds) // KEPT))]
        for i, taken_ns in enumerate((_wait_ns, _hold_ns)):
            slowest = max(result.holds, key=taken_ns, default=None)
            if slowest and taken_ns(slowest) > longest[i]:
                longest[i] = taken_ns(slowest)
                kept += [] if slowest in kept else [slowest]
        yield replace(result, holds=kept, unkept=len(result.holds) - len(kept))


def _wait_ns(hold: Hold) -> int:
    return hold[0] - hold[2]


def _hold_ns(hold: Hold) -> int:
    return hold[1] - hold[0]


def until_broken(
    setting: Setting,
    trials: Iterable[Result],
    folders: Sequence[Path],
    rounds: list[int],
    trial: RunTrial | None = None,
) -> Iterator[Result]:
    """Yield these trials, and more while none has broken: each has more rounds, which are added to `rounds`.

    So many rounds may be too many for the scenario or the machine: then the trials so far are all there are.
    """
    begun, number, broken = monotonic(), 0, False
    for number, result in enumerate(trials, 1):  # noqa: B007 - the last number is needed
        yield result
        broken = broken or _breaks(result)
    before = monotonic()
    last_s = (before - begun) / max(1, number)
    least_s, most_s = RAISED_S
    end = before + min(max(before - begun, least_s), most_s)
    while number and not broken:
        factor = min(GROWTH, min(end - before, setting.time_limit_s / SHARE) / last_s)
        if factor < LEAST_GROWTH:
            return
        more = replace(setting, rounds=int(rounds[-1] * factor))
        try:
            result = (trial or run_trial)(more, number, folders)
        except (LabError, MemoryError, OverflowError, OSError):
            return
        rounds.append(more.rounds)
        yield result
        broken, number = _breaks(result), number + 1
        now = monotonic()
        before, last_s = now, now - before


def _breaks(result: Result) -> bool:
    return bool(result.damage or result.failures or result.exclusion.overlapping)


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
