"""The evidence of a check: rules that failed, programs that differ, races that broke, processes that hang."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from lab.results import Check, RuleResult, Soaked

from .words import duration, plural, rate, wrapped

SOAK = ("soak for", "scenario", "region", "lock", "met", "rounds", "damaged", "two in", "verdict")
ALIGN = ("left",) * 4 + ("right",) * 4 + ("left",)


TOLD = 3
"""So many rules of each promise are told with their calls; of more only what they came to."""


def failed_rules(run: Check) -> str:
    """The rules that do not hold and should, the first of each promise with the calls that show it."""
    failed = [rule for rule in run.rules if rule.promised and rule.verdict in ("unsafe", "unsupported")]
    told = [rule for rule in failed if rule in [each for each in failed if each.promise == rule.promise][:TOLD]]
    rest = "\n".join(_short(rule) for rule in failed if rule not in told)
    return _section("rules that do not hold", [*map(_rule, told), *([rest] if rest else [])])


def unpromised(run: Check) -> str:
    """The rules that Linux keeps and promises nowhere, where they differ here."""
    differing = [rule for rule in run.rules if not rule.promised and rule.verdict in ("unsafe", "unsupported")]
    return _section("other than on Linux, which promises it nowhere", [_rule(rule) for rule in differing])


def random_differences(run: Check) -> str:
    """The random programs that the kernel answered otherwise than the model."""
    if run.random is None:
        return ""
    told = [
        "\n".join([f"random program ({each.promise})", *_outcome(each.expected, each.observed), *_calls(each.calls)])
        for each in run.random.differences
    ]
    return _section("random programs that differ from the model", told)


def soaked(run: Check) -> str:
    """One row a race, and how its window was widened."""
    if not run.soak:
        return ""
    rows = [_row(row) for row in run.soak]
    table = tabulate(rows, headers=list(SOAK), tablefmt="simple", disable_numparse=True, colalign=list(ALIGN))
    return f"{table}\n{wrapped(_window(run.soak))}"


def stuck(run: Check) -> str:
    """The processes that were left behind."""
    return "\n".join(
        f"LEFT BEHIND: process {each.pid}, which hangs in {each.where} and does not end on SIGKILL"
        for each in run.stuck
    )


def _section(title: str, told: Sequence[str]) -> str:
    return "\n\n".join([f"{title}:", *told]) if told else ""


def _rule(rule: RuleResult) -> str:
    refused = ", not supported" if rule.verdict == "unsupported" else ""
    lines = [wrapped(rule.sentence, f"rule {rule.number} ({rule.promise}{refused}): ", indent=4)]
    if rule.reason:
        lines.append(_labelled("because", rule.reason))
    return "\n".join(
        [*lines, *_outcome(rule.expected, rule.observed), _labelled("source", rule.source), *_calls(rule.calls)]
    )


def _short(rule: RuleResult) -> str:
    came = f"expected {rule.expected}, observed {rule.observed}"
    return wrapped(f"{rule.sentence} ({came})", f"rule {rule.number} ({rule.promise}): ", indent=4)


def _outcome(expected: str, observed: str) -> Iterator[str]:
    if expected:
        yield _labelled("expected", expected)
    yield _labelled("observed", observed)


def _calls(calls: Sequence[str]) -> Iterator[str]:
    for number, call in enumerate(calls):
        yield wrapped(call, f"    {'' if number else 'calls':10}")


def _labelled(label: str, text: str) -> str:
    return wrapped(text, f"    {label:10}")


def _row(row: Soaked) -> list[str]:
    case = row.case
    ran = bool(case.operations)
    met = case.refused_requests if row.polled else case.contended_requests
    return [
        row.promise,
        case.scenario,
        row.region,
        f"{case.lock}{' polled' if row.polled else ''}",
        f"{met:,}" if ran else "-",
        f"{case.operations:,}" if ran else "-",
        (rate(case.corruption_rate) if case.damaged else "0") if ran else "-",
        f"{case.overlapping_holds:,}" if case.holds else "-",
        "UNSAFE" if row.verdict == "unsafe" else row.verdict,
    ]


def _window(rows: Sequence[Soaked]) -> str:
    """How the races were made likelier to meet."""
    longest = max(row.case.window_ns for row in rows)
    asleep = f", asleep for up to {duration(longest)}" if longest else ""
    polled = "; polled: asked for again and again instead of waited for" if any(row.polled for row in rows) else ""
    heads = "; met: requests that met a holder; two in: pairs of holds that overlapped and may not"
    trials = plural(sum(row.case.trials for row in rows), "fresh file")
    return (
        f"{trials}; race window widened: every worker gives way before each lock and each store{asleep}{polled}{heads}."
    )
