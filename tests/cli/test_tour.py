"""`tour`: what it prints, what its check ends with, its document, and how it is stopped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from lab import records as results
from lab.host.environment import environment
from lab.tutorial.process import Stage, Step
from tests.cli.commands import Terminal, lines, refusal, start_lab
from tests.helpers import PATIENCE_S, in_fresh_process, run_lab


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir()
    if environment(made, 0.0).filesystem in ("tmpfs", "ramfs"):
        pytest.skip("on this filesystem step tail differs from the tutorial; choose another by --basetemp")
    return made


def test_a_tour_prints_every_step_and_ends_as_the_tutorial_claims(place: Path) -> None:
    done = run_lab("tour", "--dir", place)
    assert (done.returncode, done.stderr) == (0, "")
    heads = [line.split()[:2] for line in done.stdout.splitlines() if line[:2].strip().isdigit()]
    assert [int(number) for number, _ in heads] == list(range(1, 26))
    end = done.stdout[done.stdout.index("As the tutorial claims") :].split()  # the sentence may be of two lines
    assert re.fullmatch(
        r"As the tutorial claims: (25 steps, \d+ observations\."
        r"|21 steps, \d+ observations\. Skipped: power, page, sync-error, rename\.)",
        " ".join(end),
    )
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert os.listdir(place) == []  # noqa: PTH208


@pytest.mark.parametrize("asked", ["6", "past-end"])
def test_one_step_is_shown_by_number_or_name(place: Path, asked: str) -> None:
    done = run_lab("tour", asked, "--dir", place)
    (step,) = [line for line in done.stdout.splitlines() if line[:2].strip().isdigit()]
    assert step.startswith(" 6  past-end: A whole page past the end of the file can be mapped")


def test_the_list_has_number_name_and_claim_of_every_step_and_runs_none() -> None:
    done = run_lab("tour", "--list", "--dir", "missing")
    assert (done.returncode, done.stderr) == (0, "")
    assert [int(line[:2]) for line in done.stdout.splitlines() if line[:2].strip()] == list(range(1, 26))
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


def with_a_broken_expectation(directory: str | Path, options: list[str]) -> list[object]:
    """The command where the tutorial is made to claim that PROT_NONE can be read: exit code, stdout, stderr."""
    from lab.cli.main import main
    from lab.tutorial import tour
    from lab.tutorial.steps import STEPS

    def wrong(stage: Stage) -> Iterator[results.Observation]:
        for each in STEPS[7].perform(stage):
            yield replace(each, expected="'a'", ok=False) if each.observed == "SIGSEGV" else each

    vars(tour)["STEPS"] = (*STEPS[:7], replace(STEPS[7], perform=wrong), *STEPS[8:])
    printed, told = StringIO(), StringIO()
    with redirect_stdout(printed), redirect_stderr(told):
        code = main(["tour", "--dir", str(directory), *options])
    return [code, printed.getvalue(), told.getvalue()]


def test_a_check_fails_where_the_system_differs_and_says_how(place: Path) -> None:
    code, printed, told = in_fresh_process(with_a_broken_expectation, place, ["--strict"])
    assert code == 1
    assert [line for line in printed.splitlines() if not line.startswith(("ok", "skipped"))] == [
        "DIFFERS   8  no-access    4 of 5 as claimed"
    ]
    assert told == "lab: step 8 no-access: c = data[0]: the tutorial expects 'a', observed SIGSEGV\n"


def test_a_check_of_a_tmpfs_tells_what_lies_behind_the_end_of_the_file() -> None:
    shared = Path("/dev/shm")  # noqa: S108 - a directory that is a tmpfs nearly everywhere
    if not shared.is_dir() or environment(shared, 0.0).filesystem != "tmpfs":
        pytest.skip("no tmpfs on /dev/shm here")
    done = run_lab("tour", "--strict", "--dir", shared)
    assert done.returncode == 1
    assert [line.split()[2] for line in done.stdout.splitlines() if line.startswith("DIFFERS")] == ["tail"]
    assert done.stderr == (
        r"lab: step 5 tail: pread(fd, &c, 1, page + 5): the tutorial expects '\x00', observed 'x'" + "\n"
    )


def test_without_a_check_a_difference_is_marked_and_the_exit_code_is_0(place: Path) -> None:
    code, printed, told = in_fresh_process(with_a_broken_expectation, place, ["8"])
    assert (code, told) == (0, "")
    assert [line.strip() for line in printed.splitlines() if "<- DIFFERS" in line] == [
        "c = data[0]                                  'a'       SIGSEGV  <- DIFFERS"
    ]
    assert lines(printed)[-1] == "This system DIFFERS from the tutorial in no-access."


def test_colours_are_for_terminals_alone(place: Path) -> None:
    terminal = Terminal()
    with start_lab("tour", "3", "--dir", place, stdout=terminal.end, env={"PATH": "/bin", "TERM": "xterm"}) as lab:
        terminal.hand_over()
        printed = terminal.read()
        lab.communicate(timeout=PATIENCE_S)
    terminal.close()
    assert "\x1b[1m 3  offset:" in printed
    assert "\x1b" not in run_lab("tour", "3", "--dir", place).stdout


def stopped(directory: str | Path, number: int) -> list[object]:
    """The command where a signal comes in the middle of a step: its exit code, stderr, and what is left."""
    from lab.cli.main import main
    from lab.tutorial import tour

    def stops(stage: Stage) -> Iterator[results.Observation]:
        process = stage.process(stage.file(b"a"))
        os.kill(os.getpid(), number)
        yield process.exits()

    vars(tour)["STEPS"] = (Step("stopped", "", stops),)
    told = StringIO()
    with redirect_stderr(told):
        code = main(["tour", "--dir", str(directory), "--json", "tour.json"])
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        left = 0
    else:
        left = 1
    return [code, told.getvalue(), left, os.listdir(directory), Path("tour.json").exists()]  # noqa: PTH208


@pytest.mark.parametrize("number", [2, 15])
def test_ctrl_c_and_sigterm_end_it_with_130_and_leave_nothing(place: Path, number: int) -> None:
    assert in_fresh_process(stopped, place, number) == [130, "lab: interrupted\n", 0, [], False]


def test_a_check_prints_a_line_a_step_and_its_document_has_the_observations(place: Path) -> None:
    done = run_lab("tour", "--strict", "--dir", place, "--json", "it.json")
    assert (done.returncode, done.stderr) == (0, "")
    *checked, _ = done.stdout.splitlines()
    assert [line.split()[:2] for line in checked[:21]] == [["ok", str(number)] for number in range(1, 22)]
    assert {line.split()[0] for line in checked[21:]} <= {"ok", "skipped"}
    made = json.loads(Path("it.json").read_text())
    assert len(made["steps"]) == 25
    assert made["steps"][0].keys() >= {"number", "name", "claim", "observations"}
    assert made["steps"][0]["observations"][0].keys() >= {"call", "expected", "observed", "ok"}
    assert str(place) not in json.dumps(made)


def test_an_unknown_step_gives_the_nearest() -> None:
    assert refusal(2, "tour", "unmap") == "lab: unknown step 'unmap'; did you mean munmap?"
