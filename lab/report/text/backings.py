"""Write the comparison of backings: a row for each property, a column for each backing, and how it was observed."""

from __future__ import annotations

from lab.errors import ExitCode
from lab.records import BackingSurvey, Cell
from lab.report.documents import Report
from lab.report.format import PLAIN, Style, table, wrapped

WIDTH = 13
"""The columns of a cell: seven of them fit beside each other in little more than a hundred."""


def text_of(run: BackingSurvey, style: Style = PLAIN) -> str:
    """Return the whole comparison; a format that is not for people gets only the table."""
    if not style.is_for_people:
        return _table(run, style, folded=False)
    return "\n\n".join([_heading(run), _table(run, style, folded=True), _how(run), "\n".join(_conclusions(run))])


def _heading(run: BackingSurvey) -> str:
    where = run.environment
    return f"How bytes are shared, as seen in {run.directory} ({where.filesystem}), {where.kernel}"


def _table(run: BackingSurvey, style: Style, *, folded: bool) -> str:
    cells = {(cell.property, cell.backing): cell for cell in run.cells}
    rows = [
        [each.name, *(_cell(cells.get((each.name, name)), folded=folded) for name in run.backings)]
        for each in run.properties
    ]
    head = ["", *run.backings]
    return table(head, rows, style, left=head)


def _cell(cell: Cell | None, *, folded: bool) -> str:
    """Return what was observed; marked where something else was expected."""
    if cell is None:
        return "-"
    text = cell.observed if cell.ok else f"! {cell.observed}"
    return wrapped(text, width=WIDTH) if folded else text


def _how(run: BackingSurvey) -> str:
    width = max((len(each.name) for each in run.properties), default=0) + 2
    return "\n".join(
        ["how each row was seen", *(wrapped(each.how, f"  {each.name:{width}}") for each in run.properties)]
    )


def complaints(run: BackingSurvey) -> list[str]:
    """Return a line for each backing that was refused; all of its cells follow from that."""
    return [
        f"backing {cell.backing}: refused at its set-up ({cell.observed}); see docs/backings.md for what it needs"
        for cell in _refused(run)
    ]


def exit_code(run: BackingSurvey) -> ExitCode:
    """Return UNABLE where a backing was refused; differences are shown, and are no failure."""
    return ExitCode.UNABLE if _refused(run) else ExitCode.AS_EXPECTED


def _refused(run: BackingSurvey) -> list[Cell]:
    return [cell for cell in run.cells if cell.property == "set-up" and not cell.ok]


def differences(run: BackingSurvey) -> list[str]:
    """Return a line for each difference between this system and what is expected."""
    return [
        f"{cell.property} of {cell.backing}: expected {cell.expected}, seen here: {cell.observed}"
        for cell in run.cells
        if not cell.ok
    ]


def _conclusions(run: BackingSurvey) -> list[str]:
    different = differences(run)
    if different:
        return [wrapped(f"! {line}") for line in different]
    return [f"All {len(run.cells)} cells are as expected."]


REPORT = Report(text_of, complaints, exit_code, {r"! \S+(?: \S+)*": "bold red"})
