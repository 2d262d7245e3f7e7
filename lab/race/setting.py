"""What was decided for one case, before any of it runs."""

from __future__ import annotations

from dataclasses import dataclass

from lab.locks import Lock
from lab.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Setting:
    """What the trials of one case share; `region` is a name, the scenario's own unless another was asked for.

    One that `soaks` gives way before each request and each store, for `window_ns`, and makes a request again that was
    answered with EAGAIN or EDEADLK (`lab.race.soaking`). One that is `recorded` is written down (`lab.race.recording`).
    """

    scenario: Scenario
    lock: Lock
    region: str
    workers: int
    rounds: int
    pin: str
    window_ns: int
    leak: float
    time_limit_s: float
    seed: str
    soaks: bool = False
    recorded: bool = False
