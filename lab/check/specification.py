"""The rules judged one after the other, and given up where the mount does not answer any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lab.results import RuleResult

from .actors.company import Company
from .blame import family_of
from .language import Call, parse
from .perform import UNWOKEN, findings, not_tried, unanswered
from .rule import Rule

HANGS_AT_MOST = 2
"""So many rules of one guarantee may end in a call that hangs; of each there are more, and a hang takes seconds."""

STUCK_AT_MOST = 2
"""So many processes may be left stuck in the kernel by requests for one lock, before it is asked for no more."""

FAMILIES = {"posix": "POSIX locks", "ofd": "open file description locks", "flock": "flock"}


def judge_all(rules: Sequence[Rule], company: Company, tell: Callable[[str], None]) -> Iterator[RuleResult]:
    """The results of these rules on real processes, as they come.

    A hang counts for the guarantee of its rule: after HANGS_AT_MOST of them the rules of this guarantee in which
    anybody waits are not tried. A lock whose waiters were left asleep so often is waited for no more, and one that
    left STUCK_AT_MOST processes stuck is asked for no more.
    """
    budget = _Budget()
    if rules:
        company.know_handoffs()
    for rule in rules:
        tell(f"rule {rule.number}")
        if reason := budget.spent_on(rule):
            yield not_tried(rule, reason)
            continue
        stuck = len(company.stuck)
        found = findings(rule, company.stage, budget.unwoken)
        budget.note(rule, found, len(company.stuck) - stuck)
        yield from found


class _Budget:
    """How often something hung, by guarantee and by lock."""

    def __init__(self) -> None:
        self._hung: Counter[str] = Counter()
        self._asleep: Counter[str] = Counter()
        self._stuck: Counter[str] = Counter()

    @property
    def unwoken(self) -> list[str]:
        """The locks whose waiters nobody wakes."""
        return [family for family, times in self._asleep.items() if times >= HANGS_AT_MOST]

    def spent_on(self, rule: Rule) -> str:
        """Why a rule is not tried any more; empty where it is."""
        calls = [step.call for steps in rule.steps() for step in steps]
        stuck = [family for family in FAMILIES if self._stuck[family] >= STUCK_AT_MOST]
        for family in stuck:
            if any(family_of(call) == family for call in calls):
                return f"{self._stuck[family]} processes were left stuck by requests for {FAMILIES[family]} before"
        if self._hung[rule.promise] >= HANGS_AT_MOST and any(call.may_wait for call in calls):
            return f"{self._hung[rule.promise]} calls hung before"
        return ""

    def note(self, rule: Rule, found: Sequence[RuleResult], stuck: int) -> None:
        """What a rule came to, and how many processes it left stuck."""
        for each in filter(hung, found):
            if UNWOKEN in each.expected:
                self._asleep[_lock_of_waiter(each.calls)] += 1
            if UNWOKEN not in each.expected or rule.promise == each.promise:
                self._hung[rule.promise] += 1
        if stuck:
            asked = {family_of(_call(each.calls[-1])) for each in found if unanswered(each.calls)}
            self._stuck.update(asked or {family_of(step.call) for steps in rule.steps() for step in steps})


def _lock_of_waiter(calls: Sequence[str]) -> str:
    """The lock that the actor of the last call had waited for."""
    actor = _call(calls[-1]).actor
    asked = [call for call in map(_call, calls) if call.actor == actor and call.may_wait]
    return family_of(asked[-1]) if asked else ""


def _call(line: str) -> Call:
    """The call of a line of evidence."""
    [step] = parse(line)
    return step.call


def hung(done: RuleResult) -> bool:
    """True where the last call was not answered, or a waiter not woken whose turn had come."""
    return unanswered(done.calls) or (bool(done.calls) and ": returns = waits" in done.calls[-1])
