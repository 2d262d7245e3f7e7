"""Write all evidence of a check: rules with their calls and sources, random programs, and the table of the races."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lab.checking.verdict.causes import broken_rules
from lab.records import Check, RuleResult, StressResult
from lab.report.format import Column, Table, duration, plural, rate, wrapped

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
