"""One program performed on a stage, and a rule judged by all of its programs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from lab.errors import CannotRunError
from lab.results import Answered, RuleResult

from .language import GET, SET, Call, Step, errno_name
from .rule import Rule

REFUSALS = frozenset(errno_name(code) for code in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP))
"""What filesystems answer that do not have the lock (fcntl(2), flock(2))."""


NO_ROOM = ("ENOSPC", "EDQUOT")

OF_THE_SYSTEM = frozenset({"fork", "clone", "exec", "limit"})
"""Calls that ask nothing of the filesystem: where they fail, a rule could not be tried."""

LIMITS = frozenset({"EFBIG", "EMFILE", "ENFILE", "ENOMEM"})
"""What limits of the process or of the machine make of a call."""


class Stage(Protocol):
    """Where actors and files are: the model's (`lab.check.modelled`) or the real ones (`lab.check.actors`)."""

    def perform(self, call: Call, expected: Sequence[str]) -> str:
        """What the call comes to, in the words of `lab.check.language`; what it should come to may help to see that."""


@dataclass(frozen=True, slots=True)
class Departure:
    """The first call of a program that came to something else than the rule allows."""

    calls: tuple[str, ...]
    expected: str
    observed: str
    verdict: Answered


def departure(steps: Iterable[Step], stage: Stage) -> Departure | None:
    """Perform the steps up to the first that comes to something else; None where all came to what they should."""
    done: list[str] = []
    for step in steps:
        observed = stage.perform(step.call, step.expected)
        done.append(f"{step.call} = {observed}")
        if observed in NO_ROOM:
            raise CannotRunError(f"the filesystem is full ({observed} for {step.call}); make room, or give another DIR")
        if not _agrees(observed, step.expected):
            return Departure(tuple(done), step.wanted, observed, _verdict(step, observed))
    return None


def _verdict(step: Step, observed: str) -> Answered:
    """What it means that the step did not come to what it should; some things are not the filesystem's to refuse."""
    if f"({observed})" in step.expected or is_refusal(step.call, observed):
        return "unsupported"
    return "unknown" if step.call.verb in OF_THE_SYSTEM or observed in LIMITS else "unsafe"


def _agrees(observed: str, expected: tuple[str, ...]) -> bool:
    """True for one of the outcomes; a holder on another host, who is told as somebody, may be anybody."""
    what, by, who = observed.rpartition(" by ")
    if by and who == "somebody":
        return what in [each.rpartition(" by ")[0] for each in expected]
    return observed in expected


def is_refusal(call: Call, observed: str) -> bool:
    """True where the answer says that the mount, or the kernel, does not have such a call at all."""
    verb = call.made.verb
    if verb == "map":
        return observed == "ENODEV"
    if verb in SET or verb in GET or verb == "flock":
        return observed in REFUSALS or ("OFD" in verb and observed == "EINVAL")
    return False


def judged(rule: Rule, stage: Callable[[], AbstractContextManager[Stage]]) -> RuleResult:
    """Perform the rule's programs, each on a new stage, until one is broken, which outweighs what is not supported."""
    if rule.soaked:
        return not_tried(rule, "left to the soak")
    worst: Departure | None = None
    for steps in rule.steps():
        with stage() as where:
            found = departure(steps, where)
        if found and (worst is None or found.verdict == "unsafe"):
            worst = found
        if worst and worst.verdict == "unsafe":
            break
    return result(rule, worst)


def result(rule: Rule, worst: Departure | None) -> RuleResult:
    """The rule's entry in the document."""
    if worst is None:
        return _entry(rule, "safe", observed="as demanded")
    return _entry(rule, worst.verdict, worst.observed, worst.expected, worst.calls)


def not_tried(rule: Rule, reason: str) -> RuleResult:
    """The entry of a rule whose programs were not performed."""
    return _entry(rule, "unknown", observed=f"not tried: {reason}")


def _entry(rule: Rule, verdict: Answered, observed: str, expected: str = "", calls: Iterable[str] = ()) -> RuleResult:
    return RuleResult(
        number=rule.number,
        sentence=rule.sentence,
        source=rule.source,
        promise=rule.promise,
        verdict=verdict,
        promised=not rule.unpromised,
        reason=rule.unpromised,
        expected=expected,
        observed=observed,
        calls=list(calls),
    )
