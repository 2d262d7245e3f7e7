"""What is asked of the process that races, as it travels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lab.errors import UsageError

from .hidden import told_by_the_test
from .travel import Sent

__tracebackhide__ = told_by_the_test

SECONDS = 1.0
"""How long a race takes where nobody says."""

LONGEST_S = 10.0
"""How long it may take, where nobody says, until it could have noticed what `assert_clean` asks for by itself."""

DETECTS = 1e-3
"""The rate of falsely granted requests that `assert_clean` asks for by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRequest:
    """One case to race: by `trials`, for `seconds`, or for `about_s`, and longer where that shows too little."""

    scenario: Sent
    lock: Sent
    workers: int
    rounds: int | None
    trials: int | None
    seconds: float | None
    about_s: float
    region: str | None
    window_ns: int
    leak: float
    seed: int
    directory: str
    time_limit_s: float

    def check(self) -> None:
        """Raises UsageError for a number out of range."""
        _at_least(1, workers=self.workers, rounds=self.rounds, trials=self.trials)
        _at_least(0, window_ns=self.window_ns)
        _positive(seconds=self.seconds, time_limit=self.time_limit_s)
        _whole(seed=self.seed)
        if not isinstance(self.leak, int | float) or not 0 <= self.leak <= 1:
            raise UsageError(f"leak={self.leak!r} is no probability: from 0 to 1")
        if self.trials is not None and self.seconds is not None:
            raise UsageError("trials= and seconds= both say how long to race; give one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreRequest:
    """One case to explore."""

    scenario: Sent
    lock: str
    workers: int
    rounds: int
    search: str
    preemptions: int
    seed: int
    time_limit_s: float

    def check(self) -> None:
        """Raises UsageError for a number out of range."""
        _at_least(1, workers=self.workers, rounds=self.rounds)
        _at_least(0, preemptions=self.preemptions)
        _positive(time_limit=self.time_limit_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRequest:
    """A race that broke: its document, as JSON."""

    scenario: Sent
    run: str


Request = RaceRequest | ExploreRequest | ExplainRequest
KINDS = {kind.__name__: kind for kind in (RaceRequest, ExploreRequest, ExplainRequest)}


def written(request: Request) -> dict[str, Any]:
    """The request as JSON can say it."""
    return {"kind": type(request).__name__, **asdict(request)}


def read(said: dict[str, Any]) -> Request:
    """The request again."""
    return KINDS[said.pop("kind")](**said)


def _at_least(least: int, **numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < least):
            raise UsageError(f"{name}={number!r}: give a whole number, at least {least}")


def _whole(**numbers: int) -> None:
    for name, number in numbers.items():
        if not isinstance(number, int):
            raise UsageError(f"{name}={number!r}: give a whole number")


def _positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int | float) or not 0 < number < 1e6):
            raise UsageError(f"{name}={number!r} is no time: above 0 seconds, below a million")
