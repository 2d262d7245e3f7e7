"""Collect what the advice depends on: the verdicts by name, the kind of filesystem, the kinds and causes of failure.

Many rules and races often show one fault: what speaks against the guarantees is grouped by its cause. The cause of a
rule that does not hold follows from its calls, as the advice reads them. A race in which holds overlapped shows the
same cause as a rule that saw the lock granted twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lab.analysis.statistics import detection_limit, joined, rate
from lab.checking.guarantees import DATA, EXCLUSION, GUARANTEES, HELD
from lab.locking.registry import OWN
from lab.records import (
    Check,
    CheckVerdict,
    Difference,
    Guarantee,
    LockProbe,
    Mount,
    RuleResult,
    StressResult,
    Stuck,
    TurnResult,
)

from . import evidence
from .between_hosts import lost_by
from .evidence import (
    ACCESS,
    DENIALS,
    STRESSED,
    double_grant,
    hangs,
    hung_alone,
    leaked,
    lock_of,
    met_for,
    misreports,
    outlived,
    result_of,
    too_wide,
    unanswered,
    unwoken,
)

REOPENED = "the file opened and closed inside a lock on another file"

WAYS = {
    "pread": "pread and pwrite under the lock",
    "mapping": "a mapping under the lock",
    "mixed": "a mapping beside pread and pwrite under the lock",
    "remapped": REOPENED,
    "remapped_pread": REOPENED,
    "whole_file": REOPENED,
}
"""The ways to the data, by the guarantee of each."""

OFTEN = 0.25
"""A lock with a larger share of false grants is no lock; one that is none between two mounts grants half falsely."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All findings, with the questions that advice asks of them."""

    guarantees: Sequence[Guarantee]
    mounts: Sequence[Mount]
    rules: Sequence[RuleResult]
    stress: Sequence[StressResult]
    stuck: Sequence[Stuck]
    probes: Sequence[LockProbe] = ()
    turns: Sequence[TurnResult] = ()
    on_hosts: bool = False

    @property
    def between(self) -> str:
        """Return the places between which it was checked, in words."""
        return "between these hosts" if self.on_hosts else "between these mounts"

    def are(self, verdict: CheckVerdict, among: Sequence[str]) -> list[str]:
        """Return the names of those of these guarantees that have that verdict."""
        found = {each.name for each in self.guarantees if each.verdict == verdict}
        return [name for name in among if name in found]

    def is_(self, name: str, verdict: CheckVerdict) -> bool:
        """Tell whether this guarantee has that verdict."""
        return bool(self.are(verdict, [name]))

    @property
    def all_safe(self) -> bool:
        """Tell whether everything that was requested is safe."""
        return all(each.verdict == "safe" for each in self.guarantees)

    @property
    def several(self) -> bool:
        """Tell whether it is one filesystem seen through several mounts."""
        return len(self.mounts) > 1

    @property
    def excluding(self) -> list[str]:
        """Return the locks that exclude."""
        return self.are("safe", list(EXCLUSION))

    @property
    def dependable(self) -> list[str]:
        """Return the excluding locks with enough requests to have shown the rarest rate of false grants seen."""
        seen = {name: detection_limit(met_for(name, self.stress)) or 1.0 for name in self.excluding}
        return [name for name in seen if seen[name] < self.rarest_false_grant]

    @property
    def too_little_tried(self) -> list[str]:
        """Return the other excluding locks: they may grant as rarely falsely, unseen."""
        return [name for name in self.excluding if name not in self.dependable]

    @property
    def rarest_false_grant(self) -> float:
        """Return the smallest share of requests that a lock granted falsely; infinite where none was counted."""
        return evidence.rarest(self.lying, self.rules, self.stress)

    @property
    def lawless(self) -> bool:
        """Tell whether locks are granted twice and none excludes: other faults then follow from that."""
        return bool(self.lying) and not self.excluding

    @property
    def lying(self) -> list[str]:
        """Return the locks with conflicting holds that overlapped."""
        held = {row.case.lock for row in self.stress if row.case.overlapping_holds}
        granted = {double_grant(rule) for rule in self.rules}
        granted |= {each.lock for each in self.probes if each.granted_falsely}
        return [name for name in self.are("unsafe", list(EXCLUSION)) if EXCLUSION[name] in held or name in granted]

    @property
    def seldom(self) -> list[str]:
        """Return the locks with false grants that still exclude most of the time."""
        return [name for name in self.lying if 0 < self.share(name) < OFTEN]

    @property
    def plainly_lying(self) -> list[str]:
        """Return the other locks with false grants, which are as good as no locks."""
        return [name for name in self.lying if name not in self.seldom]

    @property
    def failing(self) -> list[str]:
        """Return the locks that do not do all that they should, whatever it is."""
        return self.are("unsafe", list(EXCLUSION))

    def share(self, name: str) -> float:
        """Return the share of the requests for this lock that met a holder and were falsely granted."""
        return evidence.share(name, self.stress)

    @property
    def broken(self) -> list[RuleResult]:
        """Return the rules that do not hold and are guaranteed."""
        return [rule for rule in self.rules if rule.verdict == "unsafe" and rule.guaranteed]

    @property
    def leaks(self) -> bool:
        """Tell whether an open file description's lock was still there when it should have gone."""
        return any(map(leaked, self.broken))

    @property
    def wakes_badly(self) -> bool:
        """Tell whether a waiter was not woken, and not because locks are wider here than requested."""
        return any(map(unwoken, self.broken)) and not any(map(too_wide, self.broken))

    @property
    def outlives(self) -> bool:
        """Tell whether a lock was still there when its owner had gone, or the owner cannot be ended."""
        left = any(map(outlived, self.broken)) and not any(map(too_wide, self.broken))
        return left or (bool(self.stuck) and self.is_("death", "unsafe"))

    @property
    def unanswered(self) -> list[str]:
        """Return the locks of which requests are not answered, though no lock conflicts with them."""
        told = {unanswered(rule) for rule in self.broken}
        alone = {row.case.lock for row in self.stress if hung_alone(row)}
        return [name for name in EXCLUSION if name in told or EXCLUSION[name] in alone]

    def fails(self, name: str, *others: Callable[[RuleResult], bool]) -> bool:
        """Tell whether the guarantee is not kept, and not just by rules that show something else."""
        own = [rule for rule in self.broken if rule.guarantee == name]
        elsewhere = bool(own) and all(any(shows(rule) for shows in others) for rule in own)
        return self.is_(name, "unsafe") and not elsewhere and not self.lawless

    @property
    def doubts(self) -> list[str]:
        """Return the reasons why something stayed unknown."""
        return [text for each in self.guarantees if each.verdict == "unknown" for text in each.evidence]

    @property
    def wants_longer(self) -> bool:
        """Tell whether a longer check would find out more."""
        return any("--seconds" in text for text in self.doubts)

    @property
    def left_open(self) -> bool:
        """Tell whether something stayed unknown, and not just for lack of locks that answer."""
        unknown = any(each.verdict == "unknown" for each in self.guarantees)
        return unknown and (not self.unanswered or self.wants_longer)

    @property
    def false_deadlocks(self) -> bool:
        """Tell whether EDEADLK came though there was no cycle."""
        told = [rule for rule in self.broken if rule.observed == "EDEADLK"]
        return bool(told) or any(row.case.false_deadlocks for row in self.stress)

    def of_kind(self, *prefixes: str) -> bool:
        """Tell whether the type of a mount's filesystem begins with one of these."""
        return any(mount.filesystem.startswith(prefixes) for mount in self.mounts)

    def lost(self, name: str) -> str:
        """Return the largest share of an access's rounds that was damaged, in words; empty where nothing was."""
        rows = [row.case for row in self.stress if row.guarantee == name]
        share = max((case.corruption_rate for case in rows if not case.overlapping_holds), default=0.0)
        return f"{rate(share)} of updates lost" if share else lost_by(name, self.turns)

    @property
    def incoherent(self) -> list[str]:
        """Return the ways to the data on which it broke though the locks exclude."""
        broken = self.are("unsafe", list(WAYS)) if self.excluding else []
        return [name for name in broken if self.lost(name)]

    @property
    def safe_ways(self) -> list[str]:
        """Return the ways to the data that are safe, in words."""
        return list(dict.fromkeys(WAYS[name] for name in self.are("safe", list(DATA)) if name in WAYS))


def spoken(names: Sequence[str]) -> str:
    """Return the names of locks, joined."""
    return joined([OWN[EXCLUSION[name]].title for name in names])


WORST_FIRST = ("unsafe", "unsupported", "unknown")

OTHER_BYTES = "locks are held or reported on other bytes"
LOOKED = re.compile(r": (F_GETLK|F_OFD_GETLK|held)\b")
"""Calls that look at the locks of others."""

REFUSED = re.compile(r"^lock (\w+): .*\((E\w+)\)$")
"""The reason of a race whose lock is not supported."""

FALSE_DEADLOCK = "EDEADLK without a cycle of waiting processes"

KINDS = (
    (leaked, "open file description locks stay after the last close of their file"),
    (outlived, "locks stay after their process has ended"),
    (unwoken, "waiters are not woken"),
    (too_wide, "requests are denied with no lock in their way"),
    (misreports, OTHER_BYTES),
)
"""Faults that calls show, whichever lock it is; the first that fits is the cause."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault, the guarantees that it speaks against, and the rules, random programs and races that show it.

    `exchanges` are the probes and the turns of several hosts that do.
    """

    title: str
    verdict: str
    guarantees: list[str] = field(default_factory=list)
    rules: list[RuleResult] = field(default_factory=list)
    programs: list[Difference] = field(default_factory=list)
    races: list[StressResult] = field(default_factory=list)
    exchanges: list[Difference] = field(default_factory=list)

    @property
    def shown(self) -> RuleResult | None:
        """Return the rule that shows it best: of those with calls the one with the fewest."""
        return min((rule for rule in self.rules if rule.calls), key=lambda rule: len(rule.calls), default=None)


def causes(run: Check) -> list[Cause]:
    """Return the causes of all verdicts but "safe": the worst first, then those of the most guarantees.

    A guarantee against which neither a rule nor a program nor a race speaks has its first evidence as its cause.
    """
    found: dict[str, Cause] = {}
    judged = {each.name: each for each in run.guarantees if each.verdict != "safe"}

    def cause(title: str, verdict: str, *names: str) -> Cause:
        made = found.setdefault(title, Cause(title, verdict))
        made.guarantees.extend(name for name in names if name in judged and name not in made.guarantees)
        return made

    broken = [row for row in run.stress if row.case.overlapping_holds or row.case.damage]
    for rule in broken_rules(run):
        rows = broken if rule.verdict == "unsafe" else run.stress
        race = next((row for row in rows if rule.number in row.rules and row.guarantee == rule.guarantee), None)
        if rule.number in STRESSED and race:
            title = _of_race(race) if rule.verdict == "unsafe" else _of_reason(race.case.reason)
            cause(title, rule.verdict, rule.guarantee).rules.append(rule)
        else:
            cause(_of_rule(rule), rule.verdict, rule.guarantee, double_grant(rule)).rules.append(rule)
    for title, exchange in _exchanges(run):
        cause(title, "unsafe", exchange.guarantee).exchanges.append(exchange)
    for program in run.random.differences if run.random else ():
        cause(_of_program(program), "unsafe", program.guarantee).programs.append(program)
    for row in broken:
        cause(_of_race(row), "unsafe", *_against(row)).races.append(row)
    explained = {name for each in found.values() for name in each.guarantees}
    for guarantee in judged.values():
        if guarantee.name not in explained:
            cause(_of_reason(first_reason(guarantee, run)), guarantee.verdict, guarantee.name)
    for each in found.values():
        each.guarantees.sort(key=list(judged).index)
    shown = [each for each in found.values() if each.guarantees]
    return sorted(shown, key=lambda each: (WORST_FIRST.index(each.verdict), -len(each.guarantees)))


def _exchanges(run: Check) -> Iterator[tuple[str, Difference]]:
    """Yield the titles of the causes that probes and turns show, and what shows them."""
    for probe in run.probes:
        if probe.verdict == "unsafe":
            title = spoken([probe.lock])
            title = _granted(title) if probe.granted_falsely else f"{title}: a reader is refused beside a reader"
            wanted = "EAGAIN" if probe.granted_falsely else "granted"
            yield title, Difference(probe.lock, probe.calls, wanted, probe.answer)
    for turn in run.turns:
        if turn.verdict == "unsafe" and turn.guarantee:
            title = f"{GUARANTEES[turn.guarantee]}: {'stale' if turn.stale else 'broken'} under a working lock"
            yield title, Difference(turn.guarantee, turn.calls, turn.expected, turn.observed)


def broken_rules(run: Check, *, guaranteed: bool = True) -> list[RuleResult]:
    """Return the rules that do not hold, or are not supported, and should be; or those that Linux keeps as a habit."""
    return [rule for rule in run.rules if rule.guaranteed == guaranteed and rule.verdict in ("unsafe", "unsupported")]


def first_reason(guarantee: Guarantee, run: Check) -> str:
    """Return the first reason for the verdict, without the rule or the race that found it."""
    first = "".join(guarantee.evidence[:1])
    reasons = [row.case.reason for row in run.stress if row.guarantee == guarantee.name and row.case.reason]
    bare = re.sub(r"^rule \d+: (?=not tried)", "", first)
    return next((reason for reason in reasons if first.endswith(f": {reason}")), bare)


def _of_rule(rule: RuleResult) -> str:
    """Return the title of its cause."""
    asked = next((lock_of(call) for call in reversed(rule.calls) if lock_of(call)), "")
    if rule.verdict == "unsupported" and rule.observed.startswith("E") and asked:
        return _unsupported(spoken([asked]), rule.observed)
    if rule.expected == "EDEADLK":
        return "deadlocks are not noticed"
    if "EDEADLK" in rule.observed:
        return FALSE_DEADLOCK
    if granted := double_grant(rule):
        return _granted(spoken([granted]))
    if hung := unanswered(rule):
        return f"{spoken([hung])}: requests are not answered"
    return next((words for shows, words in KINDS if shows(rule)), "") or _of_answer(rule, asked)


def _of_answer(rule: RuleResult, asked: str) -> str:
    """Return the title of a cause that no kind of fault describes, from what was expected and observed."""
    denied = rule.observed in DENIALS
    if asked and rule.observed == "granted" and any(word in rule.expected for word in DENIALS):
        return _granted(spoken([asked]))
    if rule.calls and LOOKED.search(rule.calls[-1]):
        return "locks that are held are reported as free" if rule.observed == "free" else OTHER_BYTES
    if asked and denied and rule.expected == "success" and not hangs(rule):
        return "locks stay that a close or an unlock should have released"
    return "calls do not return" if hangs(rule) else f"expected {rule.expected}, observed {rule.observed}"


def _of_program(program: Difference) -> str:
    """Return the title of its cause: that of a rule with these calls."""
    return _of_rule(
        RuleResult(
            number=0,
            sentence="",
            source="",
            guarantee=program.guarantee,
            verdict="unsafe",
            guaranteed=True,
            reason="",
            expected=program.expected,
            observed=program.observed,
            calls=program.calls,
        )
    )


def _of_race(row: StressResult) -> str:
    """Return the title of its cause."""
    if row.case.overlapping_holds:
        return _granted(_name_of(row.case.lock))
    name = ACCESS.get(row.backing, row.guarantee) if row.guarantee in HELD else row.guarantee
    without = "" if row.case.lock == "none" else " under a working lock"
    return f"{GUARANTEES.get(name, name)}: broken{without}"


def _of_reason(reason: str) -> str:
    """Return the title of a cause that only a sentence describes: that of a lock that is not supported, or itself."""
    refused = REFUSED.match(reason)
    return _unsupported(_name_of(refused[1]), refused[2]) if refused else reason or "nothing was found out"


def _name_of(lock: str) -> str:
    """Return what a lock is called, by its name in a race."""
    family = next((name for name, known in HELD.items() if known == lock), "")
    if family in EXCLUSION:
        return spoken([family])
    return GUARANTEES[family].removesuffix(" exclude") if family else lock


def _granted(lock: str) -> str:
    return f"{lock}: granted to two at once"


def _unsupported(lock: str, error: str) -> str:
    return f"{lock}: not supported ({error})"


def _against(row: StressResult) -> Iterator[str]:
    """Yield the guarantees that a broken race speaks against."""
    yield row.guarantee
    if row.case.overlapping_holds:
        yield from (name for name, lock in HELD.items() if lock == row.case.lock)
    elif row.guarantee in HELD and row.backing in ACCESS:
        yield ACCESS[row.backing]


def worst_race(races: Sequence[StressResult]) -> str:
    """Return what went wrong in the race with the largest rate of corruption."""
    return result_of(max(races, key=lambda row: row.case.corruption_rate)) if races else ""
