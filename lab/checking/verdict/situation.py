"""Collect what the advice depends on: the verdicts by name, the kind of filesystem, and the kinds of failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.analysis.statistics import detection_limit, joined, rate
from lab.checking.guarantees import DATA, EXCLUSION
from lab.locking.registry import OWN
from lab.records import CheckVerdict, Guarantee, Mount, RuleResult, StressResult, Stuck

from . import evidence
from .evidence import double_grant, hung_alone, leaked, met_for, outlived, too_wide, unanswered, unwoken

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
        return f"{rate(share)} of updates lost" if share else ""

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
