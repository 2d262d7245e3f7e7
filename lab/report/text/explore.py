"""Write explorations and schedules as text.

An exploration has one row for each case, and each failure step by step. A schedule is a table: a column for each worker
and one for the memory, a row for each step, the switches marked.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from urllib.parse import unquote

from lab.analysis.statistics import joined
from lab.errors import ExitCode
from lab.output import lab_command
from lab.records import Crashes, Exploration, ExploredCase, Step
from lab.report.documents import Report
from lab.report.format import DATA_FORMATS, PLAIN, Column, Style, Table, plural, wrapped

SHOWN_BYTES = 4

NOTATION = (
    ("x -> 0", "loads 0 from x"),
    ("x = 1", "stores 1 to x"),
    ("lock x", "acquires the lock on x, (shared) with other readers"),
    ("unlock x", "releases it"),
    ("waits", "for a lock that another worker holds"),
    ("switch >", "another worker goes on, though the last one could"),
    (">", "another worker goes on, as the last one cannot"),
)
NOTATION_OF_CRASHES = (
    ("sync x", "waits until x is on the disk, with all on its page"),
    ("KILLED", "the worker ends; its stores stay, its locks are free"),
    ("POWER FAILS", "all end; what is old on the disk is in the last column"),
)
TURNS = {"preempted": "switch >", "free": ">", "same": ""}
"""The notation of a schedule; the page has the same in all its sections, for a field x."""


def columns(steps: Sequence[Step], last: int | None = None) -> str:
    """Return the steps of all workers side by side; adjoining pieces of one long access are one row.

    Worker `last`, if given, is the one that comes after a crash.
    """
    workers = sorted({step.worker for step in steps if step.worker >= 0})
    titles = ["the next one" if each == last else f"worker {each}" for each in workers]
    places: list[Column[list[str]]] = [
        Column("step", itemgetter(0), key=True),
        Column("", itemgetter(1), left=True, key=True),
    ]
    for at, title in enumerate([*titles, "memory"], 2):
        places.append(Column(title, itemgetter(at), left=True, fold=10))
    rows, alive = [], [each for each in workers if each != last]
    for group in groups(steps):
        rows.append(_step_row(group, workers, alive))
        alive = [last] if last is not None and group[0][1].operation == "power" else alive
    return Table(places, rows, padding=2).render()


CRASHES = {"killed": "KILLED", "power": "POWER FAILS"}


def legend(steps: Sequence[Step]) -> str:
    """Return what the signs of these steps mean, those that occur."""
    signs = {f"{step.operation} x" for step in steps} | {TURNS[step.turn] for step in steps[1:]}
    signs |= {"x -> 0" for step in steps if step.operation == "load"}
    signs |= {"x = 1" for step in steps if step.operation == "store"}
    signs |= {"waits" for step in steps if step.value in ("waits", "gives up")}
    signs |= {CRASHES[step.operation] for step in steps if step.operation in CRASHES}
    notation = (*NOTATION, *NOTATION_OF_CRASHES)
    return wrapped("; ".join(f"{sign}: {meaning}" for sign, meaning in notation if sign in signs))


def groups(steps: Sequence[Step]) -> Iterator[list[tuple[int, Step]]]:
    """Yield steps with their numbers from 1; pieces of one access that were not interrupted form one group."""
    group: list[tuple[int, Step]] = []
    for number, step in enumerate(steps, 1):
        if group and not _goes_on(group[-1][1], step):
            yield group
            group = []
        group.append((number, step))
    if group:
        yield group


def _goes_on(one: Step, following: Step) -> bool:
    return (
        following.turn == "same"
        and one.operation == following.operation in ("load", "store")
        and one.start <= following.start + following.length
        and following.start <= one.start + one.length
        and (isinstance(one.value, str) or isinstance(following.value, str))
        and one.round == following.round
    )


def _step_row(group: list[tuple[int, Step]], workers: Sequence[int], alive: Sequence[int]) -> list[str]:
    """Return the row of a group; a power failure ends those that are `alive`."""
    numbers = [number for number, _ in group]
    steps = [step for _, step in group]
    first = steps[0]
    number = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
    mark = TURNS[first.turn if numbers[0] > 1 and first.operation not in CRASHES else "same"]
    if first.operation == "power":
        ends = [CRASHES["power"] if each in alive else "" for each in workers]
        return [number, "", *ends, f"on the disk: {first.value}"]
    cells = [_cell(steps) if each == first.worker else "" for each in workers]
    return [number, mark, *cells, _memory(steps)]


def _cell(steps: Sequence[Step]) -> str:
    """Return the text of a step: `value -> 0`, `value = 1`, `lock value`, `unlock value`."""
    first = steps[0]
    name = _name(steps)
    if first.operation == "killed":
        return CRASHES["killed"]
    if first.operation == "load":
        return f"{name} -> {_value(steps)}"
    if first.operation == "store":
        return f"{name} = {_value(steps)}"
    suffixes = {
        "exclusive": "",
        "shared": " (shared)",
        "EDEADLK": " REFUSED (EDEADLK)",
        "waits": " WAITS",
        "gives up": " WAITS (shared lost)",
        None: "",
    }
    return f"{first.operation} {name}{suffixes.get(first.value if isinstance(first.value, str) else None, '')}"


def _bytes(step: Step) -> bytes:
    """Return the bytes that the step loaded or stored; one byte is recorded as a number."""
    return bytes.fromhex(step.value) if isinstance(step.value, str) else bytes([int(step.value or 0) % 256])


def _memory(steps: Sequence[Step]) -> str:
    """Return what the memory holds after a store; empty where it did not change."""
    return f"{_name(steps)} {_value(steps)}" if steps[0].operation == "store" else ""


def _name(steps: Sequence[Step]) -> str:
    """Return the name of the bytes: `record[64:128]`; of several pieces from the first to the last."""
    if len(steps) == 1:
        return steps[0].field
    first = min(steps, key=lambda step: step.start).field
    last = max(steps, key=lambda step: step.start + step.length).field
    head, _, low = first.rpartition("[")
    tail, _, high = last.rpartition("[")
    if head and head == tail:
        end = high.removesuffix("]").partition(":")
        return f"{head}[{low.removesuffix(']').partition(':')[0]}:{end[2] or int(end[0]) + 1}]"
    return f"{first} to {last}"


def _value(steps: Sequence[Step]) -> str:
    """Return numbers unchanged; of bytes the one value that they all have, or the first few."""
    value = steps[0].value
    if len(steps) == 1 and not isinstance(value, str):
        return f"{value}"
    start = min(step.start for step in steps)
    data = bytearray(max(step.start + step.length for step in steps) - start)
    for step in steps:
        data[step.start - start : step.start - start + step.length] = _bytes(step)
    if data.count(data[0]) == len(data):
        return f"{len(data):,} x {data[0]:02x}"
    more = f".. ({len(data):,} B)" if len(data) > SHOWN_BYTES else ""
    return data[:SHOWN_BYTES].hex(" ") + more


COLUMNS: list[Column[ExploredCase]] = [
    Column("scenario", lambda case: case.scenario, {"scenario": lambda case: case.scenario}, left=True, key=True),
    Column("lock", lambda case: case.lock, {"lock": lambda case: case.lock}, left=True, key=True),
    Column("verdict", lambda case: _verdict(case), {
        "verdict": lambda case: case.verdict,
        "expected": lambda case: case.expected,
        "as_expected": lambda case: case.as_expected,
        "corruption": lambda case: case.damage[0].kind if case.damage else None,
    }, left=True, fold=24),
    Column("runs", lambda case: f"{case.schedules:,}", {
        "runs": lambda case: case.schedules,
        "broken_runs": lambda case: case.broken_schedules,
        "exhausted": lambda case: case.exhausted,
        "interleavings": lambda case: case.interleavings,
        "broken_interleavings": lambda case: case.broken_interleavings,
        "states": lambda case: case.states,
        "ends": lambda case: case.ends,
    }),
    Column("preemptions", lambda case: "-" if case.preemptions is None else f"{case.preemptions}", {
        "preemptions": lambda case: case.preemptions,
    }, wide=True),
    Column("workers", lambda case: f"{case.workers}", {"workers": lambda case: case.workers}),
    Column("rounds", lambda case: f"{case.rounds}", {"rounds": lambda case: case.rounds}),
    Column("search", lambda case: case.search, {"search": lambda case: case.search}, left=True, wide=True),
    Column("runs/s", lambda case: f"{case.schedules_per_s:,.0f}", {
        "runs_per_s": lambda case: case.schedules_per_s,
        "wall_s": lambda case: case.wall_s,
        "token": lambda case: case.token,
    }, wide=True),
    Column("crash", lambda case: case.crashes.kind if case.crashes else "", {
        "crash": lambda case: case.crashes.kind if case.crashes else None,
    }, left=True),
    Column("points", lambda case: f"{case.crashes.points:,}" if case.crashes else "", {
        "crash_points": lambda case: case.crashes.points if case.crashes else None,
    }),
    Column("files", lambda case: f"{case.crashes.images:,}" if case.crashes else "", {
        "unit_bytes": lambda case: case.crashes.unit_bytes if case.crashes else None,
        "cause": lambda case: case.crashes.cause if case.crashes else None,
        "crashes_needed": lambda case: case.crashes.needed if case.crashes else None,
        "images": lambda case: case.crashes.images if case.crashes else None,
        "recoveries": lambda case: case.crashes.recoveries if case.crashes else None,
    }),
]  # fmt: skip
"""The columns of the table, a row for each case; people read workers and rounds in the heading where all are alike."""

SHAPE = ("workers", "rounds")
OF_CRASHES = ("scenario", "lock", "crash", "verdict", "points", "files", "workers", "rounds")
"""The columns that people see of crashes, in their order."""

SEEN_WHOLE = 16
"""Every processor moves so many bytes at once; such moves were never seen torn within a line of 64."""


def exit_code(run: Exploration) -> ExitCode:
    """Return DAMAGE where a case broke that was expected to hold, UNABLE where one is inconclusive.

    A case that could not be explored at all has a code of its own.
    """
    unexpected = [case.verdict for case in run.cases if not case.as_expected]
    codes = [ExitCode.DAMAGE if verdict == "broken" else ExitCode.UNABLE for verdict in unexpected]
    failed = [failure.exit_code for failure in run.failures]
    return ExitCode.first(*codes, *failed, *[ExitCode.INTERRUPTED] * run.interrupted)


def heading(run: Exploration) -> str:
    """Return a sentence with the conditions of the exploration."""
    reach = f"copies are moves of at most {plural(run.options.line_bytes, 'byte')}, in order"
    if run.options.line_bytes < SEEN_WHOLE:
        reach += f" (hypothetical: every processor moves {SEEN_WHOLE} at once)"
    shapes = {f"{plural(case.workers, 'worker')} x {plural(case.rounds, 'round')}, " for case in run.cases}
    return wrapped(
        f"{shapes.pop() if len(shapes) == 1 else ''}simulated: each load, store, lock and unlock is a step, in one "
        f"order for all; {reach}; the lock is a model{_what_fails(run)}"
    )


def _what_fails(run: Exploration) -> str:
    """Say what a crash leaves in the model."""
    told = {
        "; a killed worker's stores stay": "kill" in run.options.crash,
        f"; after a power failure each {run.options.unit} is as at some moment since its last sync": "power"
        in run.options.crash,
    }
    return "".join(text for text, holds in told.items() if holds)


def verdicts(run: Exploration) -> Table[ExploredCase]:
    """Return the table: one row for each case."""
    same = len({(case.workers, case.rounds) for case in run.cases}) == 1
    titles = [column.title for column in COLUMNS if column.title not in ("crash", "points", "files")]
    if any(case.crashes for case in run.cases):
        titles = list(OF_CRASHES)
    shown = {column.title: column for column in COLUMNS}
    columns = [replace(shown[title], title="") if same and title in SHAPE else shown[title] for title in titles]
    return Table(columns, run.cases)


def _verdict(case: ExploredCase) -> str:
    """Return the verdict, and in words whether it was expected that the case breaks."""
    if case.verdict == "broken":
        word = f"broken{' (expected)' * case.as_expected}"
        kinds = [each.kind for each in case.damage]
        more = f" +{len(kinds) - 1}" if len(kinds) > 1 else ""
        if case.crashes:
            return f"{word}: {case.crashes.cause}"
        return f"{word}: {kinds[0] if kinds else 'interrupted'}{more}"
    if case.verdict == "unknown":
        return "inconclusive"
    if case.crashes:
        return "holds"
    return f"holds{' in every interleaving' if case.exhausted else ''}"


def conclusion(run: Exploration) -> str:
    """Return one sentence on all cases: how many hold, how many break, and of which that was not expected."""
    crashes = any(case.crashes for case in run.cases)
    broken = [case for case in run.cases if case.verdict == "broken"]
    unexpected = [f"{case.scenario} under {case.lock}" for case in broken if not case.as_expected]
    holding = [case for case in run.cases if case.verdict == "holds"]
    unknown = sum(case.verdict == "unknown" for case in run.cases)
    where = _of_them(sum(case.exhausted for case in holding), len(holding), crashes=crashes)
    parts = {
        f"{_count(unexpected)} and should hold: {joined(unexpected)}": unexpected,
        f"{_count(broken)}, as expected": len(broken) > len(unexpected) == 0,
        f"{len(broken) - len(unexpected)} more as expected": len(broken) > len(unexpected) > 0,
        f"{len(holding)} {'holds' if len(holding) == 1 else 'hold'}, {where}": holding,
        f"{unknown} inconclusive": unknown,
    }
    return f"{plural(len(run.cases), 'case')}: {'; '.join(text for text, holds in parts.items() if holds)}."


def _count(broken: Sequence[object]) -> str:
    return f"{len(broken)} {'breaks' if len(broken) == 1 else 'break'}"


def _of_them(every: int, holding: int, *, crashes: bool) -> str:
    """Say how many of those that hold were explored to the end."""
    where = "at every crash point" if crashes else "in every interleaving"
    if every == holding:
        return where
    return f"{every} of them {where}" if every else "as far as it was explored"


def covered(case: ExploredCase) -> str:
    """Return what the verdict rests on."""
    what = f"{case.scenario} under {case.lock}"
    if case.verdict == "holds":
        with_it = ", its invariant whenever no worker is inside" if case.invariant else ""
        return f"{what} holds in {case.covered}{with_it}, under {case.memory_model}."
    if case.verdict == "unknown" and case.crashes:
        return f"{what}: nothing broke in {case.covered}, not all; raise --time-limit, lower --rounds or --crashes."
    if case.verdict == "unknown":
        return f"{what}: nothing broke in {case.covered}, which is not all; raise --time-limit or lower --rounds."
    broken, run, which = case.broken_schedules, case.schedules, "runs"
    if case.interleavings is not None and case.broken_interleavings is not None:
        broken, run, which = case.broken_interleavings, case.interleavings, "schedules"
    which = "classes of schedules" if case.search == "dpor" else which
    return f"{what}: {broken:,} of {run:,} {which} break; covered were {case.covered}."


def text_of(run: Exploration, style: Style = PLAIN) -> str:
    """Return the whole report; a format that is not for people gets only the table.

    A failure is described in full where one case was asked for, else by the line that replays it.
    """
    if style.format in DATA_FORMATS:  # programs find the same columns in all of them
        return Table(COLUMNS, run.cases).render(style)
    if not style.is_for_people:
        return verdicts(run).render(style)
    parts = [heading(run), verdicts(run).render(style)]
    broken = [case for case in run.cases if case.verdict == "broken" and case.steps]
    if len(run.cases) == 1 or len(broken) == 1:
        parts += [failure(case) for case in broken]
    elif broken:
        parts.append("\n".join(_pointers(broken)))
    parts.append("\n".join(wrapped(covered(case), indent=2) for case in run.cases if _is_covered(case)))
    parts += [shown for case in run.cases if (shown := _schedules(case))]
    if len(run.cases) > 1:
        parts.append(wrapped(conclusion(run)))
    return "\n\n".join(part for part in parts if part)


def _is_covered(case: ExploredCase) -> bool:
    """Return True where it says something what was covered: a search ends with the first failure as a rule."""
    return case.verdict != "broken" or case.exhausted


def _pointers(broken: list[ExploredCase]) -> Iterator[str]:
    """Yield one line for each failure, and the command line that replays it on the real kernel."""
    for case in broken:
        yield wrapped(f"{case.scenario} under {case.lock}: {case.headline}", indent=2)
        if case.token:
            yield f"    {lab_command()} replay {case.token}"
    one = broken[0]
    crash = f" --crash {one.crashes.kind}" if one.crashes else ""
    yield f"Step by step: {lab_command()} explore {_named(one)} --lock {one.lock}{crash}"


def _named(case: ExploredCase) -> str:
    """Return what finds the scenario: its token names the file where it has one of its own."""
    return shlex.quote(unquote(case.token.split(",")[1])) if case.token else case.scenario


def explanation(case: ExploredCase, *, raced: bool = True) -> str:
    """Return why a race broke, or that the model has no reason for it; not `raced`, why only exploring breaks it."""
    what = f"{case.scenario} under {case.lock}"
    if case.verdict == "broken":
        why = wrapped(f"why {what} {'broke' if raced else 'breaks'}, the shortest interleaving:")
        return f"{why}\n\n{failure(case)}"
    if case.verdict == "unknown":
        return wrapped(f"the search for why {what} broke is inconclusive: nothing broke in {case.covered}.")
    return wrapped(
        f"why {what} broke: the model has no reason for it. The scenario holds in {case.covered}, under a lock that "
        "excludes; so look at the lock, the mapping or the filesystem."
    )


def failure(case: ExploredCase) -> str:
    """Return one failure: the headline, the steps, the reasons, how it was found, and the line that replays it."""
    ends = [";"] * (len(case.reasons) - 1) + ["."]
    reasons = [wrapped(reason + end, "  ", indent=4) for reason, end in zip(case.reasons, ends, strict=False)]
    last = case.shrunk.workers if case.crashes and case.shrunk else None
    lines = [wrapped(case.headline, indent=2), "", columns(case.steps, last), "", legend(case.steps), ""]
    lines += ["because", *reasons, ""] if reasons else []
    lines += [wrapped(_how(case), "found: ", indent=2)]
    lines += [f"replay: {lab_command()} replay {case.token}"] if case.token else []
    if case.why:
        lines += ["", wrapped(f"{case.scenario}: {case.why}", indent=2)]
    return "\n".join(lines)


def _how(case: ExploredCase) -> str:
    if case.crashes:
        return _how_crashed(case, case.crashes)
    parts = [plural(case.preemptions or 0, "preemption"), f"after {plural(case.schedules, 'run')}"]
    if case.shrunk and (case.shrunk.workers, case.shrunk.rounds) != (case.workers, case.rounds):
        before = f"{case.workers} workers x {plural(case.rounds, 'round')} ({case.shrunk.steps_before} steps)"
        after = f"{case.shrunk.workers} x {case.shrunk.rounds} ({len(case.steps)} steps)"
        parts.append(f"shrunk from {before} to {after} in {plural(case.shrunk.schedules, 'run')} more")
    return ", ".join(parts)


def _how_crashed(case: ExploredCase, crashes: Crashes) -> str:
    """Say what it takes: how many crashes, of which kind, of how many workers."""
    shape = f"{plural(case.shrunk.workers, 'worker')} x {plural(case.shrunk.rounds, 'round')}" if case.shrunk else ""
    return f"{crashes.cause}, with {crashes.needed} crash{'es' * (crashes.needed != 1)} ({crashes.kind}) of {shape}"


def _schedules(case: ExploredCase) -> str:
    if not case.schedules_shown:
        return ""
    head = wrapped(f"schedules of {case.scenario} under {case.lock} (worker x steps)", indent=2)
    lines = (wrapped(text, f"{number:4}  ") for number, text in enumerate(case.schedules_shown, 1))
    return "\n".join([head, *lines])


def complaints(run: Exploration) -> Iterator[str]:
    """Yield the lines for stderr: results that were not expected."""
    yield from (f"{failed.case}: {failed.reason}" for failed in run.failures)
    for case in run.cases:
        if not case.as_expected and case.verdict == "broken":
            yield f"{case.scenario} under {case.lock}: broken where it should hold: {case.headline}"
        elif not (case.as_expected or run.interrupted):
            what = f"{case.scenario} under {case.lock}"
            yield f"{what}: inconclusive within the limit; raise --time-limit, or lower --rounds"
    if run.interrupted:
        reached = "; ".join(case.covered for case in run.cases[-1:]) or "nothing"
        yield f"interrupted; covered of the last case: {reached}"


COLOURS = {
    r"(?<=  )holds\b": "green",
    r"(?<=  )broken \(expected\)": "yellow",
    r"(?<=  )broken\b(?! \()": "bold red",
    r"(?<=  )inconclusive\b": "bold red",
    r"switch >": "bold yellow",
    r"\b(REFUSED|WAITS)\b": "bold red",
}
"""These colour the verdicts, which stand in a column, and the switches that break a case."""

REPORT = Report(text_of, complaints, exit_code, COLOURS)
