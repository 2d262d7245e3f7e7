"""The findings of an experiment on a lock, and after how long a request counts as waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.records import Shown


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
    """Return the finding that there is none, and why."""
    return Found("?", reason, run=list(run))


LOOKS = 10
SHORTEST_S = 0.02
"""A request that is not answered waits where, after this time, it has left the processor so often: it looks again."""

SETTLE_S = 0.15
"""One that does not look so often is said to wait when it sleeps after this time.

Three times 50 ms, in which libraries that poll usually look again: a lock that wrongly lets in does so at once.
"""

BUSY_S = 1.0
"""A request that never sleeps is said to wait after this time: it spins."""

GRANT_S = 1.2
"""A request that is to be let in and is not after this time hangs: over four times 250 ms, the slowest poller known."""

USUAL_S = 0.01
"""A free lock is granted in this time; where it takes longer, all these times are so much longer too."""

LOOK_AGAIN_S = 0.001
