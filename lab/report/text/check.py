"""Write a check as text: a verdict for each guarantee, advice, failures with evidence, the stress, a conclusion.

The evidence is: rules that failed, programs that differ, races that broke, processes that hang.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lab.check.guarantees import EXCLUSION
from lab.check.request import request_for
from lab.check.verdict.evidence import DETECTS
from lab.check.verdict.judge import exit_code as code_of
from lab.errors import ExitCode
from lab.records import Check, Guarantee, RuleResult, StressResult
from lab.report.documents import Report
from lab.report.format import DEFAULT_FORMAT, duration, grid, plural, rate, side_by_side, wrapped

STRESS = ("guarantee", "scenario", "backing", "lock", "met", "rounds", "corrupted", "overlaps", "verdict")
ALIGN = ("left",) * 4 + ("right",) * 4 + ("left",)


MOST = 3
"""So many rules of each guarantee are shown with their calls; of more only the results."""


def failed_rules(run: Check) -> str:
    """Return the rules that do not hold and should, the first of each guarantee with the calls that show it."""
    failed = [rule for rule in run.rules if rule.guaranteed and rule.verdict in ("unsafe", "unsupported")]
    first = [rule for rule in failed if rule in [each for each in failed if each.guarantee == rule.guarantee][:MOST]]
    rest = "\n".join(_short(rule) for rule in failed if rule not in first)
    return _section("rules that do not hold", [*map(_rule, first), *([rest] if rest else [])])


def unguaranteed(run: Check) -> str:
    """Return the rules that Linux keeps but does not guarantee, where they differ here."""
    differing = [rule for rule in run.rules if not rule.guaranteed and rule.verdict in ("unsafe", "unsupported")]
    return _section("other than on Linux, which guarantees it nowhere", [_rule(rule) for rule in differing])


def random_differences(run: Check) -> str:
    """Return the random programs whose calls the kernel answered differently than the model."""
    if run.random is None:
        return ""
    texts = [
        "\n".join([f"random program ({each.guarantee})", *_outcome(each.expected, each.observed), *_calls(each.calls)])
        for each in run.random.differences
    ]
    return _section("random programs that differ from the model", texts)


def stressed(run: Check) -> str:
    """Return the table of the stress: one row for each race, and how its window was widened."""
    if not run.stress:
        return ""
    rows = [_row(row) for row in run.stress]
    table = grid(STRESS, rows, ALIGN)
    return f"{table}\n{wrapped(_window(run.stress))}"


def stuck(run: Check) -> str:
    """Return the processes that were left behind."""
    return "\n".join(
        f"LEFT BEHIND: process {each.pid}, which hangs in {each.where} and does not end on SIGKILL"
        for each in run.stuck
    )


def _section(title: str, texts: Sequence[str]) -> str:
    return "\n\n".join([f"{title}:", *texts]) if texts else ""


def _rule(rule: RuleResult) -> str:
    refused = ", not supported" if rule.verdict == "unsupported" else ""
    lines = [wrapped(rule.sentence, f"rule {rule.number} ({rule.guarantee}{refused}): ", indent=4)]
    if rule.reason:
        lines.append(_labelled("because", rule.reason))
    return "\n".join(
        [*lines, *_outcome(rule.expected, rule.observed), _labelled("source", rule.source), *_calls(rule.calls)]
    )


def _short(rule: RuleResult) -> str:
    outcome = f"expected {rule.expected}, observed {rule.observed}"
    return wrapped(f"{rule.sentence} ({outcome})", f"rule {rule.number} ({rule.guarantee}): ", indent=4)


def _outcome(expected: str, observed: str) -> Iterator[str]:
    if expected:
        yield _labelled("expected", expected)
    yield _labelled("observed", observed)


def _calls(calls: Sequence[str]) -> Iterator[str]:
    for number, call in enumerate(calls):
        yield wrapped(call, f"    {'' if number else 'calls':10}")


def _labelled(label: str, text: str) -> str:
    return wrapped(text, f"    {label:10}")


def _row(row: StressResult) -> list[str]:
    case = row.case
    ran = bool(case.operations)
    met = case.refused_requests if row.polled else case.contended_requests
    return [
        row.guarantee,
        case.scenario,
        row.backing,
        f"{case.lock}{' polled' if row.polled else ''}",
        f"{met:,}" if ran else "-",
        f"{case.operations:,}" if ran else "-",
        (rate(case.corruption_rate) if case.damaged else "0") if ran else "-",
        f"{case.overlapping_holds:,}" if case.holds else "-",
        "UNSAFE" if row.verdict == "unsafe" else row.verdict,
    ]


def _window(rows: Sequence[StressResult]) -> str:
    """Say how the races were made likelier to meet."""
    longest = max(row.case.window_ns for row in rows)
    asleep = f", asleep for up to {duration(longest)}" if longest else ""
    polled = "; polled: asked for again and again instead of waited for" if any(row.polled for row in rows) else ""
    heads = "; met: requests that met a holder; overlaps: pairs of holds that overlapped and may not"
    trials = plural(sum(row.case.trials for row in rows), "fresh file")
    return f"{trials}; race window widened: every worker yields before each lock and each store{asleep}{polled}{heads}."


WORDS = {"safe": "safe", "unsafe": "UNSAFE", "unsupported": "unsupported", "unknown": "unknown"}
SHOWN = 4
"""So many pieces of evidence are shown below a guarantee."""


def exit_code(run: Check) -> ExitCode:
    """Return the code of the verdict, or that of an interruption."""
    if run.interrupted:
        return ExitCode.INTERRUPTED
    return code_of(request_for(run.options.only, len(run.directories)), run.guarantees)


def text_of(run: Check, style: str = DEFAULT_FORMAT) -> str:
    """Return the whole report."""
    parts = [
        heading(run),
        early(run),
        "\n".join([*guarantee_lines(run), *_power(run)]),
        "\n".join(_advice(run)),
        failed_rules(run),
        random_differences(run),
        races(run),
        unguaranteed(run),
        left_behind(run),
        conclusion(run),
    ]
    return "\n\n".join(part for part in parts if part)


def heading(run: Check) -> str:
    """Return where and how it was checked: the directories with their filesystems, and the kernel."""
    places = ", ".join(f"{mount.directory} ({mount.filesystem})" for mount in run.mounts) or ", ".join(run.directories)
    options = run.options
    how = f"{plural(options.workers, 'worker')}, seed {options.seed}, {run.wall_s:.1f} s"
    strength = f"; to detect faults of {options.detects:g}" if options.detects is not None else ""
    only = f"; only {', '.join(options.only)}" if options.only else ""
    cut = "INTERRUPTED" if run.interrupted else "ENDED EARLY" if run.ended_early else ""
    ended = f"; {cut}: the rest is missing" if cut else ""
    return wrapped(f"{places}, {run.environment.kernel}; {how}{strength}{only}{ended}")


def early(run: Check) -> str:
    """Say why the check ended before its end, where no user interrupted it."""
    if not run.ended_early:
        return ""
    advice = "; look whether its server lives, or unmount it by force (umount -f)" if run.hang else ""
    return wrapped(f"{run.ended_early}. What was found before stands below{advice}.", "ENDED EARLY: ", indent=2)


def guarantee_lines(run: Check) -> Iterator[str]:
    """Yield the verdicts, aligned; below each that is not safe, the evidence against it."""
    for guarantee in run.guarantees:
        yield side_by_side((guarantee.title, 31), (WORDS[guarantee.verdict], 11), (guarantee.strength, 54))
        yield from _evidence(guarantee, 4)


def _power(run: Check) -> Iterator[str]:
    if any(DETECTS in guarantee.strength for guarantee in run.guarantees):
        yield wrapped(f"({DETECTS} 1 in N: a lock granted falsely that often would have been noticed, 95 %)")


def _evidence(guarantee: Guarantee, indent: int) -> Iterator[str]:
    for sentence in guarantee.evidence[:SHOWN]:
        yield wrapped(sentence, " " * indent + "- ")
    more = len(guarantee.evidence) - SHOWN
    if more > 0:
        yield f"{' ' * indent}- and {more} more (--json has them)"


def _advice(run: Check) -> Iterator[str]:
    yield from (wrapped(sentence, "* ") for sentence in run.advice)


def conclusion(run: Check) -> str:
    """Return one sentence: what is unsafe, what is inconclusive, what does not exist here, and what is safe."""
    if run.guarantees and all(each.verdict == "safe" for each in run.guarantees):
        return wrapped(f"Safe for all that was asked: {', '.join(each.name for each in run.guarantees)}.{_rest(run)}")
    verdicts = [
        f"{word} for {', '.join(names)}"
        for verdict, word in (
            ("unsafe", "UNSAFE"), ("unknown", "inconclusive"), ("unsupported", "not supported"), ("safe", "safe")
        )
        if (names := [each.name for each in run.guarantees if each.verdict == verdict])
    ]  # fmt: skip
    ended = ["interrupted"] if run.interrupted else ["ended early"] if run.ended_early else []
    return wrapped(f"{'; '.join([*ended, *verdicts]) or 'nothing was asked'}.{_rest(run)}")


def _rest(run: Check) -> str:
    """Say what was not checked, and why."""
    return f" Not asked: {'; '.join(run.not_asked)}." if run.not_asked else ""


def races(run: Check) -> str:
    """Return the races with figures; of the others only their number, because the evidence says why."""
    ran = [row for row in run.stress if row.case.operations or row.case.overlapping_holds]
    rest = [row for row in run.stress if not (row.case.operations or row.case.overlapping_holds)]
    names = ", ".join(dict.fromkeys(row.guarantee for row in rest))
    summary = wrapped(f"inconclusive: {plural(len(rest), 'race')}, for {names}.") if rest else ""
    return "\n\n".join(part for part in (stressed(replace(run, stress=ran)), summary) if part)


def complaints(run: Check) -> Iterator[str]:
    """Yield the lines for stderr: guarantees that are unsafe or inconclusive, each with the first piece of evidence.

    Guarantees with the same line share it.
    """
    if run.ended_early:
        yield f"ended early: {run.ended_early}"
    missed = {*EXCLUSION, *run.options.only}
    alike: dict[tuple[str, str], list[Guarantee]] = {}
    for guarantee in run.guarantees:
        if guarantee.verdict in ("unsafe", "unknown") or (
            guarantee.verdict == "unsupported" and guarantee.name in missed
        ):
            alike.setdefault((guarantee.verdict, _cause(guarantee, run)), []).append(guarantee)
    for (verdict, cause), guarantees in alike.items():
        because = cause if len(guarantees) > 1 else "".join(guarantees[0].evidence[:1])
        yield ": ".join(filter(None, [", ".join(each.name for each in guarantees), WORDS[verdict], because]))
    yield from _left_behind(run)
    if run.interrupted:
        tried = sum(guarantee.verdict != "unknown" for guarantee in run.guarantees)
        yield f"interrupted; {tried} of {plural(len(run.guarantees), 'guarantee')} judged by then"


def _cause(guarantee: Guarantee, run: Check) -> str:
    """Return the first reason for the verdict, without the rule or the race that found it."""
    first = "".join(guarantee.evidence[:1])
    reasons = [row.case.reason for row in run.stress if row.guarantee == guarantee.name and row.case.reason]
    bare = re.sub(r"^rule \d+: (?=not tried)", "", first)
    return next((reason for reason in reasons if first.endswith(f": {reason}")), bare)


def left_behind(run: Check) -> str:
    """Return the processes and the folder that could not be removed."""
    folders = [f"LEFT BEHIND: {folder}; remove it by hand" for folder in run.left_behind]
    return "\n".join(filter(None, [stuck(run), *folders]))


def _left_behind(run: Check) -> Iterator[str]:
    """Yield a line for all processes that hang in the same place."""
    for where in dict.fromkeys(each.where for each in run.stuck):
        pids = [str(each.pid) for each in run.stuck if each.where == where]
        if len(pids) == 1:
            yield f"process {pids[0]} is left behind: it hangs in {where} and does not end on SIGKILL"
        else:
            named = ", ".join(pids)
            yield f"processes {named} are left behind: they hang in {where} and do not end on SIGKILL"


COLOURS = {
    r"  safe( |$)": "green",
    r"  (unsupported|unknown)( |$)": "yellow",
    r"\b(UNSAFE|INTERRUPTED|LEFT BEHIND)\b": "bold red",
}
"""These colour the words in the columns of a check; elsewhere "safe" is a word like others."""

REPORT = Report(text_of, complaints, exit_code, COLOURS, formats=False)
