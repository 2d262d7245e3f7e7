from __future__ import annotations

import os
from contextlib import redirect_stderr
from io import StringIO

import pytest

from lab.cli import list as list_command
from lab.cli.main import main
from lab.commands import COMMANDS
from lab.errors import ExitCode
from tests.cli.commands import QUICK, refusal, start_lab
from tests.helpers import PATIENCE_S, run_lab


@pytest.mark.parametrize("command", [[], ["race"], ["list"], ["report"]])
def test_help_tells_the_exit_codes_on_stdout(command: list[str]) -> None:
    done = run_lab(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"\nexit codes:\n{ExitCode.explained()}\n")


def test_help_names_every_option_of_race() -> None:
    told = run_lab("race", "--help").stdout
    options = [
        "--lock ", "--locked", "--unlocked", "--counterexamples", "--workers", "--rounds", "--trials", "--dir",
        "--seed", "--pin", "--window", "--leak", "--time-limit", "--format", "--json", "--save", "--no-save", "--quiet",
    ]  # fmt: skip
    assert [option for option in options if option not in told] == []


@pytest.mark.parametrize("order", [["--traceback", "report", "missing"], ["report", "missing", "--traceback"]])
def test_traceback_is_taken_before_and_after_the_command(order: list[str]) -> None:
    done = run_lab(*order)
    assert done.returncode == 2
    assert "UsageError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lab: missing: cannot be read")


def test_an_error_without_memory_is_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(list_command, "run", exhausted)
    told = StringIO()
    with redirect_stderr(told):
        assert main(["list"]) == 3
    assert told.getvalue() == "lab: no memory is left; ask for less, or raise the limit (ulimit -v)\n"


def without_a_reader(*command: str) -> tuple[int, str]:
    """The exit code and the stderr of a command whose stdout is a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    lab = start_lab(*command, stdout=write)
    os.close(write)
    _, told = lab.communicate(timeout=PATIENCE_S)
    return lab.returncode, told


@pytest.mark.parametrize("command", [["list"], ["race", "counter", *QUICK]])
def test_a_reader_that_went_away_ends_the_program_without_a_word(command: list[str]) -> None:
    assert without_a_reader(*command) == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_race_whose_document_nobody_reads_still_ends_with_its_own_exit_code(
    unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    assert without_a_reader("race", "counter", "--locked", *QUICK, "--json", "-") == (0, "")


def test_without_a_command_that_there_is_the_usage_is_wrong() -> None:
    assert refusal(2) == "lab: the following arguments are required: COMMAND; see python -m lab --help"
    line = refusal(2, "rice")
    assert "invalid choice: 'rice'" in line
    assert all(command in line.partition("choose from")[2] for command in COMMANDS)
