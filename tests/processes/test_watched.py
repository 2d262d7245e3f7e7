from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

from lab.host.procfs import ASLEEP, ENDED, STOPPED
from lab.processes import fork_child
from lab.processes.deadlines import Watched
from tests.helpers import in_fresh_process

LONG_S = 30.0


def pausing() -> Watched:
    return Watched(fork_child(signal.pause))


def stop_and_go() -> list[bool]:
    watched = pausing()
    watched.send(signal.SIGSTOP)
    seen = [watched.reaches(STOPPED, LONG_S, wanted=True)]
    watched.send(signal.SIGCONT)
    seen.append(watched.reaches(STOPPED, LONG_S, wanted=False))
    seen.append(watched.reaches(STOPPED, 0.0, wanted=True))
    watched.send(signal.SIGKILL)
    watched.wait(LONG_S)
    return seen


def test_a_stopped_child_is_seen_to_stop_and_to_go_on() -> None:
    assert in_fresh_process(stop_and_go) == [True, True, False]


def ends() -> list[object]:
    left, killed, lives = Watched(fork_child(lambda: os._exit(3))), pausing(), pausing()
    killed.send(signal.SIGKILL)
    seen: list[object] = [left.wait(LONG_S), killed.wait(LONG_S), killed.wait(0), killed.state(), lives.wait(0.0)]
    killed.send(signal.SIGKILL)  # which is nobody's any more
    lives.send(signal.SIGKILL)
    lives.wait(LONG_S)
    return seen


def test_how_a_child_ended_is_told_as_often_as_asked_and_none_while_it_lives() -> None:
    assert in_fresh_process(ends) == [3, -signal.SIGKILL, -signal.SIGKILL, ENDED, None]


def place_of_a_waiter(path: str) -> tuple[str, str]:
    held = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)

    def waiter() -> None:
        fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)

    watched = Watched(fork_child(waiter))
    watched.reaches("S", LONG_S, wanted=True)
    seen = watched.state(), watched.sleeps_in()
    watched.send(signal.SIGKILL)
    watched.wait(LONG_S)
    return seen


def test_who_waits_for_a_lock_sleeps_where_the_kernel_says(tmp_path: Path) -> None:
    state, place = in_fresh_process(place_of_a_waiter, str(tmp_path / "f"))
    assert state in ASLEEP
    assert place in ("locks_lock_inode_wait", "")
