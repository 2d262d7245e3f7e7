"""Compare two runs of the same cases: decide what changed, and whether the change is more than noise.

Each case of a run that measured a cost is a series of samples, and two runs are compared by their series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, hypot, log
from statistics import mean, median

from lab.analysis.statistics import ratio_interval
from lab.errors import UsageError
from lab.memory import MAPPED
from lab.records import (
    SCHEMA,
    Bench,
    CaseComparison,
    CompareOptions,
    Comparison,
    Copying,
    Document,
    Environment,
    EnvironmentDifference,
    Judgement,
    LeftOutCase,
    MeasuredRun,
    Run,
)
from lab.records import Case as RaceCase

from .baselines import WakeUp

BARE_LOOPS = ("C loop", "CPython loop")
BARE_CALL = "call"
"""The name of the backing of calls that copy nothing."""


@dataclass(frozen=True, slots=True)
class Series:
    """Samples in ns, one for each repeat or trial; `reason` says why there are none, `note` what else is worth knowing.

    `controls` name the series that show the machine's part of it, the best first: a loop without the lab and without
    this lock.
    """

    samples_ns: list[float] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    controls: tuple[str, ...] = ()


def series_of(document: Document, name: str) -> dict[str, Series]:
    """Return the series of each case by name. Raise UsageError, with the file's name, for a document without costs."""
    if isinstance(document, Bench):
        return {**_of_locks(document), **_of_copying(document)}
    if isinstance(document, Run):
        return {_race_name(case): _of_race(case) for case in document.cases}
    raise UsageError(f"{name}: is a document of `{document.command}`; give those of `bench`, or of `race`")


def harness_of(document: Document) -> dict[str, Series]:
    """Return the bare loops that were measured beside the cases: they show what the machine itself did."""
    loops = document.harness if isinstance(document, Bench) else []
    return {loop.name: Series(loop.samples_ns, loop.reason) for loop in loops}


def controls_of(document: Document) -> dict[str, Series]:
    """Return the series that can show the machine's part.

    These are the bare loops, of copying the bare calls, of a race the case without a lock.
    """
    if isinstance(document, Run):
        return {_race_name(case): _of_race(case) for case in document.cases if case.lock == "none"}
    return harness_of(document) | (_of_copying(document, BARE_CALL) if isinstance(document, Bench) else {})


def _of_locks(document: Bench) -> dict[str, Series]:
    return {
        cost.name: Series(
            cost.samples_ns,
            cost.reason,
            "NOT EXCLUSIVE" if cost.overlapping else "",
            (WakeUp.name,) if cost.price == "hand-off" else BARE_LOOPS,
        )
        for cost in document.locks
    }


def _of_copying(document: Bench, backing: str = "") -> dict[str, Series]:
    rows = [row for row in document.copying if backing in ("", row.backing)]
    return {
        _copying_name(row): Series(
            row.samples_ns, row.reason, controls=() if row.backing == BARE_CALL else (f"{BARE_CALL} {row.access}",)
        )
        for row in rows
    }


def _copying_name(row: Copying) -> str:
    return f"{row.backing} {row.access}" + (f", {row.bytes:,} B" if row.bytes else "")


def _race_name(case: RaceCase) -> str:
    """Return the name that distinguishes a race from all others.

    The length of a race belongs to it, because a short race is mostly its start.
    """
    window = [f"window {case.window_ns:,} ns"] if case.window_ns else []
    backing = [case.backing] if case.backing != MAPPED.name else []
    fault = [case.fault] if case.fault else []
    rounds = [f"{case.workers} x {case.rounds:,} rounds"]
    return ", ".join([case.scenario, case.lock, *backing, *rounds, *window, *fault])


def _of_race(case: RaceCase) -> Series:
    samples = [trial.wall_ns / trial.operations for trial in case.trial_samples if trial.completed and trial.operations]
    reason = "" if samples else case.reason or f"{case.verdict}: no trial was completed"
    controls = () if case.lock == "none" else (_race_name(replace(case, lock="none")),)
    return Series(samples, reason, case.verdict, controls)


MARGIN = 0.10
"""Two runs on one machine mostly differ by less: a smaller change counts as none unless another margin is set."""

FEWEST = 5
"""An interval needs at least so many samples."""

FEW = f"fewer than {FEWEST} samples"
CHANGED = ("better", "worse")

ALIKE = ("kernel", "machine", "cpu", "cpus_allowed", "filesystem", "python", "recorder")
"""The fields in which two environments must agree.

The lab's own version may differ: comparing two versions is the purpose.
"""


def compare(before: Document, after: Document, options: CompareOptions) -> Comparison:
    """Pair the cases by name and judge each.

    Raise UsageError where the documents contain no costs, are one and the same run, have no case in common, or were
    measured in unlike environments and the user did not allow that.
    """
    old, new = series_of(before, options.before), series_of(after, options.after)
    was, now = _measured(before), _measured(after)
    if before == after:
        raise UsageError(f"{options.after}: is the same run as {options.before}; give another")
    unlike = list(_unlike(was, now))
    controls = {each.name: each for each in _pairs(controls_of(before), controls_of(after), options.margin)}
    harness = [controls[name] for name in harness_of(before) if name in controls]
    pairs = list(_pairs(old, new, options.margin))
    if not unlike:  # else the machine, the Python or the filesystem is compared
        pairs = [_beside(pair, old[pair.name].controls, controls, options.margin) for pair in pairs]
    if not pairs:
        raise UsageError(
            f"{options.before} and {options.after} have no case in common that both measured: {_examples(old)} there, "
            f"{_examples(new)} here; give two runs of the same command line"
        )
    if unlike and not options.anyway:
        differences = "; ".join(f"{each.field}: {each.before} before, {each.after} after" for each in unlike)
        raise UsageError(f"the runs were not measured alike ({differences}); measure again, or give --anyway")
    return Comparison(
        schema=SCHEMA,
        options=options,
        before=was,
        after=now,
        unlike=unlike,
        cases=pairs,
        harness=harness,
        left_out=list(_left_out(old, new)),
    )


def judge(ratio: float, interval: tuple[float, float], margin: float) -> Judgement:
    """Return the verdict on a ratio with its interval, as `CaseComparison` defines it."""
    low, high = interval
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return "same"
    if low > 1 and ratio > 1 + margin:
        return "worse"
    if high < 1 and ratio < 1 / (1 + margin):
        return "better"
    return "cannot tell"


def _measured(document: Document) -> MeasuredRun:
    assert isinstance(document, Bench | Run)  # noqa: S101 - for the type checker: they tell costs
    noise = document.noise if isinstance(document, Bench) else None
    return MeasuredRun(document.started, document.environment, mean(noise.others_cores) if noise else 0.0)


def _unlike(before: MeasuredRun, after: MeasuredRun) -> Iterator[EnvironmentDifference]:
    for name in ALIKE:
        was, now = (_value(name, each.environment) for each in (before, after))
        if was != now:
            yield EnvironmentDifference(name, was, now)


def _value(name: str, where: Environment) -> str:
    return where.filesystems if name == "filesystem" else str(getattr(where, name))


def _pairs(old: Mapping[str, Series], new: Mapping[str, Series], margin: float) -> Iterator[CaseComparison]:
    """Yield each case that both runs have, as it was measured."""
    for name, was in old.items():
        now = new.get(name, Series())
        if was.samples_ns and now.samples_ns:
            yield _compared(name, was, now, margin)


def _compared(name: str, was: Series, now: Series, margin: float) -> CaseComparison:
    before_ns, after_ns = median(was.samples_ns), median(now.samples_ns)
    ratio, interval = after_ns / before_ns, ratio_interval(was.samples_ns, now.samples_ns, seed=name)
    few = min(len(was.samples_ns), len(now.samples_ns)) < FEWEST
    return CaseComparison(
        name=name,
        before_ns=round(before_ns, 2),
        after_ns=round(after_ns, 2),
        ratio=round(ratio, 4),
        interval_95=_rounded(interval),
        verdict="cannot tell" if few else judge(ratio, interval, margin),
        note="; ".join([*_notes(was, now), *[FEW] * few]),
    )


def _beside(
    case: CaseComparison, names: Sequence[str], controls: Mapping[str, CaseComparison], margin: float
) -> CaseComparison:
    """Return the case without the machine's own change, as the first of its controls shows it.

    It is slower, or faster, only where it is so both as measured and beside its control: a control that became faster
    makes nothing slower. Without a control a change of the case cannot be distinguished from one of the machine.
    """
    control = next((controls[name] for name in names if name in controls and FEW not in controls[name].note), None)
    if control is None:
        return _undecided(case, "no control loop in both runs") if case.verdict in CHANGED else case
    ratio = case.ratio / control.ratio
    interval = _divided(case, control)
    beside = replace(
        case, ratio=round(ratio, 4), interval_95=_rounded(interval), machine=control.ratio, control=control.name
    )
    verdict = judge(ratio, interval, margin)
    if FEW in case.note or (verdict in CHANGED and verdict != case.verdict):
        return _undecided(beside, "" if FEW in case.note else f"{verdict} beside the {control.name}, not by itself")
    return replace(beside, verdict=verdict)


def _undecided(case: CaseComparison, why: str) -> CaseComparison:
    return replace(case, verdict="cannot tell", note="; ".join(filter(None, [case.note, why])))


def _divided(case: CaseComparison, control: CaseComparison) -> tuple[float, float]:
    """Return the interval of the quotient of two ratios with independent errors, on the scale of their logarithms."""
    ratio = case.ratio / control.ratio
    low, high = (
        hypot(log(case.interval_95[side] / case.ratio), log(control.interval_95[1 - side] / control.ratio))
        for side in (0, 1)
    )
    return ratio * exp(-low), ratio * exp(high)


def _rounded(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    return round(low, 4), round(high, 4)


def _notes(was: Series, now: Series) -> Iterator[str]:
    """Yield notes that are not about cost: that a race broke, or holds overlapped, in either run."""
    if was.note != now.note:
        yield f"{was.note or 'exclusive'} before, {now.note or 'exclusive'} after"
    elif now.note == "NOT EXCLUSIVE":
        yield now.note


def _left_out(old: Mapping[str, Series], new: Mapping[str, Series]) -> Iterator[LeftOutCase]:
    for name in {**old, **new}:
        for which, run in (("before", old), ("after", new)):
            if name not in run:
                yield LeftOutCase(name, f"there is none {which}")
            elif not run[name].samples_ns:
                yield LeftOutCase(name, f"not measured {which}: {run[name].reason}")


def _examples(cases: Mapping[str, Series]) -> str:
    first, *more = [f"{name!r}" for name in cases] or ["nothing"]
    return f"{first} and {len(more):,} more" if more else first
