"""Copies of a program are ended together, and one that does not end on SIGKILL is named and left behind."""

from __future__ import annotations

import os
import sys

import pytest

from lab.processes import copies
from lab.processes.copies import run_copies
from tests.helpers import in_fresh_process

NAPS = [sys.executable, "-c", "import time; time.sleep(60)"]
ENDS = [sys.executable, "-c", "import sys; sys.exit(3)"]


def outcomes() -> list[tuple[int, int, bool, bool]]:
    """A process that the kernel does not let go cannot be had in a test: here the kernel says nothing of its end."""
    first: list[int] = []
    wait = os.waitpid

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        first.append(pid)
        return (0, 0) if pid == first[0] else wait(pid, options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.waitpid", waitpid)
        patch.setattr(copies, "GRACE_S", 0.1)
        ended, _ = run_copies([NAPS, ENDS], {}, 0.5)
    return [(each.exit_code, each.signal, each.hung, each.left_behind == first[0]) for each in ended]


def test_a_copy_that_does_not_end_on_sigkill_is_left_behind_and_the_others_are_told() -> None:
    stays, ends = in_fresh_process(outcomes)
    assert stays == [0, 0, True, True]
    assert ends[3] is False
    assert ends[0] == 3 or ends[2]  # on a busy machine it may not have begun yet
