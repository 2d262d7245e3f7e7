"""The rules judged one after the other, and given up where the mount does not answer any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lab.results import RuleResult

from .actors.company import Company
from .perform import judged, not_tried
from .rule import Rule

HANGS_AT_MOST = 3
"""So many rules may end in a call that hangs; a whole specification of them would take minutes."""


def judge_all(rules: Sequence[Rule], company: Company, tell: Callable[[str], None]) -> Iterator[RuleResult]:
    """The results of these rules on real processes, as they come.

    After HANGS_AT_MOST rules whose last call hung, those in which anybody waits are not tried; after as many
    processes that were left stuck, none is.
    """
    hangs = 0
    for rule in rules:
        tell(f"rule {rule.number}")
        if len(company.stuck) >= HANGS_AT_MOST:
            yield not_tried(rule, f"{len(company.stuck)} processes were left stuck in the kernel before")
        elif hangs >= HANGS_AT_MOST and _waits(rule):
            yield not_tried(rule, f"{hangs} calls hung before")
        else:
            done = judged(rule, company.stage)
            hangs += hung(done)
            yield done


def hung(done: RuleResult) -> bool:
    """True where the last call was not answered, or a waiter not woken whose turn had come."""
    last = done.calls[-1] if done.calls else ""
    return "no answer" in last or ": returns = waits" in last


def _waits(rule: Rule) -> bool:
    return any(step.call.may_wait for steps in rule.steps() for step in steps)
