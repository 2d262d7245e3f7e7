"""Define the documents of the tutorial: the tour, its stories, and what the page lets a reader schedule and crash.

The page carries all states of small cases as the explorer reached them, in tables of numbers: texts, steps, damages and
states refer to one another by their places in the tables, from 0; -1 is nothing. A story says why a lock that was
acquired protected nothing, call by call, and what fixes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .common import Damage, Header


@dataclass(frozen=True, slots=True)
class Observation:
    """A call as a C programmer writes it, the result that the tutorial expects, and the result here.

    Both are "works", the name of an errno or of the signal that ended the caller, "waits", or a value; "X or Y" expects
    either. `row` and `column` place it in the table of its step, where there is one; else they are empty.
    """

    call: str
    expected: str
    observed: str
    ok: bool
    row: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class TourStep:
    """One claim, made to happen; `note` says what the observations cannot show, or where systems may differ.

    `skipped` says what the machine lacks for it, empty where it was performed.
    """

    number: int
    name: str
    claim: str
    note: str
    observations: list[Observation]
    skipped: str = ""

    @property
    def ok(self) -> bool:
        """Return True where every result is as the tutorial claims."""
        return all(each.ok for each in self.observations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tour(Header):
    """One invocation of `tour`: the steps that were asked for."""

    command: Literal["tour"] = "tour"
    page_bytes: int
    steps: list[TourStep]


OPERATIONS = ("load", "store", "lock", "unlock")
"""The operations of a step; its number is a place in this list."""


@dataclass(frozen=True, slots=True)
class ShortestFailure:
    """The schedule with the fewest preemptions that breaks: which worker does each step, and why it breaks."""

    schedule: list[int]
    headline: str
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class Play:
    """All states of a scenario under a lock, with so many workers and rounds, and steps of at most `line_bytes`.

    `cells` are the parts of the memory that any step touches: the name, and the content at the beginning.

    `steps`: worker, round, operation (of OPERATIONS), the text of its field, the text of its value (as `Step.value` has
    it; -1 for none), its first cell, and the texts that it puts into this cell and those after it.

    `states`, the first is the beginning: all schedules that go on from it, those of them that break, its ending, and
    for each worker a step and a state: the one that it leads to, -1 once the worker has finished, and where the worker
    waits -2 less the worker that holds the lock. The ending is -1 while a worker can go on, else a place in `endings`,
    whose lists of damage are empty for a clean end.
    """

    scenario: str
    summary: str
    why: str
    source: str
    lock: str
    workers: int
    rounds: int
    line_bytes: int
    texts: list[str]
    cells: list[list[int]]
    steps: list[list[int]]
    endings: list[list[Damage]]
    states: list[list[int]]
    shortest: ShortestFailure | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A scenario that cannot be played, and the reason."""

    scenario: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plays:
    """The scenarios that can be played, each without a lock and with one, and those that cannot."""

    plays: list[Play]
    left_out: list[LeftOut]


@dataclass(frozen=True, slots=True)
class StoryCall:
    """One call of a story: the worker that made it (a place in the list of workers), the call, and its result.

    `note` says in words what matters about it, empty where nothing does; `wrong` marks the call at which it goes wrong.
    """

    worker: int
    call: str
    result: str
    note: str
    wrong: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Calls in the order in which they were made, and the conclusion from them."""

    workers: list[str]
    calls: list[StoryCall]
    moral: list[str]


@dataclass(frozen=True, slots=True)
class Story:
    """The story of a counterexample: one line about it, how it goes wrong, why, what fixes it, and how it goes then.

    `fixed` has no calls where every schedule holds, and none is more telling than the others.

    `source` says where the calls come from: "explored" (the explorer's shortest failure) or "performed" (a program).
    """

    scenario: str
    summary: str
    source: str
    broken: Account
    why: str
    fix: str
    fixed: Account


@dataclass(frozen=True, slots=True)
class WhatIsFound:
    """What one more worker finds after a power failure: nothing is `wrong` (-1), or that is, with the reasons.

    `steps` are those of the recovery, up to where it is seen. All are places in the list of texts.
    """

    wrong: int
    reasons: list[int]
    steps: list[int]


@dataclass(frozen=True, slots=True)
class WhatIsLeft:
    """What may be on the disk when the power fails, and what each choice comes to.

    `parts`: the text of its name, and of each of its contents the text and the step after which it was so (0 is the
    beginning); the last is that of the memory. `found`, for each choice, is a place in the list of what is found:
    the contents of the last part change first.
    """

    parts: list[list[int]]
    found: list[int]


@dataclass(frozen=True, slots=True)
class Plug:
    """A scenario of one worker with so many rounds, of which the reader may pull the plug after each step.

    `steps` are places in the list of texts. `moments`, of which the first is before the first step, are places in the
    list of what may be left.
    """

    scenario: str
    summary: str
    why: str
    rounds: int
    steps: list[int]
    texts: list[str]
    moments: list[int]
    left: list[WhatIsLeft]
    found: list[WhatIsFound]
