"""Write explorations and schedules as text.

An exploration has one row for each case, and each failure step by step. A schedule is a table: a column for each worker
and one for the memory, a row for each step, the switches marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.errors import ExitCode
from lab.output import lab_command
from lab.records import Exploration, ExploredCase, Step
from lab.report.documents import Report
from lab.report.format import PLAIN, Style, grid, plural, table, wrapped

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
TURNS = {"preempted": "switch >", "free": ">", "same": ""}
"""The notation of a schedule; the page has the same in all its sections, for a field x."""


def columns(steps: Sequence[Step]) -> str:
    """Return the steps of all workers side by side; adjoining pieces of one long access are one row."""
    workers = sorted({step.worker for step in steps})
    rows = [_step_row(group, workers) for group in groups(steps)]
    head = ["step", "", *(f"worker {each}" for each in workers), "memory"]
    align = ["right", "left", *("left" for _ in workers), "left"]
    return grid(head, rows, align, padding=2)


def legend(steps: Sequence[Step]) -> str:
    """Return what the signs of these steps mean, those that occur."""
    signs = {f"{step.operation} x" for step in steps} | {TURNS[step.turn] for step in steps[1:]}
    signs |= {"x -> 0" for step in steps if step.operation == "load"}
    signs |= {"x = 1" for step in steps if step.operation == "store"}
    signs |= {"waits" for step in steps if step.value in ("waits", "gives up")}
    return wrapped("; ".join(f"{sign}: {meaning}" for sign, meaning in NOTATION if sign in signs))


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


def _step_row(group: list[tuple[int, Step]], workers: Sequence[int]) -> list[str]:
    numbers = [number for number, _ in group]
    steps = [step for _, step in group]
    first = steps[0]
    number = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
    mark = TURNS[first.turn if numbers[0] > 1 else "same"]
    cells = [_cell(steps) if each == first.worker else "" for each in workers]
    return [number, mark, *cells, _memory(steps)]


def _cell(steps: Sequence[Step]) -> str:
    """Return the text of a step: `value -> 0`, `value = 1`, `lock value`, `unlock value`."""
    first = steps[0]
    name = _name(steps)
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


HEAD = ("scenario", "lock", "workers", "rounds", "runs", "verdict")

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
    """Return one line with the conditions of the exploration."""
    reach = f"copies are moves of at most {plural(run.options.line_bytes, 'byte')}, in order"
    if run.options.line_bytes < SEEN_WHOLE:
        reach += f" (hypothetical: every processor moves {SEEN_WHOLE} at once)"
    return f"simulated: each load, store, lock and unlock is a step, in one order for all; {reach}; the lock is a model"


def verdicts(run: Exploration, style: Style = PLAIN) -> str:
    """Return the table: one row for each case."""
    return table(HEAD, [_row(case) for case in run.cases], style)


def _row(case: ExploredCase) -> list[str]:
    return [
        case.scenario,
        case.lock,
        str(case.workers),
        str(case.rounds),
        f"{case.schedules:,}",
        _verdict(case),
    ]


def _verdict(case: ExploredCase) -> str:
    """Return the verdict, in capitals where it was not expected."""
    if case.verdict == "broken":
        word = "broken" if case.as_expected else "BROKEN"
        often = f" in {case.broken_schedules:,} of them," if case.exhausted and case.states is None else ""
        count = "" if case.preemptions is None else f" in {plural(case.preemptions, 'preemption')}"
        kinds = [each.kind for each in case.damage]
        more = f" +{len(kinds) - 1}" if len(kinds) > 1 else ""
        return f"{word}{often}{count}: {kinds[0] if kinds else 'interrupted'}{more}"
    if case.verdict == "unknown":
        return "UNKNOWN"
    return f"holds{', exhausted' if case.exhausted else ''}"


def covered(case: ExploredCase) -> str:
    """Return what the verdict rests on."""
    what = f"{case.scenario} under {case.lock}"
    if case.verdict == "holds":
        with_it = ", its invariant whenever no worker is inside" if case.invariant else ""
        return f"{what} holds in {case.covered}{with_it}, under {case.memory_model}."
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
    if not style.is_for_people:
        return verdicts(run, style)
    parts = [heading(run), verdicts(run, style)]
    broken = [case for case in run.cases if case.verdict == "broken" and case.steps]
    if len(run.cases) == 1 or len(broken) == 1:
        parts += [failure(case) for case in broken]
    elif broken:
        parts.append("\n".join(_pointers(broken)))
    parts.append("\n".join(covered(case) for case in run.cases if case.verdict != "broken" or case.exhausted))
    parts += [shown for case in run.cases if (shown := _schedules(case))]
    return "\n\n".join(part for part in parts if part)


def _pointers(broken: list[ExploredCase]) -> Iterator[str]:
    """Yield one line for each failure, and the command line that replays it on the real kernel."""
    for case in broken:
        yield f"{case.scenario} under {case.lock}: {case.headline}"
        yield f"    {lab_command()} replay {case.token}"
    one = broken[0]
    yield f"Step by step: {lab_command()} explore {one.scenario} --lock {one.lock}"


def explanation(case: ExploredCase, *, raced: bool = True) -> str:
    """Return why a race broke, or that the model has no reason for it; not `raced`, why only exploring breaks it."""
    what = f"{case.scenario} under {case.lock}"
    if case.verdict == "broken":
        return f"why {what} {'broke' if raced else 'breaks'}, the shortest interleaving:\n\n{failure(case)}"
    if case.verdict == "unknown":
        return f"the search for why {what} broke is inconclusive: nothing broke in {case.covered}."
    return (
        f"why {what} broke: the model has no reason for it. The scenario holds in {case.covered}, under a lock that "
        "excludes; so look at the lock, the mapping or the filesystem."
    )


def failure(case: ExploredCase) -> str:
    """Return one failure: the headline, the steps, the reasons, how it was found, and the line that replays it."""
    lines = [case.headline, "", columns(case.steps), "", legend(case.steps), ""]
    lines += ["because", ";\n".join(f"  {reason}" for reason in case.reasons) + ".", ""]
    lines += [f"found: {_how(case)}", f"replay: {lab_command()} replay {case.token}"]
    if case.why:
        lines += ["", f"{case.scenario}: {case.why}"]
    return "\n".join(lines)


def _how(case: ExploredCase) -> str:
    parts = [plural(case.preemptions or 0, "preemption"), f"after {plural(case.schedules, 'run')}"]
    if case.shrunk and (case.shrunk.workers, case.shrunk.rounds) != (case.workers, case.rounds):
        before = f"{case.workers} workers x {plural(case.rounds, 'round')} ({case.shrunk.steps_before} steps)"
        after = f"{case.shrunk.workers} x {case.shrunk.rounds} ({len(case.steps)} steps)"
        parts.append(f"shrunk from {before} to {after} in {plural(case.shrunk.schedules, 'run')} more")
    return ", ".join(parts)


def _schedules(case: ExploredCase) -> str:
    if not case.schedules_shown:
        return ""
    rows = [[str(number), text] for number, text in enumerate(case.schedules_shown, 1)]
    head = ["", f"schedules of {case.scenario} under {case.lock} (worker x steps)"]
    return grid(head, rows, ("right", "left"), "plain", padding=2)


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


REPORT = Report(text_of, complaints, exit_code)
