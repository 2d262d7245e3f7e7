"""Define the records of `locks` and `backings`: what each does here, of a lock with the run that shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Header


@dataclass(frozen=True, slots=True)
class Cell:
    """One property of one backing: what is expected, and what was observed; `ok` where this begins with that.

    Where a backing could not be set up, all its properties are "refused", and its set-up is the name of the errno.
    """

    property: str
    backing: str
    expected: str
    observed: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Property:
    """One row of the comparison: its name, and how it was observed, or that it is so by definition."""

    name: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingSurvey(Header):
    """One invocation of `backings`."""

    command: Literal["backings"] = "backings"
    directory: str
    backings: list[str]
    properties: list[Property]
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class ActorCall:
    """One call of a run: the actor that made it, the call in words, and its result."""

    actor: str
    call: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockCell:
    """One property of one lock, as it was observed, and the calls that show it, in order.

    `value` is "yes" or "no", "both" (kill: two processes held the lock after a death), "fails" (signal, namespace: a
    request ended with an error), "hangs" (the same and kill: in a race nobody was let in any more), "-" where the
    question does not arise or cannot be asked, "?" where it is inconclusive, "open" (exec: only where the descriptor
    stays open), "fifo", "other" or "polls" (order), "measured" (costs: `samples_ns`, ns each, and their median).
    `reason` says why, where the value alone does not. `claimed` is what the lock says of itself, empty where it says
    nothing; `ok` is false where the two differ. `detection_limit` is how rare a false grant (of `kill`, `signal` and
    `namespace`: a fault after which two hold the lock) the races behind a "yes" would have noticed with 95 %
    probability; null without races.
    """

    lock: str
    property: str
    value: str
    reason: str = ""
    claimed: str = ""
    ok: bool = True
    run: list[ActorCall] = field(default_factory=list)
    samples_ns: list[float] = field(default_factory=list)
    median_ns: float | None = None
    detection_limit: float | None = None


@dataclass(frozen=True, slots=True)
class ComparedLock:
    """A lock, its summary, and the reason why it could not be examined; empty where it was."""

    name: str
    summary: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockSurvey(Header):
    """One invocation of `locks`; `seconds` is the longest that a cell was given, `pause_s` how long holders stood.

    `needs` are the properties that the user needs, by name: the report says which locks have them all.
    """

    command: Literal["locks"] = "locks"
    directory: str
    seconds: float
    locks: list[ComparedLock]
    properties: list[Property]
    cells: list[LockCell]
    pause_s: float = 0.0
    needs: list[str] = field(default_factory=list)
