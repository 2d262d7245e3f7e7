"""Write the lock survey: a row for each lock, a column for each property, and sentences on how to choose a lock.

A survey of one lock shows each cell with its run. The sentences say which of the surveyed locks meet which need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.errors import ExitCode
from lab.records import ComparedLock, LockCell, LockSurvey
from lab.report.documents import Report
from lab.report.format import PLAIN, Style, duration, one_in, table, wrapped

NEEDS = (
    ("Threads, or several opens of the file in one process", ("threads", "opens")),
    ("Code that knows nothing of the lock opens and closes the file", ("close",)),
    ("A holder may be killed", ("kill",)),
    ("A holder may stand still for long (SIGSTOP, a suspended machine)", ("pause",)),
    ("A process that waits may get signals", ("signal",)),
    ("Processes in containers (pid namespaces)", ("namespace",)),
    ("A holder may fork, and the child come near the lock", ("fork", "exit", "child", "unlock")),
    ("Readers beside each other", ("readers",)),
    ("Parts of one file locked apart", ("ranges",)),
    ("Two locks at once in no fixed order", ("deadlock",)),
)
"""The needs that a user may have, and the properties that must be "yes" for each."""

STRONG = 0.02
"""A lock whose waiters poll every millisecond reaches this detection limit in a cell's time, on a busy machine too."""

NAMED = 3
"""So many of the cheapest locks are named."""


def advice(run: LockSurvey) -> Iterator[str]:
    """Yield a sentence for each need; only locks that keep processes out count, and locks of which nothing is known.

    Named as cheap are only those whose races would have noticed false grants of the rate `STRONG`.
    """
    cells = Cells(run)
    locks = [name for name in cells.locks if cells.value(name, "processes") == "yes"]
    if not locks:
        yield "None of these keeps another process out."
        return
    unknown = [name for name in cells.locks if cells.value(name, "processes") == "?"]
    if unknown:
        yield f"Of {', '.join(unknown)} nothing is known; what follows is about the others."
    for need, properties in NEEDS:
        if all(cells.value(lock, each) in ("", "-") for each in properties for lock in locks):
            continue  # it could not be tried here
        fit = [lock for lock in locks if all(cells.value(lock, each) == "yes" for each in properties)]
        yield f"{need}: {_these(fit, locks)}."
    fit = [lock for lock in locks if cells.value(lock, "order") == "fifo"]
    yield f"First come, first served: {_these(fit, locks)}. Who polls has no order, and looks late."
    strong = [lock for lock in locks if cells.is_shown(lock)]
    if weak := [lock for lock in locks if lock not in strong]:
        yield f"Not shown to exclude well enough to be called cheap: {', '.join(weak)}."
    yield f"Cheapest: {_cheapest(strong, cells, 'pair')} alone; {_cheapest(strong, cells, 'hand-over')} handed over."


class Cells:
    """The cells of a survey by lock and property; a document of an older lab has fewer."""

    def __init__(self, run: LockSurvey) -> None:
        self._cells = {(cell.lock, cell.property): cell for cell in run.cells}
        self.locks = list(dict.fromkeys(lock for lock, _ in self._cells))

    def value(self, lock: str, name: str) -> str:
        """Return the observed value; empty where nothing was observed."""
        cell = self._cells.get((lock, name))
        return cell.value if cell else ""

    def cost(self, lock: str, name: str) -> float | None:
        """Return the cost in ns, where it was measured."""
        cell = self._cells.get((lock, name))
        return cell.median_ns if cell else None

    def is_shown(self, lock: str) -> bool:
        """Return True where races showed enough of its exclusion, and it held in spite of every fault."""
        limit = self._cells[lock, "processes"].detection_limit
        return (
            limit is not None
            and limit <= STRONG
            and self.value(lock, "kill") != "both"
            and self.value(lock, "pause") == "yes"
            and "no" not in (self.value(lock, "signal"), self.value(lock, "namespace"))
        )


def _these(fit: list[str], locks: list[str]) -> str:
    """Name those that fit, or those that do not where these are fewer."""
    unfit = [lock for lock in locks if lock not in fit]
    if not unfit:
        return "all of these"
    if not fit:
        return "none of these"
    return f"all but {', '.join(unfit)}" if len(unfit) < len(fit) else ", ".join(fit)


def _cheapest(locks: list[str], cells: Cells, name: str) -> str:
    costs = sorted((cost, lock) for lock in locks if (cost := cells.cost(lock, name)) is not None)
    return ", ".join(f"{lock} {duration(cost)}" for cost, lock in costs[:NAMED]) or "none of these"


HEADS = {
    "processes": ("pro-", "cess"),
    "threads": ("thr-", "eads"),
    "opens": ("op-", "ens"),
    "readers": ("rea-", "ders"),
    "ranges": ("ran", "ges"),
    "pause": ("pa-", "use"),
    "signal": ("sig-", "nal"),
    "namespace": ("name-", "space"),
    "close": ("cl-", "ose"),
    "fork": ("fo-", "rk"),
    "exit": ("ex-", "it"),
    "child": ("ch-", "ild"),
    "unlock": ("un-", "lock"),
    "deadlock": ("dead-", "lock"),
    "hand-over": ("hand-", "over"),
}
"""The headers of columns that would be too wide, on two lines."""

COSTS = 2
"""The last so many columns are figures, which are aligned right."""


def text_of(run: LockSurvey, style: Style = PLAIN) -> str:
    """Return the survey; of one lock its cells with the runs that show them. A format for programs gets the table."""
    if not style.is_for_people:
        return _table(run, style)
    looked_at = [each for each in run.locks if not each.trouble]
    if len(run.locks) == 1 and looked_at:
        parts = [_heading(run), _lock(run, looked_at[0])]
    else:
        parts = [_heading(run), _table(run, style), _strengths(run), _columns(run), _choice(run)]
        parts = [part for part in parts if part] if looked_at else [_heading(run)]
    return "\n\n".join([*parts, *filter(None, [_missing(run)])])


def complaints(run: LockSurvey) -> Iterator[str]:
    """Yield a line for each cell that differs from what its lock claims, and for each that is inconclusive."""
    for cell in run.cells:
        if not cell.ok:
            yield f"lock {cell.lock}: {cell.property}: claims {cell.claimed}, seen here: {cell.value}{_why(cell)}"
        elif cell.value == "?" and cell.run:
            yield f"lock {cell.lock}: {cell.property}: inconclusive{_why(cell)}"


def exit_code(run: LockSurvey) -> ExitCode:
    """Return DAMAGE where a lock does not do what it claims, UNABLE where a cell is inconclusive or there is none."""
    if not all(cell.ok for cell in run.cells):
        return ExitCode.DAMAGE
    unknown = not run.cells or any(cell.value == "?" for cell in run.cells)
    return ExitCode.UNABLE if unknown else ExitCode.AS_EXPECTED


def _heading(run: LockSurvey) -> str:
    where = run.environment
    return f"What each lock does, as seen in {run.directory} ({where.filesystem}), {where.kernel}, {where.python}"


def _table(run: LockSurvey, style: Style = PLAIN) -> str:
    cells = {(cell.lock, cell.property): cell for cell in run.cells}
    names = [each.name for each in run.properties]
    rows = [
        [lock.name, *(_cell(cells[lock.name, name], style) for name in names)] for lock in run.locks if not lock.trouble
    ]
    head = ["lock", *names]
    return _grid(head, rows) if style.is_for_people else table(head, rows, style, left=head[:-COSTS])


def _grid(head: list[str], rows: list[list[str]]) -> str:
    """Return the table for people, as narrow as its words: tabulate would keep more columns free."""
    tops, bottoms = zip(*(HEADS.get(name, ("", name)) for name in head), strict=True)
    lines: list[Sequence[str]] = [tops, bottoms, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    lines.insert(2, ["-" * width for width in widths])
    signs = ["<"] * (len(head) - COSTS) + [">"] * COSTS
    return "\n".join(
        " ".join(f"{text:{sign}{width}}" for text, sign, width in zip(line, signs, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(cell: LockCell, style: Style = PLAIN) -> str:
    """Return what was observed, marked where the lock claims otherwise. Costs are in ns in a table for programs."""
    if cell.value == "measured" and cell.median_ns is not None:
        return duration(cell.median_ns) if style.is_for_people else f"{cell.median_ns:.0f}"
    return cell.value if cell.ok else f"!{cell.value}"


def _strengths(run: LockSurvey) -> str:
    """Say how rare a false grant the races behind each "yes" would have noticed."""
    limits = [(cell.lock, cell.detection_limit) for cell in run.cells if cell.property == "processes"]
    figures = ", ".join(f"{lock} {one_in(limit)}" for lock, limit in limits if limit)
    head = "process: yes is what one meeting and races showed; a lock that grants falsely would have been noticed, 95 %"
    return wrapped(f"{head}: {figures}.", indent=2) if figures else ""


def _columns(run: LockSurvey) -> str:
    lines = [wrapped(each.how, f"  {each.name:11}") for each in run.properties]
    signs = (
        "- the question does not arise, or cannot be asked here; ? inconclusive; ! not what the lock claims of itself"
    )
    return "\n".join(["the columns", *lines, wrapped(signs, "  ")])


def _choice(run: LockSurvey) -> str:
    lines = [wrapped(line, "  ", indent=4) for line in advice(run)]
    return "\n".join(["how to choose", *lines, "", "`lab locks NAME` shows the calls behind each cell of a lock."])


def _missing(run: LockSurvey) -> str:
    """Name the locks that are not available here, and why."""
    lines = [wrapped(each.trouble, "  ", indent=4) for each in run.locks if each.trouble]
    return "\n".join(["not here", *lines]) if lines else ""


def _lock(run: LockSurvey, lock: ComparedLock) -> str:
    """Describe one lock: each property, what was observed, and the calls that show it."""
    hows = {each.name: each.how for each in run.properties}
    return "\n\n".join([f"{lock.name}: {lock.summary}", *(_cell_text(cell, hows[cell.property]) for cell in run.cells)])


def _cell_text(cell: LockCell, how: str) -> str:
    lines = [wrapped(how, f"{cell.property:11}{_cell(cell, PLAIN):10}")]
    if not cell.ok:
        lines.append(f"    the lock claims {cell.claimed}")
    if cell.reason:
        lines.append(wrapped(cell.reason, "    "))
    if cell.run and cell.property != "hand-over":
        lines.extend(_calls(cell))
    return "\n".join(lines)


def _calls(cell: LockCell) -> Iterator[str]:
    actor = max(len(each.actor) for each in cell.run)
    call = max(len(each.call) for each in cell.run)
    for each in cell.run:
        yield f"    {each.actor:{actor}}  {each.call:{call}}  {each.result}"


def _why(cell: LockCell) -> str:
    return f": {cell.reason}" if cell.reason else ""


NEXT = r"(?= +(?:[!?-]|yes|no|both|fails|hangs|open|fifo|other|polls|\d)|$)"
"""This matches what follows a word in a column: the word of the next one."""

COLOURS = {
    rf"(?<= )yes{NEXT}": "green",
    rf"(?<= )no{NEXT}": "yellow",
    rf"(?<= )(!\w+|[?]){NEXT}": "bold red",
}
"""These colour the words in the columns."""

REPORT = Report(text_of, complaints, exit_code, COLOURS)
