"""Write the causes of what a check found, each once, in so many lines: the first with calls, the others on a line.

The lines for stderr say what is not safe, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from lab.checking.guarantees import EXCLUSION
from lab.checking.verdict.situation import Cause, first_reason, worst_race
from lab.records import Check, Guarantee
from lab.report.format import plural, wrapped

WIDTH = 80
MOST_NUMBERS = 12
FEW_CALLS, MOST_CALLS = 4, 8
"""So many of the last calls of a rule are shown where there is little room, and where there is more."""


def causes_text(found: Sequence[Cause], room: int) -> str:
    """Return the causes that have room in so many lines: the first with its last calls, each other on a line.

    Where all have room, the first have more calls, one after the other.
    """
    texts: list[str] = []
    for cause in found:
        forms = [_line(cause)] if texts else [_block(cause, FEW_CALLS), _line(cause)]
        rest = [""] if len(texts) + 1 < len(found) else []  # the line that counts the others
        fitting = next((form for form in forms if _lines([*texts, form, *rest]) <= room), None)
        if fitting is None:
            break
        texts.append(fitting)
    for at in range(len(texts) if len(texts) == len(found) else 0):
        wider = [*texts[:at], _block(found[at], MOST_CALLS), *texts[at + 1 :]]
        texts = wider if _lines(wider) <= room else texts
    more = len(found) - len(texts)
    return _joined([*texts, *[f"- {plural(more, 'more cause' if texts else 'cause')}"] * bool(more)])


def _lines(texts: Sequence[str]) -> int:
    return _joined(texts).count("\n") + 1


def _joined(texts: Sequence[str]) -> str:
    """Return the texts, with a blank line beside each that has several lines."""
    if not texts:
        return ""
    gaps = ["\n\n" if "\n" in one + other else "\n" for one, other in pairwise(texts)]
    return "".join(part for text, gap in zip(texts, [*gaps, ""], strict=True) for part in (text, gap))


def _line(cause: Cause) -> str:
    """Return the cause and the numbers of its rules, on one line."""
    numbers, many = ", ".join(str(rule.number) for rule in cause.rules), len(cause.rules)
    rules = [f": rule{'s' * (many > 1)} {numbers}", f": {plural(many, 'rule')}"] if many else []
    names = [", ".join(cause.guarantees), plural(len(cause.guarantees), "guarantee")]
    forms = [f"- {cause.title} ({name}){each}" for name in names for each in [*rules, ""]]
    text = next((form for form in forms if len(form) <= WIDTH), f"- {cause.title}")
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _block(cause: Cause, most: int) -> str:
    """Return the cause with the last calls of one rule or program, or with one race, that shows it."""
    rule, program = cause.shown, next(iter([*cause.exchanges, *cause.programs]), None)
    if not (rule or program or cause.races):
        return _line(cause)
    title = f"{cause.title} ({', '.join(cause.guarantees)})"
    lines = [wrapped(title, "- ", width=WIDTH)]
    if rule:
        lines.append(_labelled(f"rule {rule.number}", rule.sentence))
        lines.append(_labelled("expected", f"{rule.expected}, observed {rule.observed}"))
        lines += _calls(rule.calls, most)
    elif program:
        lines.append(_labelled("expected", f"{program.expected}, observed {program.observed}"))
        lines += _calls(program.calls, most)
    elif cause.races:
        lines.append(_labelled("race", worst_race(cause.races)))
    return "\n".join([*lines, *_also(cause)])


def _calls(calls: Sequence[str], most: int) -> Iterator[str]:
    """Yield the last of the calls, one on a line."""
    shown = [*([f"... ({len(calls) - most} before)"] if len(calls) > most else []), *calls[-most:]]
    for number, call in enumerate(shown):
        yield _labelled("" if number else "calls", call)


def _also(cause: Cause) -> Iterator[str]:
    """Yield what else shows it: further rules by number, how many random programs and races."""
    numbers = [str(rule.number) for rule in cause.rules if rule is not cause.shown]
    shown = next((kind for kind in (cause.shown, cause.exchanges, cause.programs, cause.races) if kind), None)
    rest = {
        "more rule" if cause.shown else "rule": len(numbers),
        "further finding": len(cause.exchanges) - (shown is cause.exchanges),
        "random program": len(cause.programs) - (shown is cause.programs),
        "race": len(cause.races) - (shown is cause.races),
    }
    texts = [plural(count, noun) for noun, count in rest.items() if count > 0]
    if numbers:
        cut = ", ..." if len(numbers) > MOST_NUMBERS else ""
        texts[0] += f" ({', '.join(numbers[:MOST_NUMBERS])}{cut})"
    if texts:
        yield _labelled("and", "; ".join(texts))


def _labelled(label: str, text: str) -> str:
    return wrapped(text, f"    {label:10}", width=WIDTH)


WORDS = {"safe": "safe", "unsafe": "UNSAFE", "unsupported": "unsupported", "unknown": "unknown"}
BRIEF_WIDTH = WIDTH - len("lab: ")
MOST_NAMED = 3


def complaints(run: Check) -> Iterator[str]:
    """Yield the lines: guarantees that are unsafe or inconclusive, each with the first piece of evidence.

    Guarantees with the same line share it.
    """
    if run.ended_early:
        yield f"ended early: {run.ended_early}"
    yield from (f"{host.name}: {host.trouble}" for host in run.hosts if host.trouble)
    alike: dict[tuple[str, str], list[Guarantee]] = {}
    for guarantee in missed(run):
        alike.setdefault((guarantee.verdict, first_reason(guarantee, run)), []).append(guarantee)
    for (verdict, cause), guarantees in alike.items():
        because = cause if len(guarantees) > 1 else "".join(guarantees[0].evidence[:1])
        yield _complaint(", ".join(each.name for each in guarantees), verdict, because)
    yield from _left_behind(run)
    yield from _interrupted(run)


def brief_complaints(run: Check) -> Iterator[str]:
    """Yield the lines that stand below the report, which has the rest: one for each verdict, each on one line."""
    if run.ended_early:
        yield clipped(f"ended early: {run.ended_early}", BRIEF_WIDTH)
    yield from (clipped(f"{host.name}: {host.trouble}", BRIEF_WIDTH) for host in run.hosts if host.trouble)
    for verdict in WORDS:
        guarantees = [each for each in missed(run) if each.verdict == verdict]
        names = [each.name for each in guarantees]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        if names:
            because = "".join(guarantees[0].evidence[:1])
            if run.ended_early and because.endswith(run.ended_early):  # the first line says it
                because = ""
            yield clipped(_complaint(f"{', '.join(names[:MOST_NAMED])}{more}", verdict, because), BRIEF_WIDTH)
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


def _complaint(names: str, verdict: str, because: str) -> str:
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
