"""How a request is seen to wait, each way alone: the other ways are put off until after the test."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab.locking import Action, Lock, find_lock
from lab.locking.kernel import Ofd
from lab.processes.actor import LockWait, listed_requests
from lab.survey import actor
from lab.survey.actor import Process, Stage
from lab.survey.experiments import processes
from tests.helpers import PATIENCE_S, in_fresh_process, wait_until
from tests.survey import broken

NEVER = {"SETTLE_S": PATIENCE_S, "BUSY_S": PATIENCE_S, "LOOKS": 10**9}


class GivesInAsleep(Ofd):
    """Lets everybody in, and all but the first after a sleep."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        def acquire() -> None:
            if os.pread(descriptor, 1, 0) == b"x":
                time.sleep(0.2)
            os.pwrite(descriptor, b"x", 0)

        return acquire, broken.nothing


class Spins(broken.OutlivesItsHolder):
    """Never sleeps."""

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        time.sleep = lambda _: None
        return super().actions(descriptor, start, length, write=write)


LOCKS: dict[str, type[Lock]] = {
    "kernel": Ofd,
    "polls": broken.Polls,
    "gives in": GivesInAsleep,
    "spins": Spins,
    "last come": broken.LastComeFirstServed,
}


def excludes(folder: str, lock: str, **usual: float) -> str:
    """Whether a lock keeps a process out, by nothing but what has its usual value."""
    vars(actor).update({**NEVER, **usual})
    with Stage(LOCKS[lock](), Path(folder), PATIENCE_S, {}) as stage:
        return processes(stage).value


@pytest.mark.parametrize(
    ("lock", "by"),
    [("kernel", {}), ("polls", {"LOOKS": 10}), ("spins", {"BUSY_S": 0.3}), ("last come", {"SETTLE_S": 0.05})],
)
def test_each_kind_of_lock_is_seen_to_wait_in_its_own_way(lock: str, by: dict[str, float], tmp_path: Path) -> None:
    assert in_fresh_process(excludes, str(tmp_path), lock, **by) == "yes"


def test_who_is_let_in_after_a_sleep_was_not_kept_out(tmp_path: Path) -> None:
    assert in_fresh_process(excludes, str(tmp_path), "gives in") == "no"


def polls_once(folder: str) -> bool:
    """Whether one that waits and is woken by nothing counts as polling; the list names those that wait, no other."""
    with Stage(find_lock("flock"), Path(folder), PATIENCE_S, {}) as stage:
        holder, *queue = (Process(name, stage) for name in "ABC")
        holder.acquires()
        waiting: list[Process] = []
        for each in queue:
            each.asks()
            waiting.append(each)
            # While others lock, the list may name one twice or not at all.
            wait_until(lambda: all(listed_requests(a.pid) == (a in waiting) for a in (holder, *queue)), "they wait")
        wait = LockWait(queue[0].pid, stage.inodes)
        time.sleep(0.05)
        return wait.polls(1)


def test_a_process_that_waits_in_the_kernel_is_listed_and_sleeps_on(tmp_path: Path) -> None:
    assert not in_fresh_process(polls_once, str(tmp_path))
