"""What a play comes to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Found:
    """A value of `LockCell`, the reason where it needs one, and what was measured on the way, in ns."""

    value: str
    reason: str = ""
    samples_ns: list[float] = field(default_factory=list)


YES, NO = Found("yes"), Found("no")
