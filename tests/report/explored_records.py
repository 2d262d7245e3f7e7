"""Records of explorations and replays made by hand: what they came to, without exploring or replaying anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from lab.records import Damage, Exploration, ExploredCase, ExploreOptions, Replay, ReplayOptions, SmallestShape, Step
from tests.report.records import CLEAN, ENVIRONMENT, header

OPTIONS = ExploreOptions(
    scenarios=["counter"],
    locks=["none"],
    workers=[2],
    rounds=[2],
    search="auto",
    preemptions=3,
    line_bytes=64,
    seed=0,
    jobs=1,
    time_limit_s=30.0,
    show_schedules=0,
)
TOKEN = "L1,counter,none,2x1,64,2b3f7a1d,0x1.5b2+1x2.c4b+0x1.2aa,447d"  # noqa: S105 - a schedule, not a secret


def step(
    worker: int,
    operation: Literal["load", "store", "lock", "unlock"],
    value: int | float | str | None = None,
    *,
    field: str = "value",
    turn: Literal["same", "preempted", "free"] = "same",
    start: int = 0,
    length: int = 8,
    round: int = 0,
) -> Step:
    """One step, by default on an 8-byte `value` at the beginning of the file, of a worker that had the turn."""
    return Step(worker, round, operation, field, value, turn, start, length)


LOST = Damage(kind="lost update", count=1, of=2, evidence=["value is 1 after 2 additions"])
STEPS = [
    step(0, "load", 0, turn="free"),
    step(1, "load", 0, turn="preempted"),
    step(1, "store", 1),
    step(0, "store", 1, turn="free"),
]
HOLDS = ExploredCase(
    scenario="counter",
    lock="fcntl",
    workers=2,
    rounds=2,
    search="auto",
    verdict="holds",
    exhausted=True,
    covered="all 6 schedules of 2 workers x 2 rounds",
    schedules=6,
    broken_schedules=0,
    schedules_per_s=1000.0,
    wall_s=0.5,
    expected="holds",
    line_bytes=64,
    bound=2,
    ends=1,
)
BROKEN = replace(
    HOLDS,
    lock="none",
    verdict="broken",
    exhausted=False,
    covered="3 schedules by rising preemptions of 2 workers x 2 rounds",
    schedules=3,
    broken_schedules=1,
    expected="broken",
    bound=0,
    preemptions=1,
    damage=[LOST],
    headline="lost update: worker 0 overwrites what worker 1 stored in value",
    steps=STEPS,
    reasons=["worker 0 stored 1 because it had loaded 0", "it loaded 0 because of that", "so an addition is lost"],
    shrunk=SmallestShape(workers=2, rounds=1, schedules=3, steps_before=8),
    token=TOKEN,
)
UNEXPECTED = replace(BROKEN, lock="fcntl", expected="holds")
UNKNOWN = replace(
    HOLDS, scenario="bank", verdict="unknown", exhausted=False, covered="7,000 states of 2 workers x 9 rounds"
)
BROKEN_WHEN_EXPLORED = replace(
    CLEAN,
    verdict="damaged",
    reason="the race found no corruption; exploring breaks it in 1 preemption: lost update",
    explored=UNEXPECTED,
)
REPLAY_OPTIONS = ReplayOptions(token=TOKEN, times=100, directory="/mnt", time_limit_s=30.0)
REPRODUCED = Replay(
    **header(ENVIRONMENT),
    options=REPLAY_OPTIONS,
    scenario="counter",
    lock="none",
    workers=2,
    rounds=1,
    line_bytes=64,
    times=100,
    reproduced=100,
    divergence="",
    schedules_per_s=3000.0,
    damage=[LOST],
    headline=BROKEN.headline,
    steps=STEPS,
)
DIVERGED = replace(
    REPRODUCED, times=1, reproduced=0, divergence="worker 1 is granted a lock for which the model lets it wait"
)


def asked(**changes: Any) -> ExploreOptions:
    """What somebody asks for who gives no options, but for the changes."""
    return replace(OPTIONS, **changes)


def exploration_of(*cases: ExploredCase, interrupted: bool = False, **options: Any) -> Exploration:
    """An exploration that had these cases; the options are those of `OPTIONS` but for the changes given."""
    return Exploration(
        **header(ENVIRONMENT, interrupted=interrupted),
        options=asked(**options),
        cases=list(cases),
    )
