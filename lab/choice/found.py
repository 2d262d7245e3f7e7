"""What a play comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.results import Shown


@dataclass(frozen=True, slots=True)
class Found:
    """A value of `LockCell`, the reason where it needs one, and what was measured on the way, in ns.

    `run` are calls that are not written down on the stage; `detection_limit` is as in `LockCell`.
    """

    value: str
    reason: str = ""
    samples_ns: list[float] = field(default_factory=list)
    run: list[Shown] = field(default_factory=list)
    detection_limit: float | None = None


YES, NO = Found("yes"), Found("no")


def unclear(reason: str, run: Sequence[Shown] = ()) -> Found:
    """What could not be found out, and why."""
    return Found("?", reason, run=list(run))
