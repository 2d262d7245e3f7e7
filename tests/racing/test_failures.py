from __future__ import annotations

import pytest

from lab.processes import Exit
from lab.racing.mailbox import late


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (Exit(0, -15, late=True), "still at work after 2.5 s"),
        (Exit(0, None, late=True, pid=77, where="request_wait_answer"),
         "did not end on SIGKILL: process 77 hangs in request_wait_answer and was left behind"),
        (Exit(0, None, late=True, pid=77), "did not end on SIGKILL: process 77 hangs and was left behind"),
    ],
)  # fmt: skip
def test_a_worker_beyond_the_limit_is_told_with_pid_and_place_where_sigkill_does_not_end_it(
    ended: Exit, told: str
) -> None:
    assert late(ended, 2.5) == told
