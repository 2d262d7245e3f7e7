"""A case raced for a time instead of a number of trials: on a mount whose speed nobody knows beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

from lab.model.holds import Row as Hold
from lab.results import Case as Row

from .matrix import Case, row_of
from .setting import Setting
from .trial import Result, run_trial

FIRST_ROUNDS = 20
"""Of the first trial: a FUSE server may do no more than 300 lock pairs a second."""

GROWTH = 8
"""How much longer than the one before it a trial gets at most: a short one is mostly start, and meets nobody."""

SHARE = 4
"""The part of the time that one trial is to take is one in so many, so that one fresh file is not all that is tried."""

KEPT = 500
"""How many holds of each trial are kept for the quantiles: all of them would fill the memory."""


def race_for(case: Case, folders: Sequence[Path], seconds: float, first_rounds: int = FIRST_ROUNDS) -> Row:
    """Race trials of one case on fresh files until the time is used: the row of all of them.

    At least one trial, of `first_rounds`; none has more rounds than the case's setting says, and the row's `rounds`
    are those. Quantiles of waits and holds are those of an even sample of each trial, their maximum that of all. Like
    `run_case` it ends with the first trial in which a worker failed, and takes several folders for one directory seen
    through several mounts.
    """
    return row_of(case, folders, _sampled(_trials(case.setting, folders, seconds, first_rounds)))


def _trials(
    setting: Setting, folders: Sequence[Path], seconds: float, first_rounds: int = FIRST_ROUNDS
) -> Iterator[Result]:
    """Trials whose rounds follow the pace of the one before."""
    begun = before = monotonic()
    longest_s = min(seconds, setting.time_limit_s) / SHARE
    rounds = min(first_rounds, setting.rounds)
    number = 0
    while True:
        yield run_trial(replace(setting, rounds=rounds), number, folders)
        now = monotonic()
        left_s = seconds - (now - begun)
        if left_s < longest_s / SHARE:  # too short to meet anybody
            return
        faster = min(GROWTH, min(left_s, longest_s) / (now - before))
        rounds = max(1, min(setting.rounds, int(rounds * faster)))
        before, number = now, number + 1


def _sampled(results: Iterator[Result]) -> Iterator[Result]:
    """Each trial with an even sample of its holds, and with those that took longer than any before."""
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
