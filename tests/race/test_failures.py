from __future__ import annotations

from lab.processes import Exit
from lab.race.failures import late


def test_one_that_is_killed_at_the_limit_was_still_at_work() -> None:
    assert late(Exit(0, -15, late=True), 2.5) == "still at work after 2.5 s"


def test_one_that_sigkill_does_not_end_is_told_with_its_pid_and_place() -> None:
    told = late(Exit(0, None, late=True, pid=77, where="request_wait_answer"), 2.5)
    assert told == "did not end on SIGKILL: process 77 hangs in request_wait_answer and was left behind"


def test_where_the_kernel_does_not_tell_the_place_the_pid_is_told() -> None:
    assert late(Exit(0, None, late=True, pid=77), 2.5) == "did not end on SIGKILL: process 77 hangs and was left behind"
