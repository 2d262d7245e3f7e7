"""What the tests of the advice share: findings made by hand, and all that is said of them."""

from __future__ import annotations

from typing import Any

from lab.check.verdict.advice import advice
from lab.records import Answered, RuleResult, Soaked
from tests.report.checked_records import case, mounts, promise, race, rule

ONE = ("ext4",)
TWO = ("fuse", "fuse")
ALL_EXCLUDE: dict[str, Answered] = {"posix": "safe", "ofd": "safe", "flock": "safe"}


def said(*kinds: str, **found: Any) -> str:
    """The advice, all of it: `rules`, `soak` and `stuck` are findings, all else promises with their verdicts."""
    findings = {name: found.pop(name, ()) for name in ("rules", "soak", "stuck")}
    promises = [promise(name, verdict) for name, verdict in found.items()]
    return "\n".join(advice(promises, mounts(*(kinds or ONE)), **findings))


def lying(lock: str = "fcntl", met: int = 100, overlaps: int = 90) -> Soaked:
    return race({"fcntl": "posix"}.get(lock, lock), raced=case(lock, met=met, overlaps=overlaps))


def keeping(lock: str, met: int) -> Soaked:
    """A race for a lock that let nobody in, of so many who met a holder."""
    return race({"fcntl": "posix"}.get(lock, lock), raced=case(lock, met=met))


def losing(name: str, region: str) -> Soaked:
    return race(name, region, case(lost=500))


HELD = ["A: open f = ok", "B: open f = ok", "A: F_SETLK f write 0 10 = granted"]
WAITING = [*HELD, "B: F_SETLKW f write 0 10 = waits"]


def hanging(*calls: str, promise: str = "blocking") -> RuleResult:
    """A rule of which the last waiter does not come back."""
    calls = (*WAITING, *calls, "B: returns = waits")
    return rule(39, promise, "unsafe", expected="success", observed="waits", calls=list(calls))


UNWOKEN = hanging("A: F_SETLK f unlock 0 10 = granted")
OUTLIVED = hanging("A: killed = ok", promise="death")
TOO_WIDE = rule(
    4, "ranges", "unsafe", expected="success", observed="EAGAIN", calls=[*HELD, "B: F_SETLK f write 20 1 = EAGAIN"]
)
