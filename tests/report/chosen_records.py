"""A comparison of locks, made by hand."""

from __future__ import annotations

from lab.records import ActorCall, ComparedLock, Environment, LockCell, LockSurvey, Property
from tests.report.records import header

NAMES = [
    "processes", "threads", "opens", "readers", "ranges", "kill", "pause", "signal", "namespace", "close", "fork",
    "exit", "child", "unlock", "exec", "deadlock", "order", "pair", "hand-over",
]  # fmt: skip
ABLE = dict.fromkeys(NAMES, "yes") | {"order": "fifo", "pair": "measured", "hand-over": "measured"}
RUN = [ActorCall("A", "locks", "granted"), ActorCall("A, its child", "unlocks", "ok")]
HERE = Environment("0", "CPython 3.12", "none", "Linux 6.18", "x86_64", "cpu", 2, 2, "ext4", "rw", 0.0)


def cells(lock: str, cost_ns: float = 1000.0, **values: str) -> list[LockCell]:
    """The cells of a lock that can do everything but these."""
    found = {**ABLE, **values}
    return [
        LockCell(
            lock=lock,
            property=name,
            value=found[name],
            run=RUN,
            median_ns=cost_ns if found[name] == "measured" else None,
            detection_limit=0.001 if name == "processes" and found[name] == "yes" else None,
        )
        for name in NAMES
    ]


def compared(*some: list[LockCell], trouble: str = "") -> LockSurvey:
    """The document of these locks, and of one more that has trouble."""
    locks = [ComparedLock(each[0].lock, f"the lock {each[0].lock}", "") for each in some]
    return LockSurvey(
        **header(HERE),
        directory="here",
        seconds=5.0,
        locks=[*locks, *([ComparedLock("missing", "", trouble)] if trouble else [])],
        properties=[Property(name, f"how {name} is seen") for name in NAMES],
        cells=[cell for each in some for cell in each],
    )
