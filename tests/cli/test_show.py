"""Colours are for terminals; nothing but text goes anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.records import SCHEMA
from tests.cli.commands import QUICK, Terminal, document, scenario_file, start_lab
from tests.helpers import PATIENCE_S, run_lab

ESCAPE = "\x1b["
BROKEN = "return Damage('odd', 2, 40)"


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


def test_a_terminal_gets_colours(terminal: Terminal) -> None:
    printed, _ = on_terminal(terminal, "race", "counter", "--locked", *QUICK)
    assert f"{ESCAPE}32mclean{ESCAPE}0m" in printed


def test_what_is_bad_is_told_in_bold_red(terminal: Terminal, tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", check=BROKEN)
    printed, told = on_terminal(terminal, "race", mine, *QUICK)
    assert f"{ESCAPE}1;31mDAMAGED: odd{ESCAPE}0m" in printed
    assert ESCAPE not in told


@pytest.mark.parametrize("command", [["race", "counter", *QUICK], ["list"], ["race", "--help"]])
def test_what_is_no_terminal_gets_no_escape_codes(command: list[str]) -> None:
    done = run_lab(*command, env={"TERM": "xterm-256color"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_that_cannot_show_colours_gets_none(terminal: Terminal) -> None:
    printed, _ = on_terminal(terminal, "race", "counter", "--locked", *QUICK, TERM="dumb")
    assert "clean" in printed
    assert "\x1b" not in printed


def test_a_user_who_wants_no_colours_gets_none(terminal: Terminal, tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", check=BROKEN)
    printed, _ = on_terminal(terminal, "race", mine, *QUICK, NO_COLOR="1")
    assert "DAMAGED: odd" in printed
    assert "\x1b[31m" not in printed
    assert ";31m" not in printed


def test_a_table_wider_than_the_terminal_is_not_folded(terminal: Terminal, tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / f"{'a_long_name_' * 10}.py")
    printed, _ = on_terminal(terminal, "race", mine, *QUICK, TERM="dumb")
    assert max(len(line) for line in printed.splitlines()) > 160


def test_a_document_on_a_terminal_is_a_document(terminal: Terminal) -> None:
    printed, _ = on_terminal(terminal, "race", "counter", *QUICK, "--json", "-")
    assert document(printed)["schema"] == SCHEMA
