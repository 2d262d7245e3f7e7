"""Perform the programs of a rule on a stage, one call at a time, and judge the rule by the results.

The rules are judged one after the other; those of a guarantee are given up where too many of its calls hang.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from lab.errors import CannotRunError
from lab.locking.registry import OWN
from lab.records import CheckVerdict, RuleResult

from .actors.pool import ActorPool
from .blame import CUT_SHORT, UNANSWERED, WAITING, Before, blame, family_of
from .guarantees import EXCLUSION
from .language import Call, Step, parse


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `guarantee` names the line of the verdict that it counts for (`lab.checking.guarantees`).

    `part` is the part of a check that judges it: rules, faults or stress. Each program is performed on a file of its
    own; a rule of the stress has none, races judge it (`lab.checking.stress.plan`). `unguaranteed` gives the reason
    where Linux behaves so and guarantees it nowhere: a difference is then shown and makes nothing unsafe. A rule with a
    `risk` may harm the client of a network filesystem: it is performed last, and there only on request.
    """

    number: int
    sentence: str
    source: str
    guarantee: str
    programs: tuple[str, ...] = ()
    unguaranteed: str = ""
    part: str = "rules"
    risk: str = ""

    def steps(self) -> list[tuple[Step, ...]]:
        """Return the parsed programs; raise ValueError where one is no program."""
        return [parse(program) for program in self.programs]


NO_ROOM = ("ENOSPC", "EDQUOT")
ENDINGS = frozenset({"exit", "killed"})
UNWOKEN = " (another got it at once)"
"""The words after the expectation of a waiter that was not granted a free lock."""

SPARE = "SPARE"
"""An actor that no rule has: it checks whether a lock is free that a waiter was not given."""

UNASKED = "a request was not answered"
UNTOLD = "who waits is not woken"
"""The reason why a rule is no evidence for its own guarantee where all its programs need a waiter to be woken."""

WORST_FIRST: tuple[CheckVerdict, ...] = ("unsafe", "unsupported", "unknown", "safe")


class Stage(Protocol):
    """The place of actors and files: the model's (`lab.checking.oracle`) or the real ones (`lab.checking.actors`)."""

    def perform(self, call: Call, expected: Sequence[str]) -> str:
        """Return the result of the call (`lab.checking.language`); the expected results may help to observe it."""


Stages = Callable[[], AbstractContextManager[Stage]]


@dataclass(frozen=True, slots=True)
class Departure:
    """A call of a program with a result that the rule does not allow, and the guarantee that this is about."""

    calls: tuple[str, ...]
    expected: str
    observed: str
    verdict: CheckVerdict
    guarantee: str = ""


@dataclass(slots=True)
class _Run:
    """One program as far as it has been performed."""

    stage: Stage
    guarantee: str
    done: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    ended: bool = False
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: dict[str, Call] = field(default_factory=dict)
    """The last call of each actor that may wait: an observation of a waiter is about that call."""

    def perform(self, step: Step) -> Departure | None:
        call = step.call
        observed = self.stage.perform(call, step.expected)
        self.done.append(f"{call} = {observed}")
        if observed in NO_ROOM:
            raise CannotRunError(f"the filesystem is full ({observed} for {call}); make room, or give another DIR")
        departed = None if _agrees(observed, step.expected) else self._departure(step, observed)
        self._note(call, observed)
        return departed

    def _departure(self, step: Step, observed: str) -> Departure:
        asked = self.asked.get(step.call.actor, step.call) if step.call.verb in WAITING else step.call
        wanted, free = step.wanted, step.call.verb == "returns" and observed == "waits" and self._is_free(asked)
        found = blame(self.guarantee, step, asked, observed, Before(frozenset(self.held), self.ended), free=free)
        if free:
            wanted += UNWOKEN
        return Departure(tuple(self.done), wanted, found.observed, found.verdict, found.guarantee)

    def _is_free(self, asked: Call) -> bool:
        """Tell whether another process gets at once what the waiter asks for."""
        name, *words = asked.made.args
        file = self.files.get((asked.actor, name))
        if file is None:
            return False
        verb = asked.made.verb.replace("SETLKW", "SETLK")
        request = Call(SPARE, verb, (file, *(word for word in words if word != "wait")))
        opened = self.stage.perform(Call(SPARE, "open", (file,)), ("ok",))
        return opened == "ok" and self.stage.perform(request, ("granted",)) == "granted"

    def _note(self, call: Call, observed: str) -> None:
        verb, args = call.made[1:]
        if call.may_wait:
            self.asked[call.actor] = call
        if observed == "granted" and family_of(call) and "unlock" not in args:
            self.held.add(family_of(call))
        if verb == "open":
            self.files[call.actor, args[2] if "as" in args else args[0]] = args[0]
        elif verb in ("fork", "clone"):
            self.files |= {(args[0], name): file for (actor, name), file in self.files.items() if actor == call.actor}
        self.ended = self.ended or verb in ENDINGS or observed == "SIGBUS"


def departures(steps: Iterable[Step], stage: Stage, guarantee: str = "") -> list[Departure]:
    """Perform the steps up to the first that departs from the rule and is about its guarantee; return all departures.

    A departure at a step of another guarantee is one of several: the rest is performed where it can continue. Raises
    CannotRunError where the filesystem is full.
    """
    run, found = _Run(stage, guarantee), list[Departure]()
    for step in steps:
        departed = run.perform(step)
        if departed:
            found.append(departed)
            if departed.guarantee == guarantee or unanswered(run.done) or not _goes_on(step.call):
                break
    return found


def _goes_on(call: Call) -> bool:
    """Tell whether the following steps make sense though this call had another result."""
    return call.verb == "read" or (bool(family_of(call)) and not call.may_wait)


def _agrees(observed: str, expected: tuple[str, ...]) -> bool:
    """Tell whether it is one of the outcomes; a holder on another host, reported as "somebody", may be any process."""
    what, by, who = observed.rpartition(" by ")
    if by and who == "somebody":
        return what in [each.rpartition(" by ")[0] for each in expected]
    return observed in expected


def needs_waking(steps: Sequence[Step]) -> frozenset[str]:
    """Return the locks of which a waiter has to be woken in a program, by their guarantees."""
    if not any(step.call.verb == "returns" for step in steps):
        return frozenset()
    return frozenset(family_of(step.call) for step in steps if step.call.may_wait)


def findings(rule: Rule, stage: Stages, unwoken: Collection[str] = ()) -> list[RuleResult]:
    """Perform the rule's programs, each on a new stage; return the results for the rule and for other guarantees.

    Ends with the first program that is broken, which outweighs what is not supported. Programs in which a process waits
    for a lock whose waiters are known not to be woken are left out.
    """
    if not rule.programs:
        return [not_tried(rule, "left to the stress")]
    own, others, completed, asleep = list[Departure](), dict[str, Departure](), False, set(unwoken)
    for steps in rule.steps():
        if needs_waking(steps) & asleep:
            continue
        with stage() as where:
            found = departures(steps, where, rule.guarantee)
        mine = [each for each in found if each.guarantee == rule.guarantee]
        for each in found:
            others.setdefault(each.guarantee, each)
        own += mine
        completed = completed or not found or (not mine and _told_all(found[-1], steps))
        if any(each.verdict == "unsafe" for each in mine) or any(unanswered(each.calls) for each in found):
            break
        if any(each.observed == "waits" for each in found):
            asleep |= needs_waking(steps)
    others.pop(rule.guarantee, None)
    own = [each for each in own if not (completed and each.observed.startswith(CUT_SHORT))]
    silent = UNASKED if any(unanswered(each.calls) for each in others.values()) else UNTOLD
    told = _entry(rule, "safe", "as demanded") if completed else not_tried(rule, silent)
    return [_of(rule, min(own, key=_badness)) if own else told, *(_of(rule, each) for each in others.values())]


def _badness(found: Departure | RuleResult) -> int:
    return WORST_FIRST.index(found.verdict)


def _told_all(last: Departure, steps: Sequence[Step]) -> bool:
    """Tell whether every step was performed and answered, though one of another guarantee departed."""
    return not unanswered(last.calls) and (len(last.calls) == len(steps) or _goes_on(steps[len(last.calls) - 1].call))


def unanswered(calls: Sequence[str]) -> bool:
    """Tell whether the last of these calls did not return."""
    return bool(calls) and f" = {UNANSWERED}" in calls[-1]


def worst_result(rule: Rule, stage: Stages) -> RuleResult:
    """Return the worst result of a rule for any guarantee."""
    return min(findings(rule, stage), key=_badness)


def _of(rule: Rule, departed: Departure) -> RuleResult:
    """Return the rule's entry for the guarantee that a departure is about."""
    made = _entry(rule, departed.verdict, departed.observed, departed.expected, departed.calls)
    return replace(made, guarantee=departed.guarantee)


def not_tried(rule: Rule, reason: str) -> RuleResult:
    """Return the entry of a rule whose programs were not performed."""
    return _entry(rule, "unknown", f"not tried: {reason}")


def _entry(
    rule: Rule, verdict: CheckVerdict, observed: str, expected: str = "", calls: Iterable[str] = ()
) -> RuleResult:
    return RuleResult(
        number=rule.number,
        sentence=rule.sentence,
        source=rule.source,
        guarantee=rule.guarantee,
        verdict=verdict,
        guaranteed=not rule.unguaranteed,
        reason=rule.unguaranteed,
        expected=expected,
        observed=observed,
        calls=list(calls),
    )


HANGS_AT_MOST = 2
"""At most this many rules of one guarantee may end in a call that hangs; there are more, and a hang takes seconds."""

STUCK_AT_MOST = 2
"""A lock is not used any more after requests for it have left this many processes stuck in the kernel."""


def judge_all(rules: Sequence[Rule], actor_pool: ActorPool, tell: Callable[[str], None]) -> Iterator[RuleResult]:
    """Yield the results of these rules on real processes, as they come.

    A hang counts for the guarantee of its rule: after HANGS_AT_MOST of them the rules of this guarantee in which
    a process waits are not tried. A lock whose waiters were left asleep that often is no longer waited for, and one
    that left STUCK_AT_MOST processes stuck is not used any more.
    """
    budget = _Budget()
    if rules:
        actor_pool.know_handoffs()
    for rule in rules:
        tell(f"rule {rule.number}")
        if reason := budget.spent_on(rule):
            yield not_tried(rule, reason)
            continue
        stuck = len(actor_pool.stuck)
        found = findings(rule, actor_pool.stage, budget.unwoken)
        budget.note(rule, found, len(actor_pool.stuck) - stuck)
        yield from found


class _Budget:
    """The number of hangs, by guarantee and by lock."""

    def __init__(self) -> None:
        self._hung: Counter[str] = Counter()
        self._asleep: Counter[str] = Counter()
        self._stuck: Counter[str] = Counter()

    @property
    def unwoken(self) -> list[str]:
        """Return the locks whose waiters are not woken."""
        return [family for family, times in self._asleep.items() if times >= HANGS_AT_MOST]

    def spent_on(self, rule: Rule) -> str:
        """Return the reason why a rule is not tried any more; empty where it is."""
        calls = [step.call for steps in rule.steps() for step in steps]
        stuck = [family for family in EXCLUSION if self._stuck[family] >= STUCK_AT_MOST]
        for family in stuck:
            if any(family_of(call) == family for call in calls):
                title = OWN[EXCLUSION[family]].title
                return f"{self._stuck[family]} processes were left stuck by requests for {title} before"
        if self._hung[rule.guarantee] >= HANGS_AT_MOST and any(call.may_wait for call in calls):
            return f"{self._hung[rule.guarantee]} calls hung before"
        return ""

    def note(self, rule: Rule, found: Sequence[RuleResult], stuck: int) -> None:
        """Record the result of a rule, and how many processes it left stuck."""
        for each in filter(hung, found):
            if UNWOKEN in each.expected:
                self._asleep[_lock_of_waiter(each.calls)] += 1
            if UNWOKEN not in each.expected or rule.guarantee == each.guarantee:
                self._hung[rule.guarantee] += 1
        if stuck:
            asked = {family_of(_call(each.calls[-1])) for each in found if unanswered(each.calls)}
            self._stuck.update(asked or {family_of(step.call) for steps in rule.steps() for step in steps})


def _lock_of_waiter(calls: Sequence[str]) -> str:
    """Return the lock that the actor of the last call had waited for."""
    actor = _call(calls[-1]).actor
    asked = [call for call in map(_call, calls) if call.actor == actor and call.may_wait]
    return family_of(asked[-1]) if asked else ""


def _call(line: str) -> Call:
    """Return the call of a line of evidence."""
    [step] = parse(line)
    return step.call


def hung(done: RuleResult) -> bool:
    """Tell whether the last call was not answered, or a waiter not woken whose turn had come."""
    return unanswered(done.calls) or (bool(done.calls) and ": returns = waits" in done.calls[-1])
