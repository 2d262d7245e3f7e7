"""Hold what is decided for one case before any of it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.locks import Lock
from lab.scenario import Scenario

if TYPE_CHECKING:
    from .programs.launch import Program


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings that the trials of one case share; `backing` is a name, the scenario's own or another.

    One that `stresses` yields before each request and each store, for `window_ns`, and makes a request again that was
    answered with EAGAIN or EDEADLK (`lab.race.perturb`). One that is `recorded` is written down (`lab.race.tracing`).
    So many `copies` of a `program` are among the workers. A trial has up to `most_limits` time limits, one after the
    other, as long as its workers do rounds.
    """

    scenario: Scenario
    lock: Lock
    backing: str
    workers: int
    rounds: int
    pin: str
    window_ns: int
    leak: float
    time_limit_s: float
    seed: str
    stresses: bool = False
    most_limits: int = 1
    recorded: bool = False
    program: Program | None = None
    copies: int = 0

    @property
    def programs(self) -> range:
        """The indexes of the workers that are copies of the program: the last ones."""
        return range(self.workers - self.copies, self.workers)

    @property
    def alone(self) -> bool:
        """True where all workers are programs."""
        return self.copies == self.workers
