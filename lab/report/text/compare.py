"""Write a comparison of two runs: a row for each case, the verdicts counted, and the change of the machine itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from lab.analysis.statistics import plural
from lab.errors import ExitCode
from lab.measuring.compare import BARE_LOOPS
from lab.records import CaseComparison, Comparison, Judgement, MeasuredRun
from lab.report.documents import Report
from lab.report.format import MARKDOWN, PLAIN, Column, Style, Table, fine, wrapped

from .bench import BUSY_CORES

COLUMNS: list[Column[CaseComparison]] = [
    Column("case", lambda case: case.name, {"case": lambda case: case.name}, left=True, key=True, fold=16),
    Column("verdict", lambda case: case.verdict, {"verdict": lambda case: case.verdict}, left=True),
    Column("ratio", lambda case: f"{case.ratio:.2f}", {"ratio": lambda case: case.ratio}),
    Column("95 % interval", lambda case: "{:.2f} to {:.2f}".format(*case.interval_95), {
        "low": lambda case: case.interval_95[0],
        "high": lambda case: case.interval_95[1],
    }),
    Column("before", lambda case: fine(case.before_ns), {"before_ns": lambda case: case.before_ns}),
    Column("after", lambda case: fine(case.after_ns), {"after_ns": lambda case: case.after_ns}),
    Column("machine", lambda case: f"{case.machine:.2f}" if case.control else "", {
        "machine": lambda case: case.machine if case.control else None,
        "control": lambda case: case.control or None,
    }, wide=True),
    Column("", data={"note": lambda case: case.note or None}),
]  # fmt: skip
"""The columns of the table, a row for each case; people see the machine's part only where it is known."""

DRIFT = 0.03
"""From this size on a change of the bare loops is reported as a change of the machine."""


def text_of(run: Comparison, style: Style = PLAIN) -> str:
    """Return the whole report; as `github` a comment for a pull request; in other formats the table alone."""
    if style.format == MARKDOWN:
        return "\n\n".join([f"**{_counts(run)}**", f"{_heading(run)}.", costs(run).render(style), *conclusions(run)])
    if not style.is_for_people:
        return costs(run).render(style)
    return "\n\n".join(
        [*map(wrapped, [_heading(run), f"{_counts(run)}."]), costs(run).render(style), *map(wrapped, conclusions(run))]
    )


def costs(run: Comparison) -> Table[CaseComparison]:
    """Return the table: one row for each case."""
    hidden = () if _have_machine(run) else ("machine",)
    columns = [replace(column, title="") if column.title in hidden else column for column in COLUMNS]
    return Table(columns, run.cases)


def conclusions(run: Comparison) -> Iterator[str]:
    """Yield what the verdicts mean, what else changed, and what to do where no verdict is possible."""
    margin = f"{100 * run.options.margin:g} %"
    yield (
        f"ratio: the time after to that before, each the median of its samples. same: the interval is within {margin} "
        f"of 1. worse, better: the change is larger than {margin}, and the interval has no 1."
    )
    if _have_machine(run):
        controls = ", ".join(dict.fromkeys(case.control for case in run.cases if case.control))
        yield (
            f"machine: how many times as long a control took, which has no code of the lab in it ({controls}). It is "
            "taken out of the ratio: what the machine became slower by makes no case worse."
        )
    unsure = [case for case in run.cases if case.verdict == "cannot tell" and not case.note]
    if unsure:
        yield (
            f"cannot tell: the interval of {plural(len(unsure), 'case')} is too wide. Measure both again with more "
            "samples (--seconds, --repeats; of a race --trials), on a quieter machine."
        )
    yield from _other_load(run)
    yield from _machine(run)


def _other_load(run: Comparison) -> Iterator[str]:
    for which, measured in (("before", run.before), ("after", run.after)):
        if measured.others_cores > BUSY_CORES:
            yield (
                f"The run {which} was not alone: other processes took {measured.others_cores:.2f} of a core. Stop them "
                "and measure it again."
            )


def _machine(run: Comparison) -> Iterator[str]:
    moved = [loop for loop in run.harness if abs(loop.ratio - 1) >= DRIFT and loop.name in BARE_LOOPS]
    if moved:
        changes = ", ".join(f"{loop.name} {loop.ratio:.2f} x" for loop in moved)
        end = "of every ratio is not the lock's" if run.unlike else "is taken out of the ratios of their cases"
        yield f"The machine itself changed: {changes}. These loops have no code of the lab in them, so that much {end}."


def complaints(run: Comparison) -> Iterator[str]:
    """Yield what differed, was left out, or is no cost; and, where worse is a failure, the cases that are worse."""
    for each in run.unlike:
        yield f"not measured alike: {each.field}: {each.before} before, {each.after} after"
    for missing in run.left_out:
        yield f"{missing.name}: not compared: {missing.reason}"
    for case in run.cases:
        if case.note:
            yield f"{case.name}: {case.note}"
    if run.options.fail_slower:
        for case in _worse(run):
            most = f"at most {100 * run.options.margin:g} % was asked"
            yield f"{case.name}: slower by {100 * (case.ratio - 1):.1f} %; {most}"


def exit_code(run: Comparison) -> ExitCode:
    """Return DAMAGE where worse is a failure and a case is worse."""
    return ExitCode.DAMAGE if run.options.fail_slower and _worse(run) else ExitCode.AS_EXPECTED


def _have_machine(run: Comparison) -> bool:
    return any(case.control for case in run.cases)


def _worse(run: Comparison) -> list[CaseComparison]:
    return [case for case in run.cases if case.verdict == "worse"]


def _heading(run: Comparison) -> str:
    where = run.after.environment
    return (
        f"from {_run_name(run.options.before, run.before)} to {_run_name(run.options.after, run.after)}: "
        f"{where.filesystems}, {where.kernel}, {plural(where.cpus_allowed, 'CPU')}, {where.python}, "
        f"recorder {where.recorder}"
    )


def _run_name(name: str, measured: MeasuredRun) -> str:
    return f"{name} ({measured.started.replace('T', ' ').removesuffix('Z')} UTC, lab {measured.environment.lab})"


def _counts(run: Comparison) -> str:
    counts = Counter(case.verdict for case in run.cases)
    verdicts = ", ".join(f"{counts[word]} {word}" for word in reversed(get_args(Judgement)) if counts[word])
    return f"{plural(len(run.cases), 'case')}: {verdicts}"


COLOURS = {
    r"(?<=  )(better|same)(?=  )": "green",
    r"(?<=  )worse(?=  )": "bold red",
    r"(?<=  )cannot tell(?=  )": "yellow",
}
"""These colour the verdicts, which stand in a column."""

REPORT = Report(text_of, complaints, exit_code, COLOURS)
