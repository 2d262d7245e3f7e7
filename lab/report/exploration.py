"""An exploration as text: one row a case, and each failure told step by step."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from lab.results import Exploration, Explored

from .formats import DEFAULT_FORMAT
from .interleaving import columns
from .tables import table
from .words import plural

HEAD = ("scenario", "lock", "workers", "rounds", "runs", "verdict")

SEEN_WHOLE = 16
"""Moves of so many bytes are made by every processor, and were never seen torn within a line of 64."""

BROKEN, UNABLE, INTERRUPTED = 1, 3, 130


def exit_code(run: Exploration) -> int:
    """0 as expected, 1 broken where it was expected to hold, 3 could not be found out, 130 interrupted.

    A case that could not be explored at all has its own.
    """
    if run.interrupted:
        return INTERRUPTED
    verdicts = {case.verdict for case in run.cases if not case.as_expected}
    codes = (
        [BROKEN] * ("broken" in verdicts) + [failed.exit_code for failed in run.failures] + [UNABLE] * bool(verdicts)
    )
    return next(iter(codes), 0)


def heading(run: Exploration) -> str:
    """One line that says in what world this was."""
    reach = f"copies are moves of at most {plural(run.options.line_bytes, 'byte')}, in order"
    if run.options.line_bytes < SEEN_WHOLE:
        reach += f" (hypothetical: every processor moves {SEEN_WHOLE} at once)"
    return f"simulated: each load, store, lock and unlock is a step, in one order for all; {reach}; the lock is a model"


def verdicts(run: Exploration, style: str) -> str:
    """One row a case."""
    return table(HEAD, [_row(case) for case in run.cases], style)


def _row(case: Explored) -> list[str]:
    return [
        case.scenario,
        case.lock,
        str(case.workers),
        str(case.rounds),
        f"{case.schedules:,}",
        _verdict(case),
    ]


def _verdict(case: Explored) -> str:
    """The verdict: in capitals where it was not announced."""
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


def covered(case: Explored) -> str:
    """What the verdict rests on."""
    what = f"{case.scenario} under {case.lock}"
    if case.verdict == "holds":
        return f"{what} holds in {case.covered}, under {case.memory_model}."
    if case.verdict == "unknown":
        return f"{what}: nothing broke in {case.covered}, which is not all; raise --time-limit or lower --rounds."
    broken, run, which = case.broken_schedules, case.schedules, "runs"
    if case.interleavings is not None and case.broken_interleavings is not None:
        broken, run, which = case.broken_interleavings, case.interleavings, "schedules"
    which = "classes of schedules" if case.search == "dpor" else which
    return f"{what}: {broken:,} of {run:,} {which} break; covered were {case.covered}."


def text_of(run: Exploration, style: str) -> str:
    """The whole report; a format that is not for people gets the table and nothing else.

    What broke is told in full where one case was asked for, else by the line that replays it.
    """
    if style != DEFAULT_FORMAT:
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


def _pointers(broken: list[Explored]) -> Iterator[str]:
    """One line a failure, and the line to paste that replays it on the real kernel."""
    for case in broken:
        yield f"{case.scenario} under {case.lock}: {case.headline}"
        yield f"    python -m lab replay {case.token}"
    one = broken[0]
    yield f"Told step by step: python -m lab explore {one.scenario} --lock {one.lock}"


def explanation(case: Explored) -> str:
    """Why a race broke, or that the model has no reason for it."""
    what = f"{case.scenario} under {case.lock}"
    if case.verdict == "broken":
        return f"why {what} broke, the shortest interleaving:\n\n{failure(case)}"
    if case.verdict == "unknown":
        return f"why {what} broke was not found out: nothing broke in {case.covered}."
    return (
        f"why {what} broke: the model has no reason for it. The scenario holds in {case.covered}, under a lock that "
        "excludes; so look at the lock, the mapping or the filesystem."
    )


def failure(case: Explored) -> str:
    """One failure: the headline, the steps, the reasons, how it was found, and the line that replays it."""
    lines = [case.headline, "", columns(case.steps), ""]
    lines += ["because", ";\n".join(f"  {reason}" for reason in case.reasons) + ".", ""]
    lines += [f"found: {_how(case)}", f"replay: python -m lab replay {case.token}"]
    if case.why:
        lines += ["", f"{case.scenario}: {case.why}"]
    return "\n".join(lines)


def _how(case: Explored) -> str:
    said = [plural(case.preemptions or 0, "preemption"), f"after {plural(case.schedules, 'run')}"]
    if case.shrunk and (case.shrunk.workers, case.shrunk.rounds) != (case.workers, case.rounds):
        before = f"{case.workers} workers x {plural(case.rounds, 'round')} ({case.shrunk.steps_before} steps)"
        after = f"{case.shrunk.workers} x {case.shrunk.rounds} ({len(case.steps)} steps)"
        said.append(f"shrunk from {before} to {after} in {plural(case.shrunk.schedules, 'run')} more")
    return ", ".join(said)


def _schedules(case: Explored) -> str:
    if not case.schedules_shown:
        return ""
    rows = [[str(number), text] for number, text in enumerate(case.schedules_shown, 1)]
    head = ["", f"schedules of {case.scenario} under {case.lock} (worker x steps)"]
    return tabulate(rows, headers=head, tablefmt="plain", disable_numparse=True, colalign=("right", "left"))


def complaints(run: Exploration) -> Iterator[str]:
    """For stderr: what was not expected."""
    yield from (f"{failed.case}: {failed.reason}" for failed in run.failures)
    for case in run.cases:
        if not case.as_expected and case.verdict == "broken":
            yield f"{case.scenario} under {case.lock}: broken where it should hold: {case.headline}"
        elif not (case.as_expected or run.interrupted):
            what = f"{case.scenario} under {case.lock}"
            yield f"{what}: not found out within the limit; raise --time-limit, or lower --rounds"


def interruption(run: Exploration) -> str:
    """How far an exploration came that was interrupted; empty where it was not."""
    covered = "; ".join(case.covered for case in run.cases[-1:]) or "nothing"
    return f"interrupted; covered of the last case: {covered}" if run.interrupted else ""
