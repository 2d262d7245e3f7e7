"""Write all evidence of a check: rules with their calls and sources, random programs, and the table of the races."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lab.checking.verdict.causes import broken_rules
from lab.records import Check, RuleResult, StressResult
from lab.report.format import duration, grid, plural, rate, wrapped

STRESS = ("guarantee", "scenario", "backing", "lock", "met", "rounds", "corrupted", "overlaps", "verdict")
ALIGN = ("left",) * 4 + ("right",) * 4 + ("left",)


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
    rows = [_row(row) for row in run.stress]
    table = grid(STRESS, rows, ALIGN)
    return f"{table}\n{wrapped(_window(run.stress))}"


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
