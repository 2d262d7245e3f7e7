"""Mistakes of a scenario's author: one clear line that names the class, the attribute and what is allowed."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import get_args

import pytest

from lab.errors import ScenarioError, UsageError
from lab.records import Verdict
from lab.scenario import Damage, Scenario, find_scenarios
from lab.scenario.base import VERDICTS, listed_damage
from lab.scenario.find import ATTRIBUTES
from tests.helpers import run_lab

TEXT = '''
"""Mine."""
from ctypes import Structure, c_uint64
from lab import Scenario

class Mine(Scenario):
    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        w.memory.value += 1

    def check(self, memory, outcome):
        return []

'''
NO_TEXT = ["5", "None", "b'x'", "True", "('x',)"]
NO_FUNCTION = ["5", "None", "'x'"]
NO_BOOL = ["0", "1", "'x'", "None"]
NO_NAMES = ["'fcntl'", "None", "5", "(5,)", "(None,)"]
WRONG = {
    "Memory": ["None", "5", "'x'", "int", "Structure", "type('Empty', (Structure,), {'_fields_': []})"],
    "work": NO_FUNCTION,
    "check": NO_FUNCTION,
    "invariant": NO_FUNCTION,
    "layout": NO_FUNCTION,
    "files": NO_FUNCTION,
    "prepare": NO_FUNCTION,
    "start": NO_FUNCTION,
    "expected": NO_FUNCTION,
    "expects": ["'x'", "None", "5", "{5: 6}", "{'none': 'broken'}", "{'none': 'inconclusive'}", "('none', 'damaged')"],
    "allows_overlaps": NO_NAMES,
    "locks": [*NO_NAMES, "()"],
    "recover": NO_FUNCTION,
    "after_crash": ["'x'", "None", "{'fire': 'damaged'}", "{'kill': 'broken'}", "{'kill': None}"],
    "why": NO_TEXT,
    "order": ["-1", "1.5", "True", "'x'", "None"],
    "backing": NO_TEXT,
    "by_name": NO_BOOL,
    "unshared": [*NO_TEXT, "'nix'", "'died'"],
    "worlds": [*NO_NAMES, "()", "{'nix'}"],
    "rounds": ["None", "0", "-3", "True", "1.5", "'x'", "10**30", "float('nan')", "property(lambda self: 1)"],
    "holds_per_round": ["None", "-5", "True", "1.5", "10**15"],
    "time_limit": ["-1", "0", "'x'", "float('inf')", "float('nan')", "True"],
    "pin": ["'nix'", *NO_TEXT],
    "workers_at_most": ["0", "-1", "1.5", "'x'", "True"],
    "sparse": NO_BOOL,
}


def refusal(path: Path, attribute: str, value: str) -> str:
    file = path / f"mine{abs(hash((attribute, value)))}.py"
    file.write_text(TEXT + indent(f"{attribute} = {value}\n", "    "))
    with pytest.raises(UsageError) as raised:
        find_scenarios([str(file)])
    return str(raised.value).removeprefix(f"{file}: ")


def test_any_verdict_may_be_expected_but_that_there_is_none() -> None:
    assert get_args(Verdict)[:-1] == VERDICTS
    assert get_args(Verdict)[-1] == "inconclusive"


def test_every_attribute_that_is_documented_is_in_the_table() -> None:
    own = {name for name, value in vars(Scenario).items() if not name.startswith("_")}
    assert {each.name for each in ATTRIBUTES} == own | {"Memory"} == set(WRONG)


def test_every_wrong_value_is_one_line_that_names_the_attribute_and_what_it_may_be(tmp_path: Path) -> None:
    for attribute in ATTRIBUTES:
        for value in WRONG[attribute.name]:
            said = refusal(tmp_path, attribute.name, value)
            assert said.startswith(f"Mine.{attribute.name} is "), (value, said)
            assert attribute.allowed in said
            assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("rounds = None", 2),
        ("rounds = 0", 2),
        ("expects = 'x'", 2),
        ("locks = ()", 2),
        ("def check(self, m, o):\n    from lab import Damage\n    return Damage('x', float('nan'), 2)", 4),
        ("def check(self, m, o):\n    return None", 4),
    ],
)
def test_the_command_ends_as_documented(text: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEXT + indent(text, "    "))
    ended = run_lab("race", "mine.py", "--locked", "--workers", "2", "--trials", "1", "--no-save", cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "clean" not in ended.stdout


@pytest.mark.parametrize("command", ["race", "explore"])
@pytest.mark.parametrize(
    ("name", "other"), [("Memory", "a ctypes.Structure"), ("work", "a function work"), ("check", "a function check")]
)
def test_what_cannot_run_without_is_named_once(command: str, name: str, other: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEXT.replace(f"class {name}", "class Other").replace(f"def {name}", "def other"))
    ended = run_lab(command, "mine.py", "--locked", "--workers", "2", cwd=tmp_path)
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert line.startswith(f"lab: scenario mine: Mine has no {name}; give {other}")


@pytest.mark.parametrize(
    "text", ["raise SystemExit(0)", "import sys; sys.exit(3)", "raise ValueError('x\\x1b[31m\\n')"]
)
def test_what_ends_or_raises_while_it_is_imported_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"print('said')\n{text}\n")
    ended = run_lab("race", "mine.py", "--no-save", cwd=tmp_path)
    said, *rest = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout, said, len(rest)) == (2, "", "said", 1)
    assert rest[0].startswith("lab: mine.py: cannot be loaded: ")
    assert rest[0].isprintable()


@pytest.mark.parametrize(
    "damage",
    [
        Damage("x", 1.0, 1),  # type: ignore[arg-type]
        Damage("x", float("nan"), 1),  # type: ignore[arg-type]
        Damage("x", "1", 1),  # type: ignore[arg-type]
        Damage("x", 10**40, 1),
        Damage("x", 1, None),  # type: ignore[arg-type]
        Damage(5, 1, 1),  # type: ignore[arg-type]
        Damage("x", 1, 1, [5]),  # type: ignore[list-item]
        Damage("x", 1, 1, "text"),
        Damage("x", 1, 1, None),  # type: ignore[arg-type]
    ],
)
def test_a_damage_of_wrong_types_is_the_checks_mistake(damage: Damage) -> None:
    with pytest.raises(ScenarioError, match=r"check returned Damage with .*, which is to be .*; fix the check"):
        listed_damage([damage], test_a_damage_of_wrong_types_is_the_checks_mistake)


def test_a_comparison_counts_and_numbers_with_an_index_are_whole_numbers() -> None:
    class Number:
        """As numpy's integers are."""

        def __index__(self) -> int:
            return 3

    found = [Damage("x", len("broken") > 1, 1), Damage("x", Number(), Number())]  # type: ignore[arg-type]
    assert listed_damage(found, print) == [Damage("x", 1, 1), Damage("x", 3, 3)]
    assert {type(number) for each in listed_damage(found, print) for number in (each.count, each.of)} == {int}


def test_a_check_that_never_ends_to_find_more_is_not_waited_for() -> None:
    def endless() -> object:
        while True:
            yield Damage("x", 1, 1)

    assert listed_damage(endless(), endless)
