"""Every option of every command that takes a number, read from the parsers: what makes no sense is one line, exit 2."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from lab.cli.main import main, whole_parser
from lab.commands import COMMANDS
from lab.exploring.case import Case
from lab.exploring.run import explore
from lab.records import encode
from lab.scenario import find_scenarios
from tests.cli.commands import NEEDED, QUICK, refusal, scenario_file
from tests.report.explored_records import asked
from tests.report.plots_records import alone, bench_of

pytestmark = pytest.mark.processes

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


@cache
def options_of(command: str) -> list[argparse.Action]:
    """Return the options of a command, as its parser has them."""
    (commands,) = (each for each in whole_parser()._actions if isinstance(each, argparse._SubParsersAction))
    return list(commands.choices[command]._actions)


def numeric() -> Iterator[tuple[str, argparse.Action]]:
    """The command and the option of everything that reads a number."""
    for command in COMMANDS:
        for action in options_of(command):
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


NO_FILE, FOLDER = "(No such file or directory)", "an empty name; give a directory"
BAD_VALUES = {
    "--dir": [
        ("", 2, FOLDER),
        (" ", 2, FOLDER),
        ("missing", 2, "--dir missing: does not exist; give a directory"),
        ("a.json", 2, "--dir a.json: is not a directory; give a directory"),
        ("/proc/self", 3, "--dir /proc/self: cannot be written ("),
    ],
    "--save": [
        ("", 2, FOLDER),
        ("missing", 3, f"cannot be written {NO_FILE}; "),
        ("a.json", 3, "cannot be written (Not a directory); "),
        ("/proc/self", 3, "cannot be written ("),
    ],
    "--json": [
        ("", 2, "an empty path; give a file name, or - for standard output"),
        ("missing/x", 3, f"missing/x: cannot be written {NO_FILE}; give another --json PATH"),
        (".", 3, ".: cannot be written (is a directory); give another --json PATH"),
    ],
    "--format": [("simpel", 2, "unknown format 'simpel'; did you mean simple?")],
    "--seed": [
        ("1.5", 2, "'1.5' is no whole number"),
        (str(1 << 63), 2, "is no seed: a whole number from -2^63"),
    ],
    "--detects": [("1.5", 2, "argument --detects: 1.5 is no rate")],
}
"""The options that commands share, with values that every one of them refuses, and the exit code."""

GIVEN = NEEDED | {"replay": [str(explore(Case(find_scenarios(["counter"])[0], "none", 2, 1), asked()).token)]}
"""A token is of the scenario as it is now."""

SHARED = [
    (command, option, *row)
    for command in COMMANDS
    for option, rows in BAD_VALUES.items()
    if any(option in each.option_strings and each.nargs != 0 for each in options_of(command))
    for row in rows
    if (command, option) != ("list", "--dir") or row[1] == 2  # it lists what does not work there
    if (command, option) != ("hosts", "--dir") or row[2] == FOLDER  # it is a directory of the hosts
    if (command, option) != ("history", "--format")  # it is how the file is written
]


def test_the_options_that_commands_share_are_found() -> None:
    asked = {(command, option) for command, option, *_ in SHARED}
    assert {command for command, option in asked if option == "--dir"} >= {
        "race", "replay", "bench", "list", "locks", "tour", "backings", "hosts",
    }  # fmt: skip
    assert len(asked) > 25


@pytest.mark.parametrize(("command", "option", "value", "code", "message"), SHARED)
def test_every_command_refuses_a_bad_value_of_a_shared_option_before_it_does_anything(
    command: str, option: str, value: str, code: int, message: str, elsewhere: Path
) -> None:
    for name in ("a.json", "b.json"):
        Path(name).write_bytes(encode(replace(bench_of(alone("fcntl", 1)), started=name)))
    scenario_file(elsewhere / "touches.py", "(HERE / 'a-worker-ran').touch()")
    line = refusal(code, command, *GIVEN.get(command, []), f"{option}={value}")
    assert message in line
    assert line.startswith("lab: ")
    assert sorted(each.name for each in elsewhere.iterdir()) == ["a.json", "b.json", "touches.py"]


@pytest.mark.parametrize("name", ["~nobody", "a\nb\x1b[31m", os.fsdecode(b"\xff\xfe"), "n" * 4096])
def test_a_directory_that_cannot_be_is_one_line(name: str) -> None:
    code = 3 if len(name) > 255 else 2
    line = refusal(code, "race", "counter", "--locked", *QUICK, "--no-save", "--dir", name)
    assert line.startswith("lab: ")
    assert line.isprintable()
