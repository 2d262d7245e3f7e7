"""Write the lock survey: a row for each lock, a column for each property, and sentences on how to choose a lock.

A survey of one lock shows each cell with its run. The sentences say which of the surveyed locks meet which need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from lab.analysis.statistics import joined
from lab.errors import ExitCode
from lab.records import ComparedLock, LockCell, LockSurvey
from lab.report.documents import Report
from lab.report.format import PLAIN, Column, Style, Table, duration, one_in, plural, wrapped

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


IMPORTANT = ("processes", "threads", "readers", "ranges", "kill", "pair", "hand-over")
"""The columns that are always shown; the others where there is room, or with --wide."""

COSTS = ("pair", "hand-over")
"""These columns are figures."""


def text_of(run: LockSurvey, style: Style = PLAIN) -> str:
    """Return the survey; of one lock its cells with the runs that show them. A format for programs gets the table."""
    table = survey(run)
    if not style.is_for_people:
        return table.render(style)
    looked_at = [each for each in run.locks if not each.trouble]
    if len(run.locks) == 1 and looked_at:
        parts = [_heading(run), _lock(run, looked_at[0])]
    elif looked_at:
        shown = [column.title for column in table.shown(style)]
        parts = [_heading(run), verdict(run), table.render(style), _strengths(run), _columns(run, shown)]
    else:
        parts = [_heading(run)]
    choice = _needed(run) if run.needs else _choice(run) if len(looked_at) > 1 else ""
    return "\n\n".join(filter(None, [*parts, _missing(run), choice]))


def complaints(run: LockSurvey) -> Iterator[str]:
    """Yield a line for each cell that differs from what its lock claims, and for each that is inconclusive."""
    for cell in run.cells:
        if not cell.ok:
            yield f"lock {cell.lock}: {cell.property}: claims {cell.claimed}, seen here: {cell.value}{_why(cell)}"
        elif cell.value == "?" and cell.run:
            yield f"lock {cell.lock}: {cell.property}: inconclusive{_why(cell)}"


def exit_code(run: LockSurvey) -> ExitCode:
    """Return DAMAGE where a lock does not do what it claims, UNABLE where a cell is inconclusive or there is none.

    UNABLE too where no lock has all that is needed.
    """
    if not all(cell.ok for cell in run.cells):
        return ExitCode.DAMAGE
    unknown = not run.cells or any(cell.value == "?" for cell in run.cells)
    return ExitCode.UNABLE if unknown or (run.needs and not left(run)) else ExitCode.AS_EXPECTED


def _heading(run: LockSurvey) -> str:
    where = run.environment
    return wrapped(
        f"What each lock does, as seen in {run.directory} ({where.filesystem}), {where.kernel}, {where.python}"
    )


def verdict(run: LockSurvey) -> str:
    """Return one sentence: whether the locks do what they claim of themselves."""
    count = plural(len([lock for lock in run.locks if not lock.trouble]), "lock")
    wrong = [f"{cell.lock} ({cell.property})" for cell in run.cells if not cell.ok]
    unknown = [cell for cell in run.cells if cell.value == "?"]
    said = f"NOT AS CLAIMED: {joined(wrong)}" if wrong else "each does what it claims of itself"
    rest = f"; {plural(len(unknown), 'cell')} inconclusive" if unknown else ""
    return wrapped(f"{count}: {said}{rest}.")


def survey(run: LockSurvey) -> Table[ComparedLock]:
    """Return the table: a row for each lock, a column for each property; people see those that are needed, if any."""
    cells = {(cell.lock, cell.property): cell for cell in run.cells}
    important = ("processes", *run.needs, *COSTS) if run.needs else IMPORTANT
    columns: list[Column[ComparedLock]] = [
        Column("lock", lambda lock: lock.name, {"lock": lambda lock: lock.name}, left=True, key=True)
    ]
    for each in run.properties:
        name, is_cost = each.name, each.name in COSTS
        data = (
            {f"{name.replace('-', '_')}_ns": partial(_cost, cells, name)}
            if is_cost
            else {name: partial(_value, cells, name)}
        )
        columns.append(
            Column(
                "" if run.needs and name not in important else name,
                partial(_text, cells, name),
                data,
                wide=name not in important,
                left=not is_cost,
            )
        )
    columns.append(
        Column("", data={"detection_limit": partial(_limit, cells), "as_claimed": partial(_is_as_claimed, run)})
    )
    return Table(columns, [lock for lock in run.locks if not lock.trouble])


ByName = Mapping[tuple[str, str], LockCell]


def _text(cells: ByName, name: str, lock: ComparedLock) -> str:
    return _cell(cells[lock.name, name])


def _value(cells: ByName, name: str, lock: ComparedLock) -> str:
    return cells[lock.name, name].value


def _cost(cells: ByName, name: str, lock: ComparedLock) -> float | None:
    return cells[lock.name, name].median_ns


def _limit(cells: ByName, lock: ComparedLock) -> float | None:
    return cells[lock.name, "processes"].detection_limit


def _is_as_claimed(run: LockSurvey, lock: ComparedLock) -> bool:
    return all(cell.ok for cell in run.cells if cell.lock == lock.name)


def _cell(cell: LockCell) -> str:
    """Return what was observed, marked where the lock claims otherwise."""
    if cell.value == "measured" and cell.median_ns is not None:
        return duration(cell.median_ns)
    return cell.value if cell.ok else f"!{cell.value}"


def lacking(run: LockSurvey, lock: str) -> list[str]:
    """Return what a lock lacks of all that is needed: the property, and its value where that is not plainly no.

    A lock that does not keep processes out lacks that; what else it has does not matter.
    """
    cells = Cells(run)
    if cells.value(lock, "processes") != "yes":
        return ["processes"]
    values = {name: cells.value(lock, name) for name in run.needs}
    missing = {name: value for name, value in values.items() if value != GOOD.get(name, "yes")}
    return [name if value == "no" else f"{name} ({value or '-'})" for name, value in missing.items()]


GOOD = {"order": "fifo"}
"""The value that a need asks for, where it is not "yes"."""


def left(run: LockSurvey) -> list[str]:
    """Return the locks that have all that is needed."""
    return [lock.name for lock in run.locks if not (lock.trouble or lacking(run, lock.name))]


def _needed(run: LockSurvey) -> str:
    """Name the locks that have all that is needed, and say what each of the others lacks."""
    cells, found = Cells(run), left(run)
    others = [lock.name for lock in run.locks if not lock.trouble and lock.name not in found]
    width = max(map(len, others), default=0)
    lines = [wrapped(joined(lacking(run, name)), f"  {name:{width}}  lacks ") for name in others]
    needs = joined(run.needs)
    if not found:
        return "\n".join([*lines, "", wrapped(f"No lock here has all that is needed ({needs}).")])
    priced = [f"{name} ({_priced(cells, name)})" for name in found]
    verb = "has" if len(found) == 1 else "have"
    return "\n".join([*lines, *[""] * bool(lines), wrapped(f"{joined(priced)} {verb} all that is needed ({needs}).")])


def _priced(cells: Cells, lock: str) -> str:
    costs = {"alone": cells.cost(lock, "pair"), "handed over": cells.cost(lock, "hand-over")}
    return ", ".join(f"{duration(cost)} {how}" for how, cost in costs.items() if cost is not None) or "not measured"


def _strengths(run: LockSurvey) -> str:
    """Say how rare a false grant the races behind each "yes" would have noticed."""
    limits = [(cell.lock, cell.detection_limit) for cell in run.cells if cell.property == "processes"]
    figures = ", ".join(f"{lock} {one_in(limit)}" for lock, limit in limits if limit)
    head = (
        "processes: yes is what one meeting and races showed; a lock that grants falsely would have been noticed, 95 %"
    )
    return wrapped(f"{head}: {figures}.", indent=2) if figures else ""


def _columns(run: LockSurvey, shown: Sequence[str]) -> str:
    """Explain the columns that are shown, and name those that are not."""
    lines = [wrapped(each.how, f"  {each.name:11}") for each in run.properties if each.name in shown]
    signs = (
        "- the question does not arise, or cannot be asked here; ? inconclusive; ! not what the lock claims of itself"
    )
    hidden = [each.name for each in run.properties if not run.needs and each.name not in shown]
    more = [wrapped(f"--wide also shows {joined(hidden)}.", "  ")] if hidden else []
    return "\n".join(["the columns", *lines, wrapped(signs, "  "), *more])


def _choice(run: LockSurvey) -> str:
    lines = [wrapped(line, "  ", indent=4) for line in advice(run)]
    more = (
        "`lab locks --need threads,kill` names the locks that have these properties; `lab locks NAME` shows the calls "
        "behind each cell of a lock."
    )
    return "\n".join(["how to choose", *lines, "", wrapped(more)])


def _missing(run: LockSurvey) -> str:
    """Name the locks that are not available here, and why."""
    lines = [wrapped(each.trouble, "  ", indent=4) for each in run.locks if each.trouble]
    return "\n".join(["not here", *lines]) if lines else ""


def _lock(run: LockSurvey, lock: ComparedLock) -> str:
    """Describe one lock: each property, what was observed, and the calls that show it."""
    hows = {each.name: each.how for each in run.properties}
    return "\n\n".join(
        [
            wrapped(f"{lock.name}: {lock.summary}", indent=2),
            *(_cell_text(cell, hows[cell.property]) for cell in run.cells),
        ]
    )


def _cell_text(cell: LockCell, how: str) -> str:
    lines = [wrapped(how, f"{cell.property:11}{_cell(cell):10}")]
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
        yield wrapped(f"{each.call:{call}}  {each.result}", f"    {each.actor:{actor}}  ", indent=8)


def _why(cell: LockCell) -> str:
    return f": {cell.reason}" if cell.reason else ""


COLOURS = {
    r"(?m)(?<=  )yes(?=  |$)": "green",
    r"(?m)(?<=  )no(?=  |$)": "yellow",
    r"(?m)(?<=  )(!\w+|[?])(?=  |$)": "bold red",
    r"\bNOT AS CLAIMED\b": "bold red",
}
"""These colour the words in the columns, and the verdict."""

REPORT = Report(text_of, complaints, exit_code, COLOURS)
