"""The records of the stories: why a lock that was taken protected nothing, call by call, and what cures it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """One call of a story: who made it (a place in the list of workers), the call, and what it came to.

    `note` says in words what matters about it, empty where nothing does; `wrong` marks the call at which it goes wrong.
    """

    worker: int
    call: str
    came_to: str
    note: str
    wrong: bool


@dataclass(frozen=True, slots=True)
class Telling:
    """Calls in the order in which they were made, and what is to be said of them in the end."""

    workers: list[str]
    calls: list[Told]
    moral: list[str]


@dataclass(frozen=True, slots=True)
class Story:
    """A lesson as it is told: one line about it, how it goes wrong, why, what cures it, and how it goes then.

    `cured` has no calls where every schedule holds, and none is more telling than the others.

    `source` says where the calls come from: "explored" (the explorer's shortest failure) or "performed" (a program).
    """

    scenario: str
    summary: str
    source: str
    broken: Telling
    why: str
    cure: str
    cured: Telling
