"""Who is measured again and again: a case, or a loop of the harness, with the samples so far."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from lab.errors import LabError
from lab.processes.partner import Unanswered

from .bare import Loop
from .cases import Case
from .repeat import Failed, run_repeat
from .tally import Tally, tally


class Timed(ABC):
    """One sample a repeat, in ns a pair; `reason` says why there are no more, `failed` that a worker died or hung."""

    def __init__(self, name: str, reason: str = "") -> None:
        self.name = name
        self.reason = reason
        self.failed = False
        self.samples_ns: list[float] = []

    def measure(self, slice_s: float, *, keep: bool, last: bool) -> None:
        """Once more, unless it cannot be; a sample that is not to be kept warms up."""
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
        """Ns a pair."""


class TimedLoop(Timed):
    """A loop of the harness."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop.name)
        self._loop = loop

    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        return self._loop.measure(slice_s)


class TimedCase(Timed):
    """A case, with what each repeat showed."""

    def __init__(self, case: Case, folder: Path, reason: str) -> None:
        super().__init__(case.name, reason)
        self.case = case
        self.tallies: list[Tally] = []
        self._folder = folder

    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        found = tally(run_repeat(self.case, self._folder, slice_s), window=last)
        self.tallies += [found] * keep
        return found.pair_ns
