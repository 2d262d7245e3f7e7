from __future__ import annotations

import os
import sys

import pytest

from tests.helpers import OtherProcess, in_fresh_process


def threads() -> int:
    print("this goes to stderr")
    return len(os.listdir("/proc/self/task"))


def broken() -> None:
    raise ValueError("over there")


def exits() -> None:
    print("last words", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)


def test_a_function_runs_in_a_process_of_one_thread() -> None:
    assert in_fresh_process(threads) == 1


def test_what_is_raised_there_is_told_here() -> None:
    with pytest.raises(AssertionError, match="ValueError: over there"):
        in_fresh_process(broken)


def test_an_interpreter_that_ends_is_told_with_its_last_words() -> None:
    with pytest.raises(AssertionError, match=r"ended with 3 .*\n*last words"):
        in_fresh_process(exits)


def test_another_process_keeps_its_state_between_calls() -> None:
    with OtherProcess() as other:
        assert other.call(os.getpid) == other.pid
