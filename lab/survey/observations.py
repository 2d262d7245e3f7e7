"""Define the findings of an experiment on a lock, and the times after which a request counts as waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.records import Shown


@dataclass(frozen=True, slots=True)
class Found:
    """A value of `LockCell`, the reason where it needs one, and the samples that were measured meanwhile, in ns.

    `run` are calls that are not written down on the stage; `detection_limit` is as in `LockCell`.
    """

    value: str
    reason: str = ""
    samples_ns: list[float] = field(default_factory=list)
    run: list[Shown] = field(default_factory=list)
    detection_limit: float | None = None


YES, NO = Found("yes"), Found("no")


def unclear(reason: str, run: Sequence[Shown] = ()) -> Found:
    """Return the finding "unclear" with its reason."""
    return Found("?", reason, run=list(run))


LOOKS = 10
SHORTEST_S = 0.02
"""The shortest time, in seconds, after which a request without an answer counts as waiting.

It counts so where it has left the processor so often by then that it evidently polls.
"""

SETTLE_S = 0.15
"""The time, in seconds, after which a request that polls less often counts as waiting if it sleeps.

It is three times 50 ms, the interval at which libraries usually poll: a false grant comes at once.
"""

BUSY_S = 1.0
"""The time, in seconds, after which a request that never sleeps counts as waiting: it spins."""

GRANT_S = 1.2
"""The time, in seconds, after which a request that should have been granted counts as hung.

It is over four times 250 ms, the interval of the slowest library known.
"""

USUAL_S = 0.01
"""The time, in seconds, in which a free lock is granted.

Where it takes longer, all these times grow by the same factor.
"""

LOOK_AGAIN_S = 0.001
