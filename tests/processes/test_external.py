from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.processes import Outputs, become, fork_child
from lab.processes.external import KEPT
from tests.helpers import in_fresh_process


def printed_by(code: str) -> list[Any]:
    """How a Python program ends, and the last that it wrote to its two streams, with how many bytes in all."""
    with Outputs([7]) as outputs:
        pid = fork_child(lambda: become(sys.executable, ["python", "-c", code], *outputs.ends[7]))
        outputs.hand_over()
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            outputs.drain(1)
        outputs.drain(0)
    status = os.waitstatus_to_exitcode(ended[1])
    return [status, *(text for stream in (1, 2) for text in (outputs.last(7, stream), outputs.counted[7, stream]))]


def test_a_child_becomes_a_program_whose_output_is_read() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    assert in_fresh_process(printed_by, code) == [3, "out\n", 4, "err\n", 4]


def test_of_a_flood_the_end_is_kept() -> None:
    _, text, counted, *_ = in_fresh_process(printed_by, "for i in range(300_000): print(f'{i:09}')")
    assert (len(text), counted, text[-10:]) == (KEPT, 3_000_000, "000299999\n")


def test_what_is_no_text_is_shown_all_the_same() -> None:
    assert in_fresh_process(printed_by, "import os; os.write(1, b'a\\xffb')")[1] == "a�b"


def test_there_is_nothing_to_read() -> None:
    assert in_fresh_process(printed_by, "import sys; print(repr(sys.stdin.read()))")[1] == "''\n"


@pytest.mark.parametrize("name", ["SIGPIPE", "SIGXFSZ", "SIGINT", "SIGTERM"])
def test_signals_do_what_they_do_in_a_program_that_a_shell_starts(name: str) -> None:
    """The interpreter ignores some, and sets that again when it starts: so /bin/grep tells, from /proc/self/status."""
    masks = in_fresh_process(signals_of_grep)
    bit = 1 << (getattr(signal, name) - 1)
    assert [mask & bit for mask in masks] == [0, 0]


def signals_of_grep() -> list[int]:
    """The signals that are blocked and those that are ignored in a program (proc_pid_status(5))."""
    argv = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    with Outputs([0]) as outputs:
        pid = fork_child(lambda: become("/bin/grep", argv, *outputs.ends[0]))
        outputs.hand_over()
        os.waitpid(pid, 0)
        outputs.drain(0)
    return [int(line.split()[1], 16) for line in outputs.last(0, 1).splitlines()]


def test_descriptors_are_given_back() -> None:
    assert in_fresh_process(descriptors_left) == 0


def descriptors_left() -> int:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with Outputs(range(3)):
        pass
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - before
