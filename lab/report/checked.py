"""A check as text: the verdict a promise, advice, what failed and how, the soak, and a conclusion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lab.check.promises import EXCLUSION, asked_for
from lab.check.verdict.judge import exit_code as code_of
from lab.check.verdict.strength import WOULD_SHOW
from lab.results import Check, Promise

from .evidence import failed_rules, random_differences, soaked, stuck, unpromised
from .formats import DEFAULT_FORMAT
from .words import plural, side_by_side, wrapped

INTERRUPTED = 130
WORDS = {"safe": "safe", "unsafe": "UNSAFE", "unsupported": "unsupported", "unknown": "unknown"}
SHOWN = 4
"""Pieces of evidence that stand below a promise."""


def exit_code(run: Check) -> int:
    """0 safe for what was asked, 1 unsafe, 3 not found out or no such lock, 130 interrupted."""
    return INTERRUPTED if run.interrupted else code_of(asked_for(run.options.only, len(run.directories)), run.promises)


def text_of(run: Check, style: str = DEFAULT_FORMAT) -> str:
    """The whole report."""
    parts = [
        heading(run),
        early(run),
        "\n".join([*promise_lines(run), *_power(run)]),
        "\n".join(_advice(run)),
        failed_rules(run),
        random_differences(run),
        races(run),
        unpromised(run),
        left_behind(run),
        conclusion(run),
    ]
    return "\n\n".join(part for part in parts if part)


def heading(run: Check) -> str:
    """Where: directories with their filesystems, the kernel; and how."""
    places = ", ".join(f"{mount.directory} ({mount.filesystem})" for mount in run.mounts) or ", ".join(run.directories)
    asked = run.options
    how = f"{plural(asked.workers, 'worker')}, seed {asked.seed}, {run.wall_s:.1f} s"
    strength = f"; to detect faults of {asked.detects:g}" if asked.detects is not None else ""
    only = f"; only {', '.join(asked.only)}" if asked.only else ""
    cut = "INTERRUPTED" if run.interrupted else "ENDED EARLY" if run.ended_early else ""
    ended = f"; {cut}: the rest is missing" if cut else ""
    return wrapped(f"{places}, {run.environment.kernel}; {how}{strength}{only}{ended}")


def early(run: Check) -> str:
    """Why it ended before its end, where nobody interrupted it."""
    if not run.ended_early:
        return ""
    advice = "; look whether its server lives, or unmount it by force (umount -f)" if run.hang else ""
    return wrapped(f"{run.ended_early}. What was found before stands below{advice}.", "ENDED EARLY: ", indent=2)


def promise_lines(run: Check) -> Iterator[str]:
    """The verdicts, aligned; below each that is not safe what speaks against it."""
    for promise in run.promises:
        yield side_by_side((promise.title, 31), (WORDS[promise.verdict], 11), (promise.strength, 54))
        yield from _evidence(promise, 4)


def _power(run: Check) -> Iterator[str]:
    if any(WOULD_SHOW in promise.strength for promise in run.promises):
        yield wrapped(f"({WOULD_SHOW} 1 in N: a lock granted falsely that often would have been noticed, 95 %)")


def _evidence(promise: Promise, indent: int) -> Iterator[str]:
    for sentence in promise.evidence[:SHOWN]:
        yield wrapped(sentence, " " * indent + "- ")
    more = len(promise.evidence) - SHOWN
    if more > 0:
        yield f"{' ' * indent}- and {more} more (--json has them)"


def _advice(run: Check) -> Iterator[str]:
    yield from (wrapped(sentence, "* ") for sentence in run.advice)


def conclusion(run: Check) -> str:
    """One sentence: what is unsafe, what could not be found out, what there is not, and what is safe."""
    if run.promises and all(each.verdict == "safe" for each in run.promises):
        return wrapped(f"Safe for all that was asked: {', '.join(each.name for each in run.promises)}.{_rest(run)}")
    told = [
        f"{word} for {', '.join(names)}"
        for verdict, word in (
            ("unsafe", "UNSAFE"), ("unknown", "not found out"), ("unsupported", "not supported"), ("safe", "safe")
        )
        if (names := [each.name for each in run.promises if each.verdict == verdict])
    ]  # fmt: skip
    ended = ["interrupted"] if run.interrupted else ["ended early"] if run.ended_early else []
    return wrapped(f"{'; '.join([*ended, *told]) or 'nothing was asked'}.{_rest(run)}")


def _rest(run: Check) -> str:
    """What was not asked, and why."""
    return f" Not asked: {'; '.join(run.not_asked)}." if run.not_asked else ""


def races(run: Check) -> str:
    """The races that came to figures; of the others only how many there are, for the evidence has why."""
    ran = [row for row in run.soak if row.case.operations or row.case.overlapping_holds]
    rest = [row for row in run.soak if not (row.case.operations or row.case.overlapping_holds)]
    names = ", ".join(dict.fromkeys(row.promise for row in rest))
    told = wrapped(f"{plural(len(rest), 'race')} came to no figures: for {names}.") if rest else ""
    return "\n\n".join(part for part in (soaked(replace(run, soak=ran)), told) if part)


def complaints(run: Check) -> Iterator[str]:
    """For stderr: what is not kept, or of which too little is known, with the first that speaks for it.

    Promises of which the same is to be said share a line.
    """
    if run.ended_early:
        yield f"ended early: {run.ended_early}"
    missed = {*EXCLUSION, *run.options.only}
    alike: dict[tuple[str, str], list[Promise]] = {}
    for promise in run.promises:
        if promise.verdict in ("unsafe", "unknown") or (promise.verdict == "unsupported" and promise.name in missed):
            alike.setdefault((promise.verdict, _cause(promise, run)), []).append(promise)
    for (verdict, cause), promises in alike.items():
        because = cause if len(promises) > 1 else "".join(promises[0].evidence[:1])
        yield ": ".join(filter(None, [", ".join(each.name for each in promises), WORDS[verdict], because]))
    yield from _left_behind(run)


def _cause(promise: Promise, run: Check) -> str:
    """The first that speaks for the verdict, without the rule or the race that came upon it."""
    first = "".join(promise.evidence[:1])
    reasons = [row.case.reason for row in run.soak if row.promise == promise.name and row.case.reason]
    bare = re.sub(r"^rule \d+: (?=not tried)", "", first)
    return next((reason for reason in reasons if first.endswith(f": {reason}")), bare)


def left_behind(run: Check) -> str:
    """The processes and the folder that could not be got rid of."""
    folders = [f"LEFT BEHIND: {folder}; remove it by hand" for folder in run.left_behind]
    return "\n".join(filter(None, [stuck(run), *folders]))


def _left_behind(run: Check) -> Iterator[str]:
    """A line for all that hang in one place."""
    for where in dict.fromkeys(each.where for each in run.stuck):
        pids = [str(each.pid) for each in run.stuck if each.where == where]
        if len(pids) == 1:
            yield f"process {pids[0]} is left behind: it hangs in {where} and does not end on SIGKILL"
        else:
            named = ", ".join(pids)
            yield f"processes {named} are left behind: they hang in {where} and do not end on SIGKILL"


def interruption(run: Check) -> str:
    """How far a check came that was interrupted; empty where it was not."""
    tried = sum(promise.verdict != "unknown" for promise in run.promises)
    return f"interrupted; {tried} of {plural(len(run.promises), 'promise')} judged by then" if run.interrupted else ""
