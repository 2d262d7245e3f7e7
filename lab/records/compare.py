"""Define the records of `compare`: two runs of the same cases, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .common import Document, Environment

Judgement = Literal["better", "same", "worse", "cannot tell"]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of a comparison: the names of the two files; a change below `margin`, a share, counts as none.

    `fail_slower` says that a case that is worse makes the command fail; `anyway`, that unlike runs are compared too.
    """

    before: str
    after: str
    margin: float
    fail_slower: bool = False
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class CaseComparison:
    """One case of both runs, in ns a pair, an operation or a call: the two medians, and their ratio, after to before.

    `ratio` is the median after divided by the median before, `interval_95` its bootstrap interval over the samples of
    both. Both are divided by the ratio of the `control`, a loop that has no code of the lab and not this lock in it:
    that ratio is the `machine`'s part, 1 where there is no control. The verdict is `same` where the whole interval is
    within the margin of 1; `worse`, or `better`, where the ratio is beyond that and the interval does not contain 1,
    both as measured and beside the control; else `cannot tell`, also where either run has too few samples, or where it
    changed and there is no control in both runs. `note` says why, and what else there is.
    """

    name: str
    before_ns: float
    after_ns: float
    ratio: float
    interval_95: tuple[float, float]
    verdict: Judgement
    note: str = ""
    machine: float = 1.0
    control: str = ""


@dataclass(frozen=True, slots=True)
class EnvironmentDifference:
    """A field of the environment in which the two runs differ."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One of the two runs: when it began, where, and how many processors others used meanwhile (of a race: 0)."""

    started: str
    environment: Environment
    others_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class LeftOutCase:
    """A case that is not compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Document):
    """One invocation of `compare`: the cases in the order of the run before; `harness` are the bare loops of both."""

    command: Literal["compare"] = "compare"
    options: CompareOptions
    before: MeasuredRun
    after: MeasuredRun
    unlike: list[EnvironmentDifference]
    cases: list[CaseComparison]
    harness: list[CaseComparison]
    left_out: list[LeftOutCase]
