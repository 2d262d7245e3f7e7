"""Colours are for terminals; nothing but text goes anywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.records import SCHEMA
from tests.cli.commands import QUICK, Terminal, document, scenario_file, start_lab
from tests.helpers import PATIENCE_S, run_lab


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def on_terminal(terminal: Terminal, *args: str | Path, **env: str) -> tuple[str, str]:
    """What a run prints on a terminal, and on a stderr that is none."""
    with start_lab(*args, stdout=terminal.end, env=environment(**env)) as lab:
        terminal.hand_over()
        printed = terminal.read()
        _, told = lab.communicate(timeout=PATIENCE_S)
    return printed.replace("\r\n", "\n"), told


def environment(**env: str) -> dict[str, str]:
    """This environment on a terminal that can show colours, whatever the tests themselves run on."""
    import os

    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "TERM": "xterm-256color", **env}


@pytest.mark.parametrize("command", [["race", "counter", *QUICK], ["list"], ["race", "--help"]])
def test_what_is_no_terminal_gets_no_escape_codes(command: list[str]) -> None:
    done = run_lab(*command, env={"TERM": "xterm-256color"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("env", "shown"),
    [
        ({}, ["\x1b[32mclean\x1b[0m", "\x1b[1;31mFAILED: broke\x1b[0m"]),
        ({"NO_COLOR": "1"}, ["clean", "FAILED: broke"]),
        ({"TERM": "dumb"}, ["clean", "FAILED: broke"]),
    ],
    ids=["colours", "NO_COLOR", "dumb"],
)
def test_a_terminal_gets_colours_unless_it_or_its_user_has_none_and_a_table_that_fits(
    env: dict[str, str], shown: list[str], terminal: Terminal, tmp_path: Path
) -> None:
    mine = scenario_file(tmp_path / f"{'a_long_name_' * 10}.py", check="return Damage('odd', 2, 40)")
    printed, told = on_terminal(terminal, "race", "counter", mine, "--locked", *QUICK, **env)
    assert [each for each in shown if each not in printed] == []
    assert "\x1b" not in told
    if env:
        assert not re.search(r"\x1b\[([\d;]*;)?3\dm", printed)
    if "TERM" in env:
        assert "\x1b" not in printed
        assert max(len(line) for line in printed.splitlines()) <= 100


def test_a_document_on_a_terminal_is_a_document(terminal: Terminal) -> None:
    printed, _ = on_terminal(terminal, "race", "counter", *QUICK, "--json", "-")
    assert document(printed)["schema"] == SCHEMA
