"""What a rule that does not hold shows, by its calls: a lock granted twice, left behind, or not answered at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lab.results import RuleResult

from ..blame import CUT_SHORT, UNANSWERED
from ..perform import UNTOLD, UNWOKEN

DENIALS = ("EAGAIN", "EACCES", "waits")
FREER = {("read", "free"), ("write", "free"), ("write", "read")}
"""What is locked of a byte, and what another gets of it who must not."""

ENDINGS = ("close", "exit", "killed", "exec")
"""Calls by which whoever holds a lock may give it up, or take it along."""


def double_grant(rule: RuleResult) -> str:
    """The lock, by its guarantee, that was granted though the same lock was held; empty where none was.

    It speaks against the exclusion of that lock, whatever the rule is about.
    """
    if not (rule.promised and rule.verdict == "unsafe" and rule.calls):
        return ""
    *before, last = rule.calls
    if _is(last, "held"):
        pairs = zip(rule.expected.split(), rule.observed.split(), strict=False)
        return "posix" if any((wanted, seen) in FREER for wanted, seen in pairs) else ""
    if rule.observed != "granted" or not _wants_denial(rule):
        return ""
    lock = lock_of(last) or lock_of(_asked_by(last.partition(":")[0], before))
    held = {lock_of(call) for call in before if call.endswith(" = granted") and " unlock" not in call}
    return lock if lock in held else ""


def _asked_by(actor: str, calls: Sequence[str]) -> str:
    """The last request of this actor for a lock, of one that waits or returns."""
    return next((call for call in reversed(calls) if call.startswith(f"{actor}: ") and lock_of(call)), "")


def plainly(rule: RuleResult) -> bool:
    """True where nobody had forked, closed or ended before: nothing in the program explains a lie but chance."""
    return not _made(rule, "fork", "clone", *ENDINGS)


def leaked(rule: RuleResult) -> bool:
    """Denied after all who had the description closed it, in a program that takes such locks."""
    described = any("F_OFD_SETLK" in call for call in rule.calls[:-1])
    return described and _made(rule, *ENDINGS) and _kept_out(rule)


def outlived(rule: RuleResult) -> bool:
    """Denied after somebody had ended, who may have left a lock."""
    return (_made(rule, "exit", "killed") or _died(rule)) and _kept_out(rule)


def unwoken(rule: RuleResult) -> bool:
    """A waiter stayed asleep whose turn had come, and not because who held the lock had ended and left it."""
    before, last = rule.calls[-2:-1], rule.calls[-1:]
    ended = UNWOKEN not in rule.expected and any(_is(call, *ENDINGS) for call in before)
    return any(": returns = waits" in call for call in last) and _denied(rule) and not ended


def too_wide(rule: RuleResult) -> bool:
    """A request was denied though nothing was in its way, and nobody had ended who may have left something there."""
    asked = any(lock_of(call) for call in rule.calls[-1:])
    return asked and _kept_out(rule) and not _made(rule, *ENDINGS) and not _died(rule)


def unanswered(rule: RuleResult) -> str:
    """The promise of the lock whose request was not answered; empty where all were."""
    return lock_of(rule.calls[-1]) if rule.calls and rule.observed.startswith(UNANSWERED) else ""


def says_nothing(rule: RuleResult) -> bool:
    """True where the rule could not be tried for want of something that it is not about."""
    return rule.verdict == "unknown" and (rule.observed.startswith(CUT_SHORT) or rule.observed.endswith(UNTOLD))


def hangs(rule: RuleResult) -> bool:
    """A call did not come back."""
    return rule.observed == "waits" or rule.observed.startswith(UNANSWERED)


def misreports(rule: RuleResult) -> bool:
    """Of the right owner's lock another range or type was told."""
    owners = [told.rpartition(" by ")[2] for told in (rule.expected, rule.observed) if " by " in told]
    return len(owners) == 2 and owners[0] == owners[1]


def lock_of(call: str) -> str:
    """The promise of the lock that a call asks for or about; empty for any other call."""
    found = re.search(r": (?:\w+ )?(F_OFD_|F_|flock )", call)
    return {"F_OFD_": "ofd", "F_": "posix", "flock ": "flock"}[found[1]] if found else ""


def _denied(rule: RuleResult) -> bool:
    return rule.observed in DENIALS and not _wants_denial(rule)


def _kept_out(rule: RuleResult) -> bool:
    """Denied by a lock that was there: where another got it at once there was none."""
    return _denied(rule) and UNWOKEN not in rule.expected


def _wants_denial(rule: RuleResult) -> bool:
    return any(word in rule.expected for word in DENIALS)


def _died(rule: RuleResult) -> bool:
    """An actor was killed by what it touched."""
    return any(call.endswith(" = SIGBUS") for call in rule.calls[:-1])


def _made(rule: RuleResult, *verbs: str) -> bool:
    return any(_is(call, *verbs) for call in rule.calls[:-1])


def _is(call: str, *verbs: str) -> bool:
    return any(re.search(rf": {verb}\b", call) for verb in verbs)
