"""Write a tour as text: each step with its claim and its calls, and what differs from the tutorial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter

from lab.errors import ExitCode
from lab.records import Observation, Tour, TourStep
from lab.report.documents import Report
from lab.report.format import PLAIN, Column, Style, Table, plural, wrapped

MARK = "<- DIFFERS"
INDENT = "    "
HEAD = ("call", "expected", "observed")
NOTATION = (
    "c = data[0]: loads a byte through the mapping; data[0] = 'x': stores one; read() and write() are calls on the "
    "file; A: and B: are two processes"
)


def exit_code(run: Tour) -> ExitCode:
    """Return the exit code of `--strict`: DAMAGE where this system differs from the tutorial."""
    return ExitCode.AS_EXPECTED if all(step.ok for step in run.steps) else ExitCode.DAMAGE


def text_of(run: Tour, style: Style = PLAIN) -> str:
    """Return the whole tour."""
    return "\n\n".join([heading(run), *(step_text(step) for step in run.steps), conclusion(run)])


def summary(run: Tour) -> str:
    """Return a line for each step."""
    width = max((len(step.name) for step in run.steps), default=0)
    return "\n".join(f"{_state(step):7}  {step.number:2}  {step.name:{width}}  {_figure(step)}" for step in run.steps)


def _state(step: TourStep) -> str:
    return "skipped" if step.skipped else "ok" if step.ok else "DIFFERS"


def heading(run: Tour) -> str:
    """Return where it took place, and the notation of the calls, which is that of the page."""
    here = run.environment
    where = f"{here.filesystem} on {here.kernel}, {here.machine}; page = {run.page_bytes:,} bytes"
    return f"{where}\n{wrapped(NOTATION)}"


def step_text(step: TourStep) -> str:
    """Return number, name, the claim, the calls with their results, and the note."""
    parts = [wrapped(step.claim, f"{step.number:2}  {step.name}: ", indent=4)]
    for some, laid_out in (
        ([each for each in step.observations if each.row], _grid),
        ([each for each in step.observations if not each.row], _list),
    ):
        if some:
            parts.append("\n".join(laid_out(some)))
    if step.skipped:
        parts.append(wrapped(f"skipped: {step.skipped}", INDENT))
    if step.note:
        parts.append(wrapped(step.note, INDENT))
    return "\n\n".join(parts)


def conclusion(run: Tour) -> str:
    """Say how much is as the tutorial claims."""
    different = [step.name for step in run.steps if not step.ok]
    if different:
        return wrapped(f"This system DIFFERS from the tutorial in {', '.join(different)}.")
    count = sum(len(step.observations) for step in run.steps)
    skipped = [step.name for step in run.steps if step.skipped]
    performed = plural(len(run.steps) - len(skipped), "step")
    rest = f" Skipped: {', '.join(skipped)}." if skipped else ""
    return wrapped(f"As the tutorial claims: {performed}, {plural(count, 'observation')}.{rest}")


def complaints(run: Tour) -> Iterator[str]:
    """Yield the lines for stderr: one for each difference."""
    for step in run.steps:
        for each in step.observations:
            if not each.ok:
                where = f"{each.row}: " if each.row else ""
                yield (
                    f"step {step.number} {step.name}: {where}{each.call}: "
                    f"the tutorial expects {each.expected}, observed {each.observed}"
                )


def _figure(step: TourStep) -> str:
    if step.skipped:
        return step.skipped
    good = sum(each.ok for each in step.observations)
    return f"{good} of {len(step.observations)} as claimed"


def _grid(placed: list[Observation]) -> Iterator[str]:
    """Yield the table of rows and columns; where a cell is not as expected, it also shows what was expected."""
    columns = list(dict.fromkeys(each.column for each in placed))
    rows = list(dict.fromkeys(each.row for each in placed))
    cells = {(each.row, each.column): _cell(each) for each in placed}
    laid_out = [[row, *(cells.get((row, column), "-") for column in columns)] for row in rows]
    yield _aligned(["", *columns], laid_out)


def _cell(each: Observation) -> str:
    return each.observed if each.ok else f"{each.observed} {MARK} from {each.expected}"


def _list(observations: list[Observation]) -> Iterator[str]:
    marked = [[each.call, each.expected, f"{each.observed}{'' if each.ok else f'  {MARK}'}"] for each in observations]
    yield _aligned(HEAD, marked)


def _aligned(head: Sequence[str], rows: list[list[str]]) -> str:
    """Return cells in columns, folded where that makes them fit."""
    columns: list[Column[list[str]]] = []
    for at, title in enumerate(head):
        columns.append(Column(title, itemgetter(at), left=True, key=not at, fold=12))
    return Table(columns, rows, indent=len(INDENT)).render()


COLOURS = {r"\bDIFFERS\b[^\n]*": "bold red", r"(?m)^ ?\d+  \S+:": "bold", r"(?m)^ok\b": "green"}
REPORT = Report(text_of, lambda _: (), lambda _: ExitCode.AS_EXPECTED, COLOURS, formats=False)
"""The text itself says what differs."""

STRICT = Report(lambda run, _: summary(run), complaints, exit_code, COLOURS, formats=False)
"""`tour --strict` reports a tour in this way."""
