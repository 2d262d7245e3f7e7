from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from lab.racing import untried
from lab.racing.perturb import AfterWay, insisting, yielding
from lab.racing.recorder import DEADLOCKS, HEADER, REFUSED, ROUNDS_DONE, Log, Unlocked
from lab.racing.trial import Pace
from tests.helpers import in_fresh_process
from tests.racing.racing import case_of, raced


class Answers:
    """A request that is answered with these errors in turn, and then granted."""

    def __init__(self, *codes: int) -> None:
        self.left = list(codes)

    def __call__(self) -> None:
        if self.left:
            code = self.left.pop(0)
            raise OSError(code, os.strerror(code))


def test_a_refused_request_is_made_again_and_each_refusal_counted() -> None:
    log = Log(1, 0).segment(0)
    request = Answers(errno.EAGAIN, errno.EACCES, errno.EDEADLK, errno.EAGAIN)
    insisting(request, log)()
    assert (request.left, log[REFUSED], log[DEADLOCKS]) == ([], 3, 1)


def test_other_errors_are_raised() -> None:
    log = Log(1, 0).segment(0)
    with pytest.raises(OSError, match="No locks available"):
        insisting(Answers(errno.ENOLCK), log)()
    assert not any(log[:HEADER])


def test_without_a_window_a_worker_gives_way_by_a_mere_yield() -> None:
    assert yielding(0) is os.sched_yield


def test_the_pause_comes_before_the_request() -> None:
    order: list[str] = []

    class Held(Unlocked):
        def __enter__(self) -> None:
            order.append("request")

        def __exit__(self, *error: object) -> None:
            order.append("release")

    with AfterWay(Held(), lambda: order.append("pause")):
        order.append("inside")
    assert order == ["pause", "request", "inside", "release"]


@pytest.mark.parametrize("backing", ["mapped", "stream", "remapped"])
def test_a_race_that_gives_way_is_met_by_most_requests(backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race_bank, str(tmp_path), backing)
    assert (row["verdict"], row["left"], row["refused_requests"]) == ("clean", [], 0)
    assert row["contended_requests"] > row["holds"] / 4


def race_bank(folder: str, backing: str) -> dict[str, Any]:
    return raced(case_of("bank", "fcntl", backing, stresses=True, rounds=200, pin="one"), [folder])


def test_a_row_that_was_not_tried_has_its_reason_and_no_trial() -> None:
    row = untried(case_of("counter", "flock"), "timeout", "because")
    assert (row.verdict, row.reason, row.trials, row.operations) == ("timeout", "because", 0, 0)


def test_a_trial_that_does_rounds_has_another_time_limit_and_one_that_does_none_has_not() -> None:
    log = Log(2, 0)
    pace = Pace(log, most=4)
    going = []
    for done in (3, 3, 4, 6, 9):
        log.segment(1)[ROUNDS_DONE] = done
        going.append(pace.goes_on())
    assert (going, pace.limits) == ([True, False, True, True, False], 4)
    assert not Pace(log, most=1).goes_on()
