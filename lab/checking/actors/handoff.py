"""Measure how long a lock takes to pass from one process to another that waits, before anything is judged.

For each lock one actor holds it and two wait. The holder unlocks, the first waiter is granted and unlocks, the second
is granted: both are timed, for a waiter that polls has backed off by then. All locks are tried at once, so that one
that is never handed over costs no more than CEILING_S. Quick ones are tried some more times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from lab.checking.language import REQUESTS, parse

from .stage import RealStage

LOOK_S = 1.0
"""A process that waits for others runs at least this often, in seconds; otherwise it would itself seem to hang."""

CEILING_S = 10.0
"""A lock whose hand-off takes longer than this counts as one that is not handed over."""

QUICK_S = 0.1
ROUNDS = 3
"""All of it is measured this many times while it is quick."""

Stages = Callable[[], AbstractContextManager[RealStage]]


def measure_handoffs(stages: Stages) -> dict[str, float]:
    """Return the slowest hand-off of each lock, in seconds; a lock that is refused or not handed over has none.

    Stop early where a request is not answered: the state that it left behind shows enough.
    """
    slowest: dict[str, float] = {}
    for _ in range(ROUNDS):
        with stages() as stage:
            found = _Measurement(stage).perform()
        for lock, seconds in found.items():
            slowest[lock] = max(seconds, slowest.get(lock, 0.0))
        if not found or max(found.values()) > QUICK_S:
            break
    return slowest


class _Measurement:
    """One program: actors A, B and C of each lock, on a file of its own."""

    def __init__(self, stage: RealStage) -> None:
        self._stage = stage
        self._silent = False

    def perform(self) -> dict[str, float]:
        """Return the slower hand-off of each lock whose waiters both were granted it."""
        ready = [lock for lock in REQUESTS if self._is_contended(lock)]
        waiting = {f"{actor}{lock}": lock for lock in ready for actor in "BC"}
        released = {lock: self._release(f"A{lock}", lock) for lock in ready}
        took: dict[str, list[float]] = {lock: [] for lock in ready}
        deadline = time.monotonic() + CEILING_S
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            for name in self._stage.first_back(waiting, min(left_s, LOOK_S)):
                lock = waiting.pop(name)
                took[lock].append(time.monotonic() - released[lock])
                if self._said(f"{name}: returns = granted") != "granted":
                    took[lock].clear()
                    waiting = {other: its for other, its in waiting.items() if its != lock}
                    break
                released[lock] = self._release(name, lock)
        return {lock: max(seconds) for lock, seconds in took.items() if len(seconds) == 2}

    def _is_contended(self, lock: str) -> bool:
        """Open, acquire and wait; return False where any of it has another result."""
        take, wait, _ = REQUESTS[lock]
        a, b, c = (f"{actor}{lock}" for actor in "ABC")
        opened = (f"{name}: open {lock} as f = ok" for name in (a, b, c))
        steps = [*opened, f"{a}: {take} = granted", f"{b}: {wait} = waits", f"{c}: {wait} = waits"]
        return all(not self._silent and self._said(line) == line.rpartition(" = ")[2] for line in steps)

    def _release(self, name: str, lock: str) -> float:
        """Unlock; return the moment at which the unlock began."""
        begun = time.monotonic()
        self._said(f"{name}: {REQUESTS[lock][2]} = granted")
        return begun

    def _said(self, line: str) -> str:
        [step] = parse(line)
        observed = self._stage.perform(step.call, step.expected)
        self._silent = self._silent or observed.startswith("no answer")
        return observed
