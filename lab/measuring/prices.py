"""Measure the costs of locks: every case and every loop of the harness once in each repeat, forwards, then backwards.

So a machine that grows slower favours none of them (A B, then B A). The results of the first pass are discarded: it
warms up the machine, and finds the cases that cannot be measured.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.errors import CannotRunError, LabError
from lab.locking import find_lock
from lab.processes.rpc import Unanswered
from lab.racing.probe import probe_within
from lab.records import BenchOptions

from .baselines import Loop, Others, WakeUp, clock, loops
from .cases import Case, cases_of
from .repeat import Failed, Tally, run_repeat, tally


class Timed(ABC):
    """A case or a loop that is measured once in each repeat: its samples in ns for one pair.

    `reason` says why there are no more, `failed` that a worker died or hung.
    """

    def __init__(self, name: str, reason: str = "") -> None:
        self.name = name
        self.reason = reason
        self.failed = False
        self.samples_ns: list[float] = []

    def measure(self, slice_s: float, *, keep: bool, last: bool) -> None:
        """Measure once more, unless that is impossible; a sample with `keep` false only warms up."""
        if self.reason:
            return
        try:
            sample = self._measured(slice_s, keep=keep, last=last)
        except (Failed, LabError, OSError) as error:
            self.reason = str(error) or type(error).__name__
            self.failed = isinstance(error, Failed | Unanswered)
        else:
            self.samples_ns += [round(sample, 2)] * keep

    @abstractmethod
    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        """Return ns for one pair."""


class TimedLoop(Timed):
    """A loop of the harness."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop.name)
        self._loop = loop

    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        return self._loop.measure(slice_s)


class TimedCase(Timed):
    """A case, with the tally of each repeat."""

    def __init__(self, case: Case, folders: Sequence[Path], reason: str) -> None:
        super().__init__(case.name, reason)
        self.case = case
        self.tallies: list[Tally] = []
        self._folders = folders

    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        found = tally(run_repeat(self.case, self._folders, slice_s), window=last)
        self.tallies += [found] * keep
        return found.pair_ns


ANSWER_S = 10.0
"""A lock that no process holds and that does not answer within this time is not measured."""


@dataclass(slots=True)
class Prices:
    """All results, the processors that `others` used meanwhile, and the clock as `baselines` measures it."""

    cases: list[TimedCase]
    harness: list[TimedLoop]
    others: Others
    clock: tuple[int, float]
    interrupted: bool = False

    @property
    def all(self) -> list[Timed]:
        """Return cases and loops, in the order of a pass."""
        return [*self.cases, *self.harness]


def price(options: BenchOptions, folders: Sequence[Path], tell: Callable[[str], None]) -> Prices:
    """Measure all cases in these folders, which are one seen through several mounts; the loops in the first.

    When interrupted, return the repeats that were finished, once all have one.
    """
    with ExitStack() as opened:
        cases = [case for name in options.locks for case in _cases(name, options, folders)]
        harness = [TimedLoop(loop) for loop in loops(folders[0], options.pin, opened)]
        if any(each.case.price == "hand-off" for each in cases):
            harness.append(TimedLoop(WakeUp(options.pin)))
        prices = Prices(cases, harness, Others(), clock())
        try:
            _pass_all(prices.all, prices.others, options, tell)
        except KeyboardInterrupt:
            if not settled(prices.all):
                raise
            prices.interrupted = True
    return prices


def _cases(name: str, options: BenchOptions, folders: Sequence[Path]) -> Iterator[TimedCase]:
    """Yield the cases of one lock, each once; with the reason where the lock does not work here, or has none such."""
    lock = find_lock(name)
    try:
        for folder in folders:
            probe_within(lock, folder, ANSWER_S)
        refused = ""
    except CannotRunError as error:
        refused = str(error)
    cases = {case.name: case for case in cases_of(lock, options)}
    for case in cases.values():
        yield TimedCase(case, folders, refused or case.unable)


def settled(all_timed: Sequence[Timed]) -> bool:
    """Return True once each has a figure, or a reason for having none: enough to be reported."""
    return all(each.samples_ns or each.reason for each in all_timed)


def _pass_all(all_timed: Sequence[Timed], others: Others, options: BenchOptions, tell: Callable[[str], None]) -> None:
    slice_s = options.seconds / options.repeats
    tell("warming up")
    _pass(all_timed, slice_s, keep=False, last=False)
    others.begin()
    for number in range(1, options.repeats + 1):
        tell(f"repeat {number} of {options.repeats}")
        _pass(all_timed[:: -1 if number % 2 else 1], slice_s, keep=True, last=number == options.repeats)
        others.lap()


def _pass(all_timed: Sequence[Timed], slice_s: float, *, keep: bool, last: bool) -> None:
    for each in all_timed:
        each.measure(slice_s, keep=keep, last=last)
