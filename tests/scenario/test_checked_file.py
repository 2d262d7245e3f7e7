from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.scenario import Damage, Outcome
from lab.scenario.checked_file import CheckedFile

CHECK = """
from lab import Damage

def check(path, outcome):
    return Damage("lost", outcome.rounds - int(path.read_text()), outcome.rounds)
"""


def checked(folder: Path, text: str) -> CheckedFile:
    made = folder / "mine.py"
    made.write_text(text)
    return CheckedFile(made)


def test_the_check_file_judges_the_file(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("3")
    assert checked(tmp_path, CHECK).judge(file, Outcome(5, [2, 3])) == Damage("lost", 2, 5)


def test_without_a_prepare_the_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    checked(tmp_path, CHECK).first_content(file)
    assert file.read_bytes() == b""
    checked(tmp_path, CHECK + "\ndef prepare(path):\n    path.write_text('7')\n").first_content(file)
    assert file.read_bytes() == b"7"


def test_nothing_appears_beside_the_check_file(tmp_path: Path) -> None:
    checked(tmp_path, CHECK)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.py"]


def test_all_damage_of_a_program_is_unexpected(tmp_path: Path) -> None:
    assert {checked(tmp_path, CHECK).expected(lock) for lock in ("its own", "none", "fcntl")} == {"clean"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", r"has no function check\(path, outcome\); define one"),
        ("check = 3\n", r"has no function check\(path, outcome\)"),
        (CHECK + "\nprepare = 3\n", r"has no function prepare\(path\)"),
        ("import nowhere_to_be_found\n", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "cannot be loaded: SystemExit: 3"),
        ("\ndef check(:\n", "mine.py:2: invalid syntax; fix the file"),
        ("a = 'b\0'\n", "null bytes"),
    ],
)
def test_a_check_file_that_cannot_be_used_is_told(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        checked(tmp_path, text)


def test_a_check_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        CheckedFile(tmp_path / "missing.py")
    with pytest.raises(UsageError, match="cannot be read"):
        CheckedFile(tmp_path)
