"""Write the comparison of backings: a row for each property, a column for each backing, and how it was observed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from lab.analysis.statistics import joined
from lab.errors import ExitCode
from lab.records import BackingSurvey, Cell, Property
from lab.report.documents import Report
from lab.report.format import DATA_FORMATS, PLAIN, Column, Style, Table, wrapped

NARROWEST = 12
"""A cell is folded to so many columns, that several backings fit beside each other."""


def text_of(run: BackingSurvey, style: Style = PLAIN) -> str:
    """Return the whole comparison; a format that is not for people gets only the table."""
    if style.format in DATA_FORMATS:
        return cells(run).render(style)
    if not style.is_for_people:
        return by_backing(run).render(style)
    return "\n\n".join([_heading(run), by_backing(run).render(style), _how(run), "\n".join(_conclusions(run))])


def _heading(run: BackingSurvey) -> str:
    where = run.environment
    return wrapped(f"How bytes are shared, as seen in {run.directory} ({where.filesystem}), {where.kernel}")


def cells(run: BackingSurvey) -> Table[Cell]:
    """Return the table for programs: one row for each cell."""
    columns: list[Column[Cell]] = [
        Column("", data={
            "property": lambda cell: cell.property,
            "backing": lambda cell: cell.backing,
            "observed": lambda cell: cell.observed,
            "expected": lambda cell: cell.expected,
            "as_expected": lambda cell: cell.ok,
        }),
    ]  # fmt: skip
    return Table(columns, run.cells)


def by_backing(run: BackingSurvey) -> Table[Property]:
    """Return the table for people: a row for each property, a column for each backing."""
    found = {(cell.property, cell.backing): cell for cell in run.cells}
    columns: list[Column[Property]] = [Column("property", lambda each: each.name, left=True, key=True)]
    columns += [Column(name, partial(_cell, found, name), left=True, fold=NARROWEST) for name in run.backings]
    return Table(columns, run.properties)


def _cell(found: Mapping[tuple[str, str], Cell], backing: str, each: Property) -> str:
    """Return what was observed; marked where something else was expected."""
    cell = found.get((each.name, backing))
    return "-" if cell is None else cell.observed if cell.ok else f"! {cell.observed}"


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


SHARED = (
    ("seen by others", "yes", "Any process can see what is stored in {}."),
    ("persistence", "stays", "The bytes outlive the processes in {}."),
    (
        "file lock on it",
        "excludes",
        "A file lock can be taken on {}; the others need a file beside them.",
    ),
)
"""The conclusions: a property, how its cell begins, and what that means."""


def _conclusions(run: BackingSurvey) -> Iterator[str]:
    """Yield in which backings the bytes are shared, stay and can be locked; then what differs from what is expected."""
    for name, begin, sentence in SHARED:
        fit = [cell.backing for cell in run.cells if cell.property == name and cell.observed.startswith(begin)]
        if fit:
            yield wrapped(sentence.format(joined(fit)), indent=2)
    different = differences(run)
    if different:
        yield from (wrapped(f"! {line}", indent=2) for line in different)
    else:
        yield f"All {len(run.cells)} cells are as expected."


REPORT = Report(text_of, complaints, exit_code, {r"! \S+(?: \S+)*": "bold red"})
