"""What the tests of the advice share: findings made by hand, and all that is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lab.checking.verdict.advice import advice
from lab.records import CheckVerdict, RuleResult, StressResult
from tests.report.checked_records import case, guarantee, mounts, race, rule

ONE = ("ext4",)
TWO = ("fuse", "fuse")
ALL_EXCLUDE: dict[str, CheckVerdict] = {"posix": "safe", "ofd": "safe", "flock": "safe"}


def said(*kinds: str, **found: Any) -> str:
    """The advice, all of it: `rules`, `stress` and `stuck` are findings, all else guarantees with their verdicts."""
    findings = {name: found.pop(name, ()) for name in ("rules", "stress", "stuck")}
    guarantees = [guarantee(name, verdict) for name, verdict in found.items()]
    return "\n".join(advice(guarantees, mounts(*(kinds or ONE)), **findings))


def given(*kinds: str, **found: Any) -> partial[str]:
    """A situation: the kinds of its mounts, and what was found there."""
    return partial(said, *kinds, **found)


def check_advice(situation: partial[str], words: Sequence[str], others: Sequence[str]) -> None:
    """All of the words are said there, and none of the others."""
    told = situation()
    assert [word for word in words if word not in told] == [], told
    assert [word for word in others if word in told] == [], told


def lying(lock: str = "fcntl", met: int = 100, overlaps: int = 90) -> StressResult:
    return race({"fcntl": "posix"}.get(lock, lock), raced=case(lock, met=met, overlaps=overlaps))


def keeping(lock: str, met: int) -> StressResult:
    """A race for a lock that let nobody in, of so many who met a holder."""
    return race({"fcntl": "posix"}.get(lock, lock), raced=case(lock, met=met))


def losing(name: str, backing: str) -> StressResult:
    return race(name, backing, case(lost=500))


HELD = ["A: open f = ok", "B: open f = ok", "A: F_SETLK f write 0 10 = granted"]
WAITING = [*HELD, "B: F_SETLKW f write 0 10 = waits"]


def hanging(*calls: str, guarantee: str = "blocking") -> RuleResult:
    """A rule of which the last waiter does not come back."""
    calls = (*WAITING, *calls, "B: returns = waits")
    return rule(39, guarantee, "unsafe", expected="success", observed="waits", calls=list(calls))


UNWOKEN = hanging("A: F_SETLK f unlock 0 10 = granted")
OUTLIVED = hanging("A: killed = ok", guarantee="death")
TOO_WIDE = rule(
    4, "ranges", "unsafe", expected="success", observed="EAGAIN", calls=[*HELD, "B: F_SETLK f write 20 1 = EAGAIN"]
)
