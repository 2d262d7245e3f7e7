"""Something that may hang, in a child: its answer, its deadline, and that it is gone afterwards."""

from __future__ import annotations

import errno
import os
import signal
from typing import Any

import psutil

from lab.errors import CannotRunError
from lab.processes import rpc
from lab.processes.rpc import attempt_all
from tests.helpers import in_fresh_process


def hang() -> str:
    signal.pause()
    return ""


def outcomes(limit_s: float) -> list[Any]:
    """Of one that answers, one that hangs and one that raises."""
    found = attempt_all([lambda: "well", hang, lambda: str(1 // 0)], limit_s)
    return [*([each.answer, each.late, each.left] for each in found), len(psutil.Process().children())]


def test_each_has_its_answer_or_is_late_and_nobody_is_left() -> None:
    assert in_fresh_process(outcomes, 0.5) == [["well", False, False], [None, True, False], [None, False, False], 0]


def given_up_at_once() -> list[Any]:
    (found,) = attempt_all([hang], float("inf"), lambda: True)
    return [found.late, found.where != "", len(psutil.Process().children())]


def test_it_is_given_up_when_that_is_wanted() -> None:
    assert in_fresh_process(given_up_at_once)[::2] == [True, 0]


def interrupted() -> int:
    def stop() -> bool:
        raise KeyboardInterrupt

    try:
        attempt_all([hang, hang], float("inf"), stop)
    except KeyboardInterrupt:
        return len(psutil.Process().children())
    return -1


def test_an_interrupt_ends_all_of_them() -> None:
    assert in_fresh_process(interrupted) == 0


def refused() -> str:
    def fork_held(*_: object, **__: object) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    vars(rpc).update(fork_held=fork_held)
    try:
        attempt_all([hang], 1.0)
    except CannotRunError as error:
        return str(error)
    return ""


def test_a_fork_that_is_refused_is_told() -> None:
    assert in_fresh_process(refused) == (
        "fork refused (Resource temporarily unavailable); raise the limits (ulimit -u, -n)"
    )
