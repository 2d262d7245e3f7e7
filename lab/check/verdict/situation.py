"""What the advice depends on: the verdicts by name, what kind of filesystem it is, and how things failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.model.figures import rate
from lab.results import Answered, Mount, Promise, RuleResult, Soaked, Stuck

from ..promises import DATA, EXCLUSION
from .evidence import ACCESS, contended

SPOKEN = {"posix": "POSIX locks", "ofd": "open file description locks", "flock": "flock"}
WAYS = {
    "pread": "pread and pwrite under the lock",
    "mapping": "a mapping under the lock",
    "reopened": "a mapping of the file opened and closed inside a lock on another file",
}
"""How to reach the data, by the promise that it is safe."""

OFTEN = 0.25
"""A lock that lies to more of those who wait is none; one that is no lock between two mounts lies to half of them."""

DENIALS = ("EAGAIN", "EACCES", "waits")


@dataclass(frozen=True, slots=True)
class Situation:
    """All that was found, with the questions that advice asks of it."""

    promises: Sequence[Promise]
    mounts: Sequence[Mount]
    rules: Sequence[RuleResult]
    soak: Sequence[Soaked]
    stuck: Sequence[Stuck]

    def are(self, verdict: Answered, among: Sequence[str]) -> list[str]:
        """The names of the promises, of these, with that verdict."""
        found = {each.name for each in self.promises if each.verdict == verdict}
        return [name for name in among if name in found]

    def is_(self, name: str, verdict: Answered) -> bool:
        """True where this promise has that verdict."""
        return bool(self.are(verdict, [name]))

    @property
    def all_safe(self) -> bool:
        """True where everything asked is safe."""
        return all(each.verdict == "safe" for each in self.promises)

    @property
    def several(self) -> bool:
        """True for one filesystem seen through several mounts."""
        return len(self.mounts) > 1

    @property
    def excluding(self) -> list[str]:
        """The locks that exclude."""
        return self.are("safe", list(EXCLUSION))

    @property
    def lawless(self) -> bool:
        """True where locks are granted twice and none excludes: what else is broken then follows from that."""
        return bool(self.lying) and not self.excluding

    @property
    def lying(self) -> list[str]:
        """The locks under which two held what only one may."""
        held = {row.case.lock for row in self.soak if row.case.overlapping_holds}
        granted = {rule.promise for rule in self.rules if _granted_twice(rule)}
        return [name for name in self.are("unsafe", list(EXCLUSION)) if EXCLUSION[name] in held or name in granted]

    @property
    def seldom(self) -> list[str]:
        """Of those the ones that keep most who wait apart."""
        return [name for name in self.lying if self._met(name) and self.share(name) < OFTEN]

    @property
    def plainly_lying(self) -> list[str]:
        """The others, which are as good as no locks."""
        return [name for name in self.lying if name not in self.seldom]

    @property
    def failing(self) -> list[str]:
        """The locks that do not do all that they should, whatever it is."""
        return self.are("unsafe", list(EXCLUSION))

    def share(self, name: str) -> float:
        """How many of the requests for this lock that met a holder were let in beside him."""
        overlaps = sum(row.case.overlapping_holds for row in self._waited(name))
        return overlaps / self._met(name) if self._met(name) else 0.0

    def _met(self, name: str) -> int:
        return sum(contended(row) for row in self._waited(name))

    def _waited(self, name: str) -> list[Soaked]:
        """The races in which it was waited for: those that ask again and again are refused far more often.

        Those count only where two were in nowhere else.
        """
        rows = [row for row in self.soak if row.case.lock == EXCLUSION[name]]
        waited = [row for row in rows if not row.polled]
        return waited if any(row.case.overlapping_holds for row in waited) else rows

    @property
    def leaks(self) -> bool:
        """True where an open file description's lock was still there when it ought to have gone."""
        return any(map(_leaked, self.rules))

    def only_hangs(self, name: str) -> bool:
        """True where every rule of the promise that fails does so by a call that does not come back."""
        failed = [rule.observed for rule in self.rules if rule.promise == name and rule.verdict == "unsafe"]
        return bool(failed) and all(observed == "waits" or observed.startswith("no ") for observed in failed)

    @property
    def false_deadlocks(self) -> bool:
        """True where EDEADLK came though there was no cycle."""
        asked = [rule for rule in self.rules if rule.verdict == "unsafe" and rule.observed == "EDEADLK"]
        return bool(asked) or any(row.case.false_deadlocks for row in self.soak)

    def of_kind(self, *prefixes: str) -> bool:
        """True where a filesystem's type begins so."""
        return any(mount.filesystem.startswith(prefixes) for mount in self.mounts)

    def lost(self, name: str) -> str:
        """The largest share of an access's rounds that was damaged, in words; empty where nothing was."""
        rows = [row.case for row in self.soak if row.promise == name or ACCESS.get(row.region) == name]
        share = max((case.corruption_rate for case in rows if not case.overlapping_holds), default=0.0)
        return f"{rate(share)} of updates lost" if share else ""

    @property
    def incoherent(self) -> list[str]:
        """The ways to the data on which it broke though the locks exclude."""
        broken = self.are("unsafe", list(WAYS)) if self.excluding else []
        return [name for name in broken if self.lost(name)]

    @property
    def safe_ways(self) -> list[str]:
        """The ways to the data that are safe, in words."""
        return [WAYS[name] for name in self.are("safe", list(DATA)) if name in WAYS]


def spoken(names: Sequence[str]) -> str:
    """Locks by their names, joined."""
    return joined([SPOKEN[name] for name in names])


def joined(words: Sequence[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _leaked(rule: RuleResult) -> bool:
    """Denied after all who had the description closed it, in a program that takes such locks."""
    ended = any(f": {verb}" in call for call in rule.calls for verb in ("close", "exit", "killed"))
    described = any("F_OFD_SETLK" in call for call in rule.calls[:-1])
    denied = rule.verdict == "unsafe" and rule.observed in DENIALS and not _denial_wanted(rule)
    return ended and described and denied


def _denial_wanted(rule: RuleResult) -> bool:
    return any(word in rule.expected for word in DENIALS)


def _granted_twice(rule: RuleResult) -> bool:
    return rule.promised and rule.verdict == "unsafe" and rule.observed in ("granted", "free") and _denial_wanted(rule)
