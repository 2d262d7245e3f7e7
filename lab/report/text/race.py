"""Write a race as text: three tables (what broke, what it cost, what it used) and the sentences under them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.records import Case, Quantiles, Run
from lab.report.documents import Report
from lab.report.format import PLAIN, Style, duration, kib, one_in, rate, table

from . import explore
from .failures import lock_of, needs_backings, overlaps_of
from .race_verdict import complaints, conclusions, exit_code, heading

CASE = ("scenario", "lock", "workers")
BROKE = (*CASE, "corrupted", "rate", "trials", "95 % interval", "overlaps", "detects", "verdict")
COST = (*CASE, "ops/s", "slowdown", "wait p50", "p99", "max", "hold p50", "p99", "max", "overtaken")
GAVE_UP = "gave up"
FAULT = "fault"
USED = (*CASE, "user s", "system s", "voluntary", "involuntary", "minor faults", "private KiB", "peak KiB")


def what_broke(run: Run, style: Style = PLAIN) -> str:
    """Return one row for each case: corruption, its rate and interval, overlaps, and the detection limit."""
    return _of_cases(BROKE, run, [(case, _broke(case)) for case in run.cases], style)


def what_it_cost(run: Run, style: Style = PLAIN) -> str:
    """Return one row for each case that ran: speed, its slowdown against no lock, waits and holds, overtaking."""
    unlocked = {_race(case): case.operations_per_s for case in run.cases if case.lock == "none"}
    ran = [case for case in run.cases if case.operations and not case.fault]
    rows = [(case, _cost(case, unlocked.get(_race(case)))) for case in ran]
    if not any(case.gave_up for case in ran):
        return _of_cases(COST, run, rows, style)
    return _of_cases((*COST, GAVE_UP), run, [(case, [*row, f"{case.gave_up:,}"]) for case, row in rows], style)


def what_it_used(run: Run, style: Style = PLAIN) -> str:
    """Return one row for each case that ran: processor time, switches, page faults, memory of the largest worker."""
    ran = [case for case in run.cases if case.operations and not case.fault]
    return _of_cases(USED, run, [(case, _used(case)) for case in ran], style)


def _race(case: Case) -> tuple[str, str, int]:
    """Return the key of the race that a lock's slowdown is measured against: the same race without it."""
    return case.scenario, case.backing, case.workers


def _of_cases(head: Sequence[str], run: Run, rows: list[tuple[Case, list[str]]], style: Style = PLAIN) -> str:
    """Return the table of these cases; a column for the backing where not all have the default, and for faults."""
    more: dict[str, Callable[[Case], str]] = {}
    if needs_backings(run):
        more["backing"] = lambda case: case.backing
    if any(case.fault for case, _ in rows):
        more[FAULT] = lambda case: case.fault or "-"
    at = head.index("workers")
    wider = [[*row[:at], *(text(case) for text in more.values()), *row[at:]] for case, row in rows]
    return table([*head[:at], *more, *head[at:]], wider, style)


def _case(case: Case) -> list[str]:
    return [case.scenario, lock_of(case), str(case.workers)]


def _broke(case: Case) -> list[str]:
    judged = sum(trial.completed for trial in case.trial_samples)
    checked = case.operations and case.data_checked
    low, high = case.interval_95
    return [
        *_case(case),
        f"{case.damaged:,} of {case.damaged_of or case.operations:,}" if checked else "-",
        rate(case.corruption_rate) if checked else "-",
        f"{case.damaged_trials} of {judged}" if judged else "-",
        f"{100 * low:.0f} to {100 * high:.0f} %" if judged else "-",
        overlaps_of(case),
        one_in(case.detection_limit),
        _verdict(case),
    ]


def _verdict(case: Case) -> str:
    """Return the verdict, in capitals where it was not expected; with the main kind of corruption."""
    if case.fault and case.verdict == "unsupported":
        return "not tried"
    word = case.verdict if case.as_expected else case.verdict.upper()
    if case.verdict == "damaged":
        kinds = sorted(case.damage, key=lambda each: -each.count)
        more = f" +{len(kinds) - 1}" if len(kinds) > 1 else ""
        if explored := case.breaking_exploration:
            return f"{word} when explored, {explored.how_it_breaks}"
        return f"{word}: {kinds[0].kind if kinds else 'overlaps'}{more}"
    return "clean this time" if case.verdict == "clean" and case.expected != "clean" else word


def _cost(case: Case, unlocked: float | None) -> list[str]:
    return [
        *_case(case),
        f"{case.operations_per_s:,.0f}",
        f"x {unlocked / case.operations_per_s:.1f}" if unlocked and case.lock != "none" else "-",
        *_three(case.wait_ns),
        *_three(case.hold_ns),
        "-" if case.overtaken is None else f"{case.overtaken:,}",
    ]


def _used(case: Case) -> list[str]:
    return [
        *_case(case),
        f"{case.cpu_s.user:.2f}",
        f"{case.cpu_s.system:.2f}",
        f"{case.context_switches.voluntary:,}",
        f"{case.context_switches.involuntary:,}",
        f"{case.minor_faults:,}",
        kib(case.private_bytes),
        kib(case.peak_rss_bytes),
    ]


def _three(quantiles: Quantiles | None) -> list[str]:
    if quantiles is None:
        return ["-", "-", "-"]
    return [duration(quantiles.p50), duration(quantiles.p99), duration(quantiles.max)]


def text_of(run: Run, style: Style = PLAIN) -> str:
    """Return the whole report of a run. A format that is not for people gets only its tables."""
    tables = [what_broke(run, style)]
    if any(case.operations for case in run.cases):
        tables += [what_it_cost(run, style), what_it_used(run, style)]
    if not style.is_for_people:
        return "\n\n".join(tables)
    explanations = [
        explore.explanation(case.explanation, raced=not case.breaking_exploration)
        for case in run.cases
        if case.explanation
    ]
    return "\n\n".join([heading(run), *tables, "\n".join(conclusions(run)), *explanations])


REPORT = Report(text_of, complaints, exit_code)
