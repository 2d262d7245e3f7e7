"""The loops that the lab's own way is held against."""

from __future__ import annotations

import os
from contextlib import ExitStack
from ctypes import c_uint64
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest

from lab.errors import CannotRunError
from tests.helpers import OtherProcess

SLICE_S = 0.02


def measured(missing: str = "") -> dict[str, object]:
    """Each loop's figure is more than nothing, or the reason why there is none; measured twice."""
    from lab.measuring import baselines

    told: dict[str, object] = {}
    with ExitStack() as opened, TemporaryDirectory() as folder:
        if missing == "source":
            opened.enter_context(patch.object(baselines, "SOURCE", Path("missing.c")))
        if missing == "compiler":
            opened.enter_context(patch("shutil.which", return_value=None))
        for loop in baselines.loops(Path(folder), "spread", opened):
            try:
                told[loop.name] = min(loop.measure(SLICE_S), loop.measure(SLICE_S)) > 0
            except CannotRunError as error:
                told[loop.name] = str(error)
    return told


@pytest.mark.needs("compiler")
def test_the_same_loop_is_measured_in_c_in_python_and_in_the_lab(other: OtherProcess) -> None:
    assert other.call(measured) == {"C loop": True, "CPython loop": True, "the lab": True}


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("source", "its source comes with the project's repository: tests/benchmarks/bare_loop.c"),
        ("compiler", "no C compiler is found (cc)"),
    ],
)
def test_without_what_c_needs_the_others_are_measured_all_the_same(
    other: OtherProcess, missing: str, told: str
) -> None:
    assert other.call(measured, missing) == {"C loop": told, "CPython loop": True, "the lab": True}


def refused_to_the_c_loop() -> str:
    """What is said where there is no folder for its file."""
    from lab.measuring import baselines

    with ExitStack() as opened, TemporaryDirectory() as folder:
        loop = baselines.CLoop(Path(folder) / "missing", "none", opened)
        try:
            return str(loop.measure(SLICE_S))
        except CannotRunError as error:
            return str(error)


@pytest.mark.needs("compiler")
def test_where_there_is_no_room_for_its_file_the_c_loop_says_so(other: OtherProcess) -> None:
    assert other.call(refused_to_the_c_loop) == "its file cannot be made (No such file or directory)"


def added() -> tuple[int, int]:
    """The counter in the file after so many rounds of the bare loop and of the lab's, and the holds recorded."""
    from lab.measuring.baselines import _in_python, _in_the_lab
    from lab.racing.recorder import CURSOR, HEADER, Log

    counter = c_uint64()
    log = Log(1, 30)
    log.segment(0)[CURSOR] = HEADER
    with TemporaryDirectory() as folder:
        file = os.open(f"{folder}/file", os.O_RDWR | os.O_CREAT)
        for loop in (_in_python, _in_the_lab):
            loop(file, counter, 30, log)
        os.close(file)
    return counter.value, len(list(log.holds()))


def test_both_python_loops_add_one_a_round_and_only_the_lab_records(other: OtherProcess) -> None:
    assert tuple(other.call(added)) == (60, 30)


def cpus_of_the_c_loop(pin: str) -> tuple[float, int]:
    """How many processors the program behind the C loop may use, as its figure; and how many this process may."""
    from lab.measuring import baselines

    def output(*command: object, temporary: Path | None = None) -> bytes:
        return b"%d" % len(os.sched_getaffinity(0))

    with ExitStack() as opened, TemporaryDirectory() as folder, patch.object(baselines, "_output", output):
        loop = baselines.CLoop(Path(folder), pin, opened)
        return 1e9 / loop.measure(SLICE_S), len(os.sched_getaffinity(0))


@pytest.mark.needs("compiler")
@pytest.mark.parametrize("pin", ["none", "spread"])
def test_the_c_loop_runs_where_a_first_worker_would(other: OtherProcess, pin: str) -> None:
    used, allowed = other.call(cpus_of_the_c_loop, pin)
    assert round(used) == (1 if pin == "spread" else allowed)
