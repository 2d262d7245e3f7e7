"""Defaults of options in pyproject.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.cli.main import parse
from lab.errors import UsageError

TABLES = """
[project]
name = "mine"

[tool.lab.race]
workers = [2, 4]
lock = "flock"
time-limit = 7
quiet = true
save = "kept"

[tool.lab.explore]
rounds = 1
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with defaults, of which a folder below is the current one."""
    (tmp_path / "pyproject.toml").write_text(TABLES)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("race", {"workers": [2, 4], "lock": ["flock"], "time_limit": 7.0, "quiet": True, "save": Path("kept")}),
        ("race --lock fcntl", {"lock": ["fcntl"], "workers": [2, 4]}),
        ("race --locked", {"lock": ["fcntl"]}),
        ("race -w 8 --time-limit=9", {"workers": [8], "time_limit": 9.0}),
        ("race -w8", {"workers": [8]}),
        ("race --no-save", {"save": None, "no_save": True}),
        ("explore", {"rounds": [1], "workers": None, "lock": None}),
        ("list", {}),
    ],
)
def test_a_table_gives_the_defaults_of_its_command_and_the_command_line_goes_first(
    words: str, expected: dict[str, Any], project: Path
) -> None:
    parsed = vars(parse(words.split()))
    assert {name: parsed[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.lab.rice]", "[tool.lab.rice]: unknown command 'rice'; did you mean race?"),
        ("[tool.lab]\nworkers = 2", "[tool.lab]: workers: give it in a table of a command, such as [tool.lab.race]"),
        ("[tool.lab.race]\nwrokers = 2", "[tool.lab.race]: unknown option 'wrokers'; did you mean workers?"),
        (
            "[tool.lab.race]\ntrials = 0",
            "[tool.lab.race]: argument --trials: 0 is too few: at least 1; see lab race --help",
        ),
        ("[tool.lab.race]\nquiet = 3", "[tool.lab.race]: quiet: 3 is neither true nor false"),
        ("[tool.lab.race", "Expected ']' at the end of a table declaration (at end of document); fix the file"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(text: str, said: str, project: Path) -> None:
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError) as raised:
        parse(["race"])
    assert str(raised.value) == f"{project / 'pyproject.toml'}: {said}"


def test_what_is_wrong_on_the_command_line_is_not_blamed_on_the_file(project: Path) -> None:
    with pytest.raises(UsageError) as raised:
        parse(["race", "--trials", "0"])
    assert str(raised.value).startswith("argument --trials: 0 is too few")


def test_a_file_that_says_nothing_of_the_lab_ends_the_search(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "below/pyproject.toml").write_text("[tool.other]\n")
    assert parse(["race"]).workers == [4]
