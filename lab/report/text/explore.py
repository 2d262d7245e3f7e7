"""Write explorations as text: one row for each case, and each failure step by step."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import unquote

from lab.analysis.statistics import joined
from lab.errors import ExitCode
from lab.output import lab_command
from lab.records import Crashes, Exploration, ExploredCase
from lab.report.documents import Report
from lab.report.format import DATA_FORMATS, PLAIN, Column, Style, Table, plural, wrapped

from .calls import called, no_order
from .schedule import columns, legend

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
    Column("programs", lambda case: f"{case.programs.count:,}" if case.programs else "", {
        "programs": lambda case: case.programs.count if case.programs else None,
        "operations": lambda case: case.programs.operations if case.programs else None,
    }),
    Column("states", lambda case: "" if case.states is None else f"{case.states:,}", {}),
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
OF_CALLS = ("programs", "states")
"""The columns that people see only of programs of calls."""
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
    shapes = {_shape(case) for case in run.cases}
    return wrapped(
        f"{shapes.pop() if len(shapes) == 1 else ''}simulated: each load, store, lock and unlock is a step, in one "
        f"order for all; {reach}; the lock is a model{_what_fails(run)}"
    )


def _shape(case: ExploredCase) -> str:
    if case.programs:
        by = " or ".join(map(str, case.programs.workers))
        return f"programs of up to {plural(case.programs.operations, 'call')} by {by} workers, "
    return f"{plural(case.workers, 'worker')} x {plural(case.rounds, 'round')}, "


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
    titles = [column.title for column in COLUMNS if column.title not in ("crash", "points", "files", *OF_CALLS)]
    if all(case.programs for case in run.cases):
        titles = ["scenario", "lock", "verdict", *OF_CALLS]
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
        if case.crashes and case.crashes.cause:
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
        return f"{what}: nothing broke in {case.covered}, which is not all; raise --time-limit or lower {_size(case)}."
    broken, run, which = case.broken_schedules, case.schedules, "runs"
    if case.interleavings is not None and case.broken_interleavings is not None:
        broken, run, which = case.broken_interleavings, case.interleavings, "schedules"
    which = "classes of schedules" if case.search == "dpor" else which
    return f"{what}: {broken:,} of {run:,} {which} break; covered were {case.covered}."


def _size(case: ExploredCase) -> str:
    """Return the option that says how large the case is."""
    return "--operations" if case.programs else "--rounds"


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
    lines = [wrapped(case.headline, indent=2), ""]
    if case.programs and case.programs.calls:
        lines += [called(case.programs), "", no_order(case.programs), ""]
    lines += [columns(case.steps, last), "", legend(case.steps), ""]
    lines += ["because", *reasons, ""] if reasons else []
    lines += [wrapped(_how(case), "found: ", indent=2)]
    lines += [f"replay: {lab_command()} replay {case.token}"] if case.token else []
    if case.why:
        lines += ["", wrapped(f"{case.scenario}: {case.why}", indent=2)]
    return "\n".join(lines)


def _how(case: ExploredCase) -> str:
    if case.crashes:
        return _how_crashed(case, case.crashes)
    if case.programs:
        count = case.programs.count
        before = f"{plural(count, 'program')} before it hold{'s' * (count == 1)}" if count else "the first"
        return f"the smallest program that breaks ({before}), {plural(case.preemptions or 0, 'preemption')}"
    parts = [plural(case.preemptions or 0, "preemption"), f"after {plural(case.schedules, 'run')}"]
    if case.shrunk and (case.shrunk.workers, case.shrunk.rounds) != (case.workers, case.rounds):
        before = f"{case.workers} workers x {plural(case.rounds, 'round')} ({case.shrunk.steps_before} steps)"
        after = f"{case.shrunk.workers} x {case.shrunk.rounds} ({len(case.steps)} steps)"
        parts.append(f"shrunk from {before} to {after} in {plural(case.shrunk.schedules, 'run')} more")
    return ", ".join(parts)


def _how_crashed(case: ExploredCase, crashes: Crashes) -> str:
    """Say what it takes: how many crashes, of which kind, of how many workers."""
    shape = f"{plural(case.shrunk.workers, 'worker')} x {plural(case.shrunk.rounds, 'round')}" if case.shrunk else ""
    if not crashes.needed and crashes.cause == "without a crash":
        return f"breaks without a crash: {shape}"
    what = crashes.cause or case.damage[0].kind
    return f"{what}, with {crashes.needed} crash{'es' * (crashes.needed != 1)} ({crashes.kind}) of {shape}"


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
            yield f"{what}: inconclusive within the limit; raise --time-limit, or lower {_size(case)}"
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
