"""A run as two tables: what broke, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import simple_separated_format, tabulate, tabulate_formats

from lab.errors import unknown
from lab.results import Case, Quantiles, Run

from .words import duration, kib, one_in, rate

DEFAULT_FORMAT = "simple"
DATA_FORMATS = {"csv": ","}
"""Formats that tabulate leaves to its caller."""

BROKE = ("scenario", "lock", "workers", "operations", "damaged", "rate", "trials", "95 % interval", "two in", "notices", "verdict")
COST = (
    "scenario", "lock", "workers", "ops/s", "price", "wait p50", "p99", "max", "hold p50", "p99", "max",
    "fair", "user s", "sys s", "switches", "faults", "KiB",
)  # fmt: skip


def check_format(name: str) -> None:
    """Raises UsageError, with the nearest name, for a format that tabulate does not have."""
    known = [*tabulate_formats, *DATA_FORMATS]
    if name not in known:
        raise unknown("format", name, known)


def what_broke(run: Run, style: str) -> str:
    """One row a case: damage, its rate and interval, overlapping holds, and what would have been noticed."""
    return _table(BROKE, [_broke(case) for case in run.cases], style, left=2)


def what_it_cost(run: Run, style: str) -> str:
    """One row a case that ran: speed, waits and holds, fairness, processor, memory."""
    baseline = {
        (case.scenario, case.workers): case.operations_per_s for case in run.cases if case.lock == "none"
    }
    ran = [case for case in run.cases if case.operations]
    return _table(COST, [_cost(case, baseline.get((case.scenario, case.workers))) for case in ran], style, left=2)


def _table(head: Sequence[str], rows: list[list[str]], style: str, *, left: int) -> str:
    """Text columns to the left, figures to the right; figures are text already and are not parsed again."""
    align = ["left"] * left + ["right"] * (len(head) - left)
    if head[-1] == "verdict":
        align[-1] = "left"
    shape = simple_separated_format(DATA_FORMATS[style]) if style in DATA_FORMATS else style
    return tabulate(rows, headers=list(head), tablefmt=shape, disable_numparse=True, colalign=align if rows else None)


def _broke(case: Case) -> list[str]:
    judged = sum(trial.completed for trial in case.trial_samples)
    low, high = case.interval_95
    return [
        case.scenario,
        case.lock,
        str(case.workers),
        f"{case.operations:,}",
        f"{case.damaged:,}",
        rate(case.corruption_rate) if case.operations else "-",
        f"{case.damaged_trials} of {judged}",
        f"{100 * low:.0f} to {100 * high:.0f} %" if judged else "-",
        f"{case.overlapping_holds:,}" if case.holds else "-",
        one_in(case.detection_power),
        _verdict(case),
    ]


def _verdict(case: Case) -> str:
    """The verdict, and what kind of damage or whether it was announced."""
    if case.verdict == "damaged":
        kinds = ", ".join(each.kind for each in case.damage[:2]) or "overlapping holds"
        return f"damaged: {kinds}" if case.as_expected else f"DAMAGED: {kinds}"
    if case.verdict == "clean":
        return "clean" if case.expected == "clean" else "clean this time"
    return case.verdict if case.as_expected else case.verdict.upper()


def _cost(case: Case, baseline: float | None) -> list[str]:
    price = f"x {baseline / case.operations_per_s:.1f}" if baseline and case.lock != "none" else "-"
    switches = case.context_switches.voluntary + case.context_switches.involuntary
    return [
        case.scenario,
        case.lock,
        str(case.workers),
        f"{case.operations_per_s:,.0f}",
        price,
        *_three(case.wait_ns),
        *_three(case.hold_ns),
        "-" if case.fairness is None else f"{case.fairness:.2f}",
        f"{case.cpu_s.user:.2f}",
        f"{case.cpu_s.system:.2f}",
        f"{switches:,}",
        f"{case.minor_faults:,}",
        kib(case.private_bytes),
    ]


def _three(quantiles: Quantiles | None) -> list[str]:
    if quantiles is None:
        return ["-", "-", "-"]
    return [duration(quantiles.p50), duration(quantiles.p99), duration(quantiles.max)]
