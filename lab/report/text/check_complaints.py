"""Write the lines of a check for stderr: what is not safe, and why."""

from __future__ import annotations

from collections.abc import Iterator

from lab.checking.guarantees import EXCLUSION
from lab.checking.verdict.causes import first_reason
from lab.records import Check, Guarantee
from lab.report.format import plural

from .check_causes import WIDTH

WORDS = {"safe": "safe", "unsafe": "UNSAFE", "unsupported": "unsupported", "unknown": "unknown"}
BRIEF_WIDTH = WIDTH - len("lab: ")
MOST_NAMED = 3


def complaints(run: Check) -> Iterator[str]:
    """Yield the lines: guarantees that are unsafe or inconclusive, each with the first piece of evidence.

    Guarantees with the same line share it.
    """
    if run.ended_early:
        yield f"ended early: {run.ended_early}"
    alike: dict[tuple[str, str], list[Guarantee]] = {}
    for guarantee in missed(run):
        alike.setdefault((guarantee.verdict, first_reason(guarantee, run)), []).append(guarantee)
    for (verdict, cause), guarantees in alike.items():
        because = cause if len(guarantees) > 1 else "".join(guarantees[0].evidence[:1])
        yield _line(", ".join(each.name for each in guarantees), verdict, because)
    yield from _left_behind(run)
    yield from _interrupted(run)


def brief_complaints(run: Check) -> Iterator[str]:
    """Yield the lines that stand below the report, which has the rest: one for each verdict, each on one line."""
    if run.ended_early:
        yield clipped(f"ended early: {run.ended_early}", BRIEF_WIDTH)
    for verdict in WORDS:
        guarantees = [each for each in missed(run) if each.verdict == verdict]
        names = [each.name for each in guarantees]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        if names:
            because = "".join(guarantees[0].evidence[:1])
            yield clipped(_line(f"{', '.join(names[:MOST_NAMED])}{more}", verdict, because), BRIEF_WIDTH)
    yield from (clipped(line, BRIEF_WIDTH) for line in [*_left_behind(run)][:1])
    yield from _interrupted(run)


def clipped(line: str, width: int) -> str:
    """Return the line, cut at this width with a mark."""
    return line if len(line) <= width else f"{line[: width - 3]}..."


def missed(run: Check) -> list[Guarantee]:
    """Return the guarantees whose verdicts decide the exit code: those that are not safe and were needed."""
    needed = {*EXCLUSION, *run.options.only}
    return [
        each
        for each in run.guarantees
        if each.verdict in ("unsafe", "unknown") or (each.verdict == "unsupported" and each.name in needed)
    ]


def _line(names: str, verdict: str, because: str) -> str:
    return ": ".join(filter(None, [names, WORDS[verdict], because]))


def hanging(run: Check) -> dict[str, list[str]]:
    """Return the processes that were left behind, by the place where they hang."""
    found: dict[str, list[str]] = {}
    for each in run.stuck:
        found.setdefault(each.where, []).append(str(each.pid))
    return found


def _left_behind(run: Check) -> Iterator[str]:
    """Yield a line for all processes that hang in the same place."""
    for where, pids in hanging(run).items():
        if len(pids) == 1:
            yield f"process {pids[0]} is left behind: it hangs in {where} and does not end on SIGKILL"
        else:
            named = ", ".join(pids)
            yield f"processes {named} are left behind: they hang in {where} and do not end on SIGKILL"


def _interrupted(run: Check) -> Iterator[str]:
    if run.interrupted:
        tried = sum(guarantee.verdict != "unknown" for guarantee in run.guarantees)
        yield f"interrupted; {tried} of {plural(len(run.guarantees), 'guarantee')} judged by then"
