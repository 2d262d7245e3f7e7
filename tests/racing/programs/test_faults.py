"""Each fault of a program finds the lock that it breaks, and nothing in the same program with that fixed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.processes import GroupReaper
from lab.racing.cases import run_case, run_faulty
from lab.racing.faults import OF_PROGRAMS, Fault
from lab.racing.programs import faulty
from lab.racing.programs.cases import cases_of_program
from lab.records import Options
from tests.helpers import PATIENCE_S, OtherProcess, in_fresh_process, wait_until
from tests.needs import need
from tests.racing.programs.building import COUNTER, written

SOURCE = Path(__file__).with_name("faulty.c")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("compiler")
    need("pid_namespaces")
    program = tmp_path_factory.mktemp("faulty") / "faulty"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    written(program.with_name("counter.py"), COUNTER)
    return program


def fault_of(name: str, seconds: float) -> Fault:
    """The fault of this name, raced for so many seconds or until it breaks something; a stop is shorter here."""
    (fault,) = (each for each in OF_PROGRAMS if each.name == name)
    return replace(fault, seconds=seconds, stop_s=min(fault.stop_s, 0.6))


def with_fault(program: str, mode: str, name: str, folder: str, rounds: int, seconds: float = 0.0) -> dict[str, Any]:
    """The row of the fault: after one ordinary trial, which must be clean."""
    options = Options(
        scenarios=[],
        locks=[],
        workers=[3],
        rounds=rounds,
        trials=1,
        directory=folder,
        seed=7,
        pin=None,
        window_ns=0,
        leak=0.0,
        time_limit_s=60.0,
        program=f"{program} {{file}} {{rounds}} {{start}} {mode}",
        check=str(Path(program).with_name("counter.py")),
        faults="none",
    )
    (case,) = cases_of_program(options)
    with GroupReaper():
        ordinary = run_case(case, 1, [Path(folder)])
        assert ordinary.verdict == "clean", ordinary.reason
        with_it = replace(case, setting=replace(case.setting, fault=fault_of(name, seconds)))
        row = run_faulty(with_it, ordinary, [Path(folder)])
    return {"verdict": row.verdict, "reason": row.reason, "made": row.faults_made, "left": os.listdir(folder)}  # noqa: PTH208


def all_of(
    program: str, rows: Sequence[Sequence[Any]], folder: str, patience_s: float | None = None
) -> list[dict[str, Any]]:
    faulty.PATIENCE_S = patience_s or faulty.PATIENCE_S
    return [with_fault(program, mode, name, folder, *more) for mode, name, *more in rows]


FOUND = {
    ("pid", "own pid namespace", 100): ("damaged", "what its copies do to exclude each other did not protect the file"),
    ("interrupted", "waiter signalled", 4000): ("damaged", " got SIGWINCH while it waited"),
    ("patient", "holder stopped 1 s", 300): ("damaged", " was stopped for 0.6 s"),
    ("leftover", "holder killed", 200): ("timeout", "was not let in after a death: it was still at work"),
    ("region", "paused between calls", 1): ("died", "was killed by SIGBUS"),
}
"""Mode, fault and rounds of what breaks, with the verdict and a part of the reason."""


@pytest.mark.parametrize("what", FOUND, ids=lambda what: what[0])
def test_a_fault_breaks_what_is_not_made_for_it(what: tuple[str, str, int], built: Path, tmp_path: Path) -> None:
    verdict, reason = FOUND[what]
    (row,) = in_fresh_process(all_of, str(built), [(*what, 30.0)], str(tmp_path), 1.0)
    assert row["verdict"] == verdict, row
    assert reason in row["reason"]
    assert row["made"] > 0
    assert row["left"] == []


def test_the_same_with_that_fixed_is_clean(built: Path, tmp_path: Path) -> None:
    rows = in_fresh_process(all_of, str(built), [(f"{mode} fixed", *more, 0.3) for mode, *more in FOUND], str(tmp_path))
    assert [(row["verdict"], row["reason"], row["left"]) for row in rows] == [("clean", "", [])] * len(FOUND)
    assert all(row["made"] for row in rows)


NOT_TRIED = {
    ("", "waiter signalled", 100): "not tried: it handles no signal",
    ("pid", "holder killed", 20): "not tried: no copy was seen to hold a lock of the kernel",
    ("pid", "waiter killed", 20): "not tried: no copy was seen to wait for a lock of the kernel",
}


def test_a_fault_that_cannot_be_made_says_why(built: Path, tmp_path: Path) -> None:
    rows = in_fresh_process(all_of, str(built), list(NOT_TRIED), str(tmp_path))
    assert [row["reason"] for row in rows] == list(NOT_TRIED.values())
    assert [(row["verdict"], row["made"]) for row in rows] == [("unsupported", 0)] * 3


def without_ptrace(program: str, folder: str) -> dict[str, Any]:
    from lab.processes import ptrace

    def seize(pid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    ptrace.seize = seize
    return with_fault(program, "region fixed", "paused between calls", folder, 1)


def test_where_ptrace_is_refused_the_row_says_so(built: Path, tmp_path: Path) -> None:
    row = in_fresh_process(without_ptrace, str(built), str(tmp_path))
    assert (row["verdict"], row["reason"]) == ("unsupported", "not tried: ptrace(2): Operation not permitted")


def copies_of(program: Path) -> list[str]:
    """The states of the processes that run this program, and of no others."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdecimal() and place.joinpath("exe").readlink() == program:
                found.append(place.joinpath("stat").read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue
    return found


def stopped_for_long(program: str, folder: str) -> None:
    faulty.PATIENCE_S = 600.0
    with_fault_for_long(program, "patient fixed", "holder stopped 5 s", folder)


def paused_for_long(program: str, folder: str) -> None:
    from lab.racing.programs import faulty

    faulty.SHORTEST_S = faulty.LONGEST_S = 600.0
    with_fault_for_long(program, "region fixed", "paused between calls", folder)


def with_fault_for_long(program: str, mode: str, name: str, folder: str) -> None:
    global fault_of

    def longer(name: str, seconds: float) -> Fault:
        (fault,) = (each for each in OF_PROGRAMS if each.name == name)
        return replace(fault, seconds=600.0, stop_s=600.0)

    fault_of = longer
    with_fault(program, mode, name, folder, 20)


STATES = {"stopped": (stopped_for_long, "T"), "held by the tracer": (paused_for_long, "t")}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("state", STATES)
def test_nothing_is_left_of_copies_that_are_stopped_when_the_race_is(
    state: str, stop: signal.Signals, built: Path, tmp_path: Path
) -> None:
    function, letter = STATES[state]
    with OtherProcess() as other:
        other.start(function, str(built), str(tmp_path))
        wait_until(lambda: letter in copies_of(built), f"a copy is {state}")
        os.kill(other.pid, stop)
        wait_until(lambda: not copies_of(built), "all copies are gone")
        if stop == signal.SIGINT:
            with pytest.raises(AssertionError, match="KeyboardInterrupt"):
                other.answer()
            assert list(tmp_path.iterdir()) == []
        else:
            other.kill()
