"""Write a check as text: the verdict, advice, a line for each guarantee, the causes, and the verdict again.

The report fits a screen: at most LINES lines of WIDTH columns, with what the command prints on stderr. What many rules
share is shown once. `full_text_of` leaves nothing out: it has all rules with their calls and sources, the random
programs, and the table of the races.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from lab.analysis.statistics import joined
from lab.checking.request import request_for
from lab.checking.verdict.evidence import DETECTS
from lab.checking.verdict.judge import exit_code as code_of
from lab.checking.verdict.situation import broken_rules, causes
from lab.errors import ExitCode
from lab.records import Check, RuleResult, StressResult
from lab.report.documents import Report
from lab.report.format import PLAIN, Column, Style, Table, duration, plural, rate, side_by_side, wrapped

from . import check_hosts
from .check_causes import WIDTH, WORDS, brief_complaints, causes_text, clipped, complaints, hanging
from .check_hosts import hosts_text
from .hosts import left_out

LINES = 60
"""A report has no more lines than this, those on stderr and the names of the documents included."""

WRITTEN = 2
"""The lines that name the documents of a run."""

CUTS, SHORT_CUTS = (3, 5, 3, 4, 12), (2, 3, 2, 2, 5)
"""The most lines of the heading, the early end, the verdict, what is left behind and the last sentence.

The last sentence of a check on several hosts is never cut."""

NEEDED = 8
"""With fewer lines for advice and causes the other parts are cut shorter."""

LEAST_OF_CAUSES = 14
"""The advice leaves so many lines to the causes: one of them, with its calls."""

LEAST_ADVICE, MOST_ADVICE, FIRST_ADVICE = 9, 12, 9
"""The fewest and the most lines of the advice where there is more of it, and the most of its first sentence."""

MOST_NAMED = 6
VERBOSE = "--verbose shows"
SENTENCE = {"unsafe": "UNSAFE", "unknown": "inconclusive", "unsupported": "not supported", "safe": "safe"}
"""The words of the sentence, in its order."""

COLUMNS = (31, 11, 34)
"""The widths of a line about a guarantee: its title, the verdict, how strong it is."""


def exit_code(run: Check) -> ExitCode:
    """Return the code of the verdict, or that of an interruption."""
    if run.interrupted:
        return ExitCode.INTERRUPTED
    request = request_for(run.options.only, on_hosts=bool(run.hosts), cut=bool(run.options.cut))
    code = code_of(request, run.guarantees)
    failed = any(host.trouble for host in run.hosts)
    return ExitCode.UNABLE if failed and code == ExitCode.AS_EXPECTED else code


def text_of(run: Check, style: Style = PLAIN) -> str:
    """Return the report that fits a screen."""
    found = causes(run)
    parts = _framed(run, CUTS)
    if parts.room < NEEDED:
        parts = _framed(run, SHORT_CUTS)
    most = max(min(MOST_ADVICE, parts.room - LEAST_OF_CAUSES * bool(found)), min(LEAST_ADVICE, parts.room - 4))
    advice = _advice(run, most, min(FIRST_ADVICE, parts.room - 4))
    left = parts.room - (advice.count("\n") + 2 if advice else 0)
    shown = causes_text(found, left - 1)
    spare = left - (shown.count("\n") + 2 if shown else 0)
    if spare > 0:
        advice = _advice(run, advice.count("\n") + 1 + spare, FIRST_ADVICE)
    return _joined([*parts.before, advice, parts.table, shown, *parts.after])


class _Frame(NamedTuple):
    """The parts of a report around its advice and its causes, and the lines that these have."""

    before: list[str]
    table: str
    after: list[str]
    room: int


def _framed(run: Check, cuts: Sequence[int]) -> _Frame:
    """Return the parts, each with so many lines at most."""
    top, why, sentence, left, last = cuts
    table = "\n".join([*guarantee_lines(run), *_power(run)])
    before = [_cut(heading(run), top), _cut(early(run), why), _cut(verdict(run), sentence), hosts_text(run)]
    after = [_more(run), _cut(left_behind(run), left)]
    after.append(conclusion(run) if run.hosts else _cut(conclusion(run), last))
    used = sum(part.count("\n") + 2 for part in [*before, table, *after] if part)
    room = LINES - WRITTEN - used - len(list(brief_complaints(run)))
    return _Frame(before, table, after, room)


def _cut(text: str, most: int) -> str:
    """Return the first lines of a text, with a mark where it has more."""
    lines = text.splitlines()
    if len(lines) <= most:
        return text
    last = lines[most - 1]
    while len(last) > WIDTH - len(" ..."):
        last = last.rpartition(" ")[0]
    return "\n".join([*lines[: most - 1], f"{last} ..."])


def full_text_of(run: Check, style: Style = PLAIN) -> str:
    """Return the report with all advice and evidence."""
    parts = [
        heading(run),
        early(run),
        verdict(run),
        hosts_text(run, full=True),
        "\n".join(wrapped(sentence, "* ", width=WIDTH) for sentence in run.advice),
        "\n".join([*guarantee_lines(run, full=True), *_power(run)]),
        failed_rules(run),
        random_differences(run),
        races(run),
        unguaranteed(run),
        left_behind(run),
        conclusion(run),
    ]
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def heading(run: Check) -> str:
    """Return where and how it was checked: the directories with their filesystems, and the kernel."""
    places = ", ".join(f"{mount.directory} ({mount.filesystem})" for mount in run.mounts) or ", ".join(run.directories)
    kernel = run.environment.kernel
    if run.hosts:
        places, kernel = check_hosts.places(run), check_hosts.kernels(run)
    options = run.options
    how = f"{plural(options.workers, 'worker')}, seed {options.seed}, {run.wall_s:.1f} s"
    strength = f"; to detect faults of {options.detects:g}" if options.detects is not None else ""
    only = f"; only {', '.join(options.only)}" if options.only else ""
    cut = "INTERRUPTED" if run.interrupted else "ENDED EARLY" if run.ended_early else ""
    ended = f"; {cut}: the rest is missing" if cut else ""
    return wrapped(f"{places}, {kernel}; {how}{strength}{only}{ended}", width=WIDTH)


def early(run: Check) -> str:
    """Say why the check ended before its end, where no user interrupted it."""
    if not run.ended_early:
        return ""
    advice = "; look whether its server lives, or unmount it by force (umount -f)" if run.hang else ""
    why = f"{run.ended_early}. What was found before stands below{advice}."
    return wrapped(why, "ENDED EARLY: ", indent=2, width=WIDTH)


def verdict(run: Check) -> str:
    """Return one sentence: what is unsafe by name; of the others how many there are, where they are many."""
    return wrapped(_verdict(run, MOST_NAMED), width=WIDTH)


def _verdict(run: Check, most: int) -> str:
    """Return what is unsafe, what is inconclusive, what is not supported, and what is safe: at most so many by name."""
    if run.guarantees and all(each.verdict == "safe" for each in run.guarantees):
        count = len(run.guarantees)
        if count > most:
            return f"Safe for all {count} guarantees that were asked."
        return f"Safe for all that was asked: {', '.join(each.name for each in run.guarantees)}."
    said = ["interrupted"] if run.interrupted else ["ended early"] if run.ended_early else []
    for verdict, word in SENTENCE.items():
        names = [each.name for each in run.guarantees if each.verdict == verdict]
        named = len(names) <= most or verdict == "unsafe"
        if names:
            said.append(f"{word} for {', '.join(names) if named else plural(len(names), 'other')}")
    return f"{'; '.join(said) or 'nothing was asked'}."


def conclusion(run: Check) -> str:
    """Return the verdict again, all of it by name, and what was not asked, and why."""
    rest = f" Not asked: {'; '.join(run.not_asked)}." if run.not_asked else ""
    kind = run.environment.hosts_left_out
    more = f" {left_out(kind, run.options.directories[0])}" if kind and not run.hosts else ""
    return wrapped(f"{_verdict(run, len(run.guarantees))}{rest}{more}", width=WIDTH)


def _advice(run: Check, room: int, first: int) -> str:
    """Return the advice that has room in so many lines, the weightiest first; that has so many lines at most."""
    texts: list[str] = []
    for number, sentence in enumerate(run.advice):
        text = wrapped(sentence, "* ", width=WIDTH)
        rest = len(run.advice) - number
        if texts and sum(each.count("\n") + 1 for each in [*texts, text]) + (rest > 1) > room:
            return "\n".join([*texts, f"* {VERBOSE} {plural(rest, 'more sentence')} of advice."])
        texts.append(text if texts else _cut(text, max(2, max(room, first) - (rest > 1))))
    return "\n".join(texts)


def guarantee_lines(run: Check, *, full: bool = False) -> Iterator[str]:
    """Yield a line for each guarantee; in `full`, its whole strength and below it the evidence against it."""
    for guarantee in run.guarantees:
        title, strength = guarantee.title, guarantee.strength
        if not full:
            title, strength = clipped(title, COLUMNS[0]), _short(strength, COLUMNS[-1])
        yield side_by_side(*zip((title, WORDS[guarantee.verdict], strength), COLUMNS, strict=True))
        if full:
            yield from (wrapped(sentence, "    - ", width=WIDTH) for sentence in guarantee.evidence)


def _short(strength: str, width: int) -> str:
    """Return what says most about how strong a verdict is, on one line of this width."""
    parts = [part for part in re.sub(r", [\d,]+ contended", "", strength).split("; ") if not part.endswith("programs")]
    if len("; ".join(parts)) > width and parts[0].startswith("refused"):  # several hosts: the races say more than rules
        parts = [part for part in parts if not re.fullmatch(r"\d+ rules?", part)]
    while len("; ".join(parts)) > width and len(parts) > 1:
        parts.pop()
    return clipped("; ".join(parts), width)


def _power(run: Check) -> Iterator[str]:
    if any(DETECTS in guarantee.strength for guarantee in run.guarantees):
        yield "(detects 1 in N: a fault that frequent would have been noticed, 95 %)"


def _more(run: Check) -> str:
    """Say what only the full report has; rules that Linux keeps but does not guarantee are there alone."""
    races = [row for row in run.stress if row.case.damage or row.case.overlapping_holds]
    habits = broken_rules(run, guaranteed=False)
    counts = {"broken rule": len(broken_rules(run)), "broken race": len(races), "difference": len(habits)}
    hidden = [plural(count, noun) for noun, count in counts.items() if count]
    if habits:
        hidden[-1] += " that Linux does not guarantee"
    return wrapped(f"({VERBOSE} {joined(hidden)}.)", width=WIDTH) if hidden else ""


def left_behind(run: Check) -> str:
    """Return the processes and the folder that could not be removed."""
    folders = [f"LEFT BEHIND: {folder}; remove it by hand" for folder in run.left_behind]
    stuck = [f"LEFT BEHIND: {line}" for line in _stuck(run)]
    return "\n".join(wrapped(line, indent=2, width=WIDTH) for line in [*stuck, *folders])


def _stuck(run: Check) -> Iterator[str]:
    """Yield a line for all processes that hang in the same place."""
    for where, pids in hanging(run).items():
        if len(pids) == 1:
            yield f"process {pids[0]}, which hangs in {where} and does not end on SIGKILL"
        else:
            named = f"{', '.join(pids[:MOST_NAMED])}{' and more' * (len(pids) > MOST_NAMED)}"
            yield f"{len(pids)} processes ({named}), which hang in {where} and do not end on SIGKILL"


COLOURS = {
    r"  safe( |$)": "green",
    r"  (unsupported|unknown)( |$)": "yellow",
    r"\b(UNSAFE|INTERRUPTED|LEFT BEHIND)\b": "bold red",
}
"""These colour the words in the columns of a check; elsewhere "safe" is a word like others."""

REPORT = Report(
    text_of, complaints, exit_code, COLOURS, formats=False, full_text_of=full_text_of, brief_complaints=brief_complaints
)


STRESS: list[Column[StressResult]] = [
    Column("guarantee", lambda row: row.guarantee, left=True, key=True),
    Column("race", lambda row: f"{row.case.scenario}, {row.backing}, {_lock(row)}", left=True, fold=20),
    Column("verdict", lambda row: "UNSAFE" if row.verdict == "unsafe" else row.verdict, left=True),
    Column("met", lambda row: _figure(row, f"{_met(row):,}")),
    Column("corrupted", lambda row: _figure(row, rate(row.case.corruption_rate) if row.case.damaged else "0")),
    Column("overlaps", lambda row: f"{row.case.overlapping_holds:,}" if row.case.holds else "-"),
    Column("rounds", lambda row: _figure(row, f"{row.case.operations:,}"), wide=True),
]
"""The columns of the table of races; a race is its scenario, its backing and its lock."""


def _lock(row: StressResult) -> str:
    return f"{row.case.lock}{' polled' if row.polled else ''}"


def _met(row: StressResult) -> int:
    return row.case.refused_requests if row.polled else row.case.contended_requests


def _figure(row: StressResult, text: str) -> str:
    return text if row.case.operations else "-"


def failed_rules(run: Check) -> str:
    """Return the rules that do not hold and should, with the calls that show it."""
    return _section("rules that do not hold", list(map(_rule, broken_rules(run))))


def unguaranteed(run: Check) -> str:
    """Return the rules that Linux keeps but does not guarantee, where they differ here."""
    differing = broken_rules(run, guaranteed=False)
    return _section("other than on Linux, which guarantees it nowhere", list(map(_rule, differing)))


def random_differences(run: Check) -> str:
    """Return the random programs whose calls the kernel answered differently than the model."""
    if run.random is None:
        return ""
    texts = [
        "\n".join([f"random program ({each.guarantee})", *_outcome(each.expected, each.observed), *_calls(each.calls)])
        for each in run.random.differences
    ]
    return _section("random programs that differ from the model", texts)


def races(run: Check) -> str:
    """Return the races with figures; of the others only their number, because the evidence says why."""
    ran = [row for row in run.stress if row.case.operations or row.case.overlapping_holds]
    rest = [row for row in run.stress if not (row.case.operations or row.case.overlapping_holds)]
    names = ", ".join(dict.fromkeys(row.guarantee for row in rest))
    summary = wrapped(f"inconclusive: {plural(len(rest), 'race')}, for {names}.") if rest else ""
    return "\n\n".join(part for part in (stressed(replace(run, stress=ran)), summary) if part)


def stressed(run: Check) -> str:
    """Return the table of the stress: one row for each race, and how its window was widened."""
    if not run.stress:
        return ""
    return f"{Table(STRESS, run.stress).render()}\n{wrapped(_window(run.stress))}"


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


def _outcome(expected: str, observed: str) -> Iterator[str]:
    if expected:
        yield _labelled("expected", expected)
    yield _labelled("observed", observed)


def _calls(calls: Sequence[str]) -> Iterator[str]:
    for number, call in enumerate(calls):
        yield wrapped(call, f"    {'' if number else 'calls':10}")


def _labelled(label: str, text: str) -> str:
    return wrapped(text, f"    {label:10}")


def _window(rows: Sequence[StressResult]) -> str:
    """Say how the races were made likelier to meet."""
    longest = max(row.case.window_ns for row in rows)
    asleep = f", asleep for up to {duration(longest)}" if longest else ""
    polled = "; polled: asked for again and again instead of waited for" if any(row.polled for row in rows) else ""
    heads = "; met: requests that met a holder; overlaps: pairs of holds that overlapped and may not"
    trials = plural(sum(row.case.trials for row in rows), "fresh file")
    return f"{trials}; race window widened: every worker yields before each lock and each store{asleep}{polled}{heads}."
