"""Write a comparison of two runs: a row for each case, the verdicts counted, and the change of the machine itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import get_args

from lab.analysis.statistics import plural
from lab.errors import ExitCode
from lab.measuring.compare import BARE_LOOPS
from lab.records import CaseComparison, Comparison, Judgement, MeasuredRun
from lab.report.documents import Report
from lab.report.format import MARKDOWN, PLAIN, Style, fine, table, wrapped

from .bench import BUSY_CORES

HEAD = ("case", "before", "after", "machine", "ratio", "95 % interval", "verdict")
"""The headers of the table; the machine's part is a column only where it is known."""

NAMES = frozenset({"case", "verdict"})
DRIFT = 0.03
"""From this size on a change of the bare loops is reported as a change of the machine."""


def text_of(run: Comparison, style: Style = PLAIN) -> str:
    """Return the whole report; as `github` a comment for a pull request; in other formats the table alone."""
    if style.format == MARKDOWN:
        return "\n\n".join([f"**{_counts(run)}**", f"{_heading(run)}.", costs(run, style), *conclusions(run)])
    if not style.is_for_people:
        return costs(run, style)
    return "\n\n".join(
        [wrapped(_heading(run)), costs(run, style), *map(wrapped, [f"{_counts(run)}.", *conclusions(run)])]
    )


def costs(run: Comparison, style: Style = PLAIN) -> str:
    """Return the table: one row for each case."""
    rows = [dict(zip(HEAD, _row(case), strict=True)) for case in run.cases]
    head = [title for title in HEAD if title != "machine" or _have_machine(run)]
    return table(head, [[row[title] for title in head] for row in rows], style, left=NAMES)


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


def _row(case: CaseComparison) -> list[str]:
    low, high = case.interval_95
    times = (fine(case.before_ns), fine(case.after_ns))
    machine = f"{case.machine:.2f}" if case.control else ""
    return [case.name, *times, machine, f"{case.ratio:.2f}", f"{low:.2f} to {high:.2f}", case.verdict]


COLOURS = {
    r"(?m)\b(better|same) *$": "green",
    r"(?m)\bworse *$": "bold red",
    r"(?m)\bcannot tell *$": "yellow",
}
"""These colour the verdicts, which end the rows."""

REPORT = Report(text_of, complaints, exit_code, COLOURS)
