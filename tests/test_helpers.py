from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.helpers import OtherProcess, in_fresh_process


def threads() -> int:
    sys.stdout.write("this goes to stderr\n")
    return len(list(Path("/proc/self/task").iterdir()))


def own_pid() -> int:
    return os.getpid()


def broken() -> None:
    raise ValueError("over there")


def exits() -> None:
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(3)


def test_a_function_runs_in_a_process_of_one_thread() -> None:
    assert in_fresh_process(threads) == 1


def test_what_is_raised_there_is_told_here() -> None:
    with pytest.raises(AssertionError, match="ValueError: over there"):
        in_fresh_process(broken)


def test_an_interpreter_that_ends_is_told_with_its_last_words() -> None:
    with pytest.raises(AssertionError, match=r"(?s)ended with 3 .*last words"):
        in_fresh_process(exits)


def test_another_process_keeps_its_state_between_calls() -> None:
    with OtherProcess() as other:
        assert other.call(own_pid) == other.call(own_pid) == other.pid
