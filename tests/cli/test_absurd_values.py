"""Every option of every command that takes a number, read from the parsers: what makes no sense is one line, exit 2."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cli.main import COMMANDS, _parser, main
from tests.helpers import run_lab

NEVER = [
    "", " ", "abc", "nan", "inf", "-inf", "1e400", "1e30", "-1e30", "0x10", "١٢", "+", "1,,2", "9" * 30, "-" + "9" * 30,
    "9" * 5000, "9223372036854775808", "1\x1b[31m", "1;2",
]  # fmt: skip
UNLESS_A_SEED = ["-1", "2147483648", "10_000_000_000"]
MAY_BE_NOTHING = {
    "--window", "--leak", "--held", "--hold", "--think", "--preemptions", "--show-schedules", "--seed", "--detects",
}  # fmt: skip
"""Options of which 0 says something."""

LARGE = {"--sizes"}
"""Bytes, of which there may be many."""


def numeric() -> Iterator[tuple[str, argparse.Action]]:
    """The command and the option of everything that reads a number."""
    for command in COMMANDS:
        (commands,) = (each for each in _parser([command])._actions if isinstance(each, argparse._SubParsersAction))
        for action in commands.choices[command]._actions:
            if action.option_strings and callable(action.type) and any(_number(action, text) for text in ("7", "7%")):
                yield command, action


def _number(action: argparse.Action, text: str) -> bool:
    value = read(action, text)
    return isinstance(value, int | float) or (isinstance(value, list) and all(isinstance(each, int) for each in value))


def read(action: argparse.Action, text: str) -> object:
    """What the option makes of a text; None where it is refused."""
    assert callable(action.type)
    try:
        return action.type(text)
    except (argparse.ArgumentTypeError, ValueError, TypeError):
        return None


OPTIONS = [(command, action.option_strings[-1], action) for command, action in numeric()]


def test_the_numbers_of_all_commands_are_found() -> None:
    assert {"race", "check", "explore", "bench", "locks", "replay", "compare", "peek"} <= {each[0] for each in OPTIONS}
    assert len(OPTIONS) > 25


@pytest.mark.parametrize(("command", "option", "action"), OPTIONS, ids=[f"{c} {o}" for c, o, _ in OPTIONS])
def test_absurd_numbers_are_refused(command: str, option: str, action: argparse.Action) -> None:
    absurd = [*NEVER, *([] if option == "--seed" or option in LARGE else UNLESS_A_SEED)]
    accepted = [text for text in absurd if read(action, text) is not None]
    assert accepted == []
    assert (read(action, "0") is not None) <= (option in MAY_BE_NOTHING)
    for text in ("-inf", "9" * 5000, "1\x1b[31m"):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert main([command, f"{option}={text}"]) == 2
        (line,) = said.getvalue().splitlines()
        assert line.isprintable()
        assert len(line) < 400


@pytest.mark.parametrize("command", ["race", "bench", "locks", "tour", "backings", "replay"])
@pytest.mark.parametrize("name", ["", " "])
def test_a_directory_without_a_name_is_refused(command: str, name: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert main([command, *(["L1,token"] if command == "replay" else []), f"--dir={name}"]) == 2
    assert "an empty name; give a directory" in said.getvalue()


@pytest.mark.parametrize("name", ["~nobody", "a\nb\x1b[31m", os.fsdecode(b"\xff\xfe"), "file", "n" * 4096])
def test_a_directory_that_cannot_be_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ("--workers", "2", "--rounds", "2", "--trials", "1", "--no-save", "--dir", name)
    ended = run_lab("race", "counter", "--locked", *arguments, cwd=tmp_path)
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, line.startswith("lab: ")) == (2 if name == "file" else 3, True), line
    assert line.isprintable()
