"""Write a race as text: a table with a row for each case, and the sentences under it.

`--cost` adds what the cases cost and used; `--wide` shows every column. Formats for programs have all of it in plain
values, most of them under the names of the results document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter

from lab.memory import MAPPED
from lab.records import ITS_OWN, Case, Run
from lab.report.documents import Report
from lab.report.format import DATA_FORMATS, PLAIN, Column, Style, Table, Value, duration, kib, one_in, rate, wrapped

from . import explore
from .failures import lock_of, overlaps_of
from .race_again import NEXT
from .race_hosts import by_host
from .race_verdict import complaints, conclusions, exit_code, heading, slowdowns, verdict_of
from .watch import causes_of

COLOURS = {
    r"\bclean\b": "green",
    r"\b(expected (break|death|hang)|did not (break|die|hang)|not available|not tried)\b": "yellow",
    r"\b(FAILED: \w+|NOT CLEAN|INCONCLUSIVE|inconclusive|STARVED|NEGATIVE CONTROL|INTERRUPTED)\b": "bold red",
    r"switch >": "bold yellow",
}
"""They mark verdicts, and what changes how to read them."""


def names_of(run: Run, cases: Sequence[Case]) -> list[Column[Case]]:
    """Return the columns that name these cases: scenario and lock, and others where cases differ by them.

    A backing that the user chose stands beside the lock, if it is not the usual one: a column takes much room.
    """
    shown = {
        "scenario": True,
        "lock": True,
        "backing": False,
        "workers": len({case.workers for case in run.cases}) > 1,
        "fault": any(case.fault for case in cases),
    }
    texts: dict[str, Callable[[Case], str]] = {"lock": _lock_and_backing if run.options.backings else lock_of}
    return [
        Column(
            name if is_shown else "",
            texts.get(name, _named(name)),
            _same(name),
            left=name != "workers",
            key=is_shown,
            fold=0 if name == "workers" else 8,
        )
        for name, is_shown in shown.items()
    ]


def broken_columns(run: Run) -> list[Column[Case]]:
    """Return the columns that a race is judged by; figures that no case has are not shown."""
    slowdown = slowdowns(run)
    detected = any(case.detection_limit is not None for case in run.cases)
    slowed = any(slowdown(case) is not None for case in run.cases)
    return [
        Column("verdict", verdict_of, _same("verdict", "expected", "as_expected"), left=True),
        Column("corrupted", _checked(lambda case: f"{case.damaged:,}"), _same("damaged", "damaged_of")),
        Column("rate", _checked(lambda case: rate(case.corruption_rate)), _same("corruption_rate")),
        Column("detects" * detected, lambda case: one_in(case.detection_limit), _same("detection_limit")),
        Column("slowdown" * slowed, lambda case: _times(slowdown(case)), {"slowdown": slowdown}),
        Column(
            "kind" * any(_kind(case) != "-" for case in run.cases),
            _kind,
            {"kinds": _kinds},
            wide=True,
            left=True,
            fold=12,
        ),
        Column(
            "operations", lambda case: f"{case.operations:,}" if case.operations else "-", _same("operations"), True
        ),
        Column("overlaps", overlaps_of, _same("overlapping_holds"), wide=True),
        Column("trials", _trials, _same("damaged_trials", "trials", "rounds"), wide=True),
        Column("95 % interval", _interval, {f"interval_95_{end}": _end(i) for end, i in ENDS.items()}, wide=True),
    ]


def cost_columns(run: Run) -> list[Column[Case]]:
    """Return the columns of what the cases cost: speed, waits, holds."""
    gave_up = any(case.gave_up for case in run.cases)
    return [
        Column("ops/s", lambda case: f"{case.operations_per_s:,.0f}", _same("operations_per_s", "wall_s")),
        *(_time(*name.split()) for name in ("wait p50", "wait p99", "wait max", "hold p50")),
        *(_time(*name.split(), wide=True) for name in ("hold p99", "hold max")),
        Column("overtaken", _count("overtaken"), _same("overtaken", "starved"), wide=True),
        Column("gave up" * gave_up, _count("gave_up"), _same("gave_up")),
        Column("", str, _same("holds", "contended_requests")),
    ]


def use_columns() -> list[Column[Case]]:
    """Return the columns of what the cases used: processor time, switches, the largest worker's memory, page faults."""
    return [
        _of("user s", "cpu_s.user", "user_s", "{:.2f}".format),
        _of("system s", "cpu_s.system", "system_s", "{:.2f}".format),
        *(_of(name, f"context_switches.{name}", f"{name}_switches") for name in ("voluntary", "involuntary")),
        Column("peak KiB", lambda case: kib(case.peak_rss_bytes), _same("peak_rss_bytes")),
        Column("private KiB", lambda case: kib(case.private_bytes), _same("private_bytes"), wide=True),
        Column("minor faults", _count("minor_faults"), _same("minor_faults"), wide=True),
    ]


def _same(*names: str) -> dict[str, Callable[[Case], Value]]:
    """Return plain values that are those of the results document, under the same names."""
    return {name: attrgetter(name) for name in names}


def _of(title: str, path: str, name: str, text: Callable[..., str] = "{:,}".format) -> Column[Case]:
    """Return the column of one figure at this path of a case."""
    value = attrgetter(path)
    return Column(title, lambda case: text(value(case)), {name: value})


def _lock_and_backing(case: Case) -> str:
    usual = case.backing in (MAPPED.name, ITS_OWN)
    return lock_of(case) if usual else f"{lock_of(case)} in {case.backing}"


def _named(name: str) -> Callable[[Case], str]:
    return lambda case: str(getattr(case, name) or "-")


def _count(name: str) -> Callable[[Case], str]:
    return lambda case: "-" if getattr(case, name) is None else f"{getattr(case, name):,}"


def _checked(text: Callable[[Case], str]) -> Callable[[Case], str]:
    """Return a function that gives this text of a case whose data was checked."""
    return lambda case: text(case) if case.operations and case.data_checked else "-"


def _times(slowdown: float | None) -> str:
    return "-" if slowdown is None else f"x {slowdown:.1f}"


def _kind(case: Case) -> str:
    """Return the main kind of corruption, and how many others there are."""
    kinds = sorted(case.damage, key=lambda each: -each.count)
    if kinds:
        return f"{kinds[0].kind} +{len(kinds) - 1}" if kinds[1:] else kinds[0].kind
    return f"explored: {case.breaking_exploration.how_it_breaks}" if case.breaking_exploration else "-"


def _kinds(case: Case) -> str:
    return "; ".join(each.kind for each in case.damage)


def _judged(case: Case) -> int:
    return sum(trial.completed for trial in case.trial_samples)


def _trials(case: Case) -> str:
    return f"{case.damaged_trials} of {_judged(case)}" if _judged(case) else "-"


ENDS = {"low": 0, "high": 1}


def _end(index: int) -> Callable[[Case], float]:
    return lambda case: case.interval_95[index]


def _interval(case: Case) -> str:
    low, high = case.interval_95
    return f"{100 * low:.0f} to {100 * high:.0f} %" if _judged(case) else "-"


def _time(what: str, quantile: str, *, wide: bool = False) -> Column[Case]:
    """Return the column of one quantile of waits or holds."""

    def value(case: Case) -> int | None:
        quantiles = getattr(case, f"{what}_ns")
        return None if quantiles is None else getattr(quantiles, quantile)

    def text(case: Case) -> str:
        return "-" if (ns := value(case)) is None else duration(ns)

    return Column(f"{what} {quantile}", text, {f"{what}_{quantile}_ns": value}, wide=wide)


def table_of(run: Run) -> Table[Case]:
    """Return the table of a race; what the cases cost and used is shown where there is room, or on demand."""
    more = [replace(column, wide=True) for column in (*cost_columns(run), *use_columns())]
    return Table([*names_of(run, run.cases), *broken_columns(run), *more], run.cases)


def tables_of(run: Run) -> dict[str, Table[Case]]:
    """Return what is judged, what it cost and what it used, as tables of their own.

    The last two are without the cases that did nothing, and without those with faults, which cost on purpose.
    """
    ran = [case for case in run.cases if case.operations and not case.fault]
    tables = {"broken": Table([*names_of(run, run.cases), *broken_columns(run)], run.cases)}
    if ran:
        tables["cost"] = Table([*names_of(run, ran), *cost_columns(run)], ran)
        tables["used"] = Table([*names_of(run, ran), *use_columns()], ran)
    return tables


def what_broke(run: Run, style: Style = PLAIN) -> str:
    """Return the table that a race is judged by, with a row for each case."""
    return table_of(run).render(style)


def text_of(run: Run, style: Style = PLAIN) -> str:
    """Return the whole report; a format that is not for people gets only its tables, one for programs a single one."""
    tables = [what_broke(run, style)]
    if style.cost and not (style.wide or style.format in DATA_FORMATS):
        tables += [table.render(style) for name, table in tables_of(run).items() if name != "broken"]
    if run.hosts and style.wide and style.format not in DATA_FORMATS:
        tables.append(by_host(run).render(style))
    if not style.is_for_people:
        return "\n\n".join(tables)
    explanations = [
        explore.explanation(case.explanation, raced=not case.breaking_exploration)
        for case in run.cases
        if case.explanation
    ]
    sentences = [line if line.startswith(NEXT) else wrapped(line, indent=2) for line in conclusions(run)]
    causes = [text for case in run.cases if case.watched for text in causes_of(case.watched.findings)]
    return "\n\n".join([wrapped(heading(run), indent=2), *tables, "\n".join(sentences), *causes, *explanations])


REPORT = Report(text_of, complaints, exit_code, COLOURS, has_costs=True)
