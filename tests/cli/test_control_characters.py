"""What a scenario's author, or whoever names his file, can write: none of it acts on the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import run_lab

ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = "evil\x1b]0;x\x07\x9b31m\u202e"
SCENARIO = f'''
"""A summary {EVIL}."""
from ctypes import Structure, c_uint64
from lab import Damage, Scenario

class Evil(Scenario):
    expects = {{}}
    why = "because {EVIL}"

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        w.memory.value = 1
        if RAISES:
            raise ValueError({EVIL!r})

    def check(self, memory, outcome):
        return Damage({EVIL!r}, 1, 2, [{EVIL!r}])
'''
SHORT = ("--lock", "none", "--workers", "2", "--rounds", "2")
RACED = (*SHORT, "--trials", "1")


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    """A file whose name, texts, damage and errors hold control characters."""
    (tmp_path / f"{EVIL.replace('/', '')}.py").write_text(SCENARIO.replace("RAISES", "False"))
    (tmp_path / f"raises {EVIL}.py").write_text(SCENARIO.replace("RAISES", "True"))
    return f"{EVIL}.py"


@pytest.mark.parametrize(
    ("command", "raises", "code"),
    [
        (("race", "--json", "m.json", "--no-save", *RACED), False, 1),
        (("race", "--json", "m.json", "--no-save", *RACED), True, 4),
        (("race", "--traceback", "--no-save", *RACED), True, 4),
        (("explore", "--json", "m.json", *SHORT), False, 1),
        (("explore", *SHORT), True, 4),
    ],
)
def test_no_control_character_reaches_the_terminal(
    command: tuple[str, ...], raises: bool, code: int, scenario: str, tmp_path: Path
) -> None:
    name = f"raises {scenario}" if raises else scenario
    done = run_lab(command[0], name, *command[1:], cwd=tmp_path)
    assert done.returncode == code, done.stderr
    said = done.stdout + done.stderr
    assert "evil\\x1b]0;x\\x07\\x9b31m\\u202e" in said
    assert not ACTS.search(said)
    if "m.json" in command:
        for way in ((), ("--format", "github"), ("--format", "csv")):
            again = run_lab("report", "m.json", *way, cwd=tmp_path)
            assert not ACTS.search(again.stdout + again.stderr), way
