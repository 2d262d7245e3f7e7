"""The command line of a program: how it is read, and what is filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.racing.programs import program_of
from lab.racing.programs.launch import number_of

VALUES = {"file": "/tmp/a b", "worker": 3, "workers": 4, "rounds": 10, "seed": 7, "start": "/s"}  # noqa: S108


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("true {file} --w={worker}/{workers} '{rounds} {seed}' {start}",
         ["true", "/tmp/a b", "--w=3/4", "10 7", "/s"]),  # noqa: S108
        ("true {file} {{file}} {{any}}", ["true", "/tmp/a b", "{file}", "{any}"]),  # noqa: S108
        *((f"true {{file}} '{word}'", ["true", "/tmp/a b", word])  # noqa: S108
          for word in ("{}", "{ x }", "{a b}", "$1{", '{"k":{"l":1}}', "}}{{")),
    ],
)  # fmt: skip
def test_each_placeholder_is_filled_in_and_other_braces_stay(command: str, argv: list[str]) -> None:
    """Wherever it stands in a word; a doubled brace stands for the word in braces."""
    assert program_of(command).argv(VALUES) == argv


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    assert program_of("true {file}").argv({**VALUES, "file": "{worker}"}) == ["true", "{worker}"]


@pytest.mark.parametrize(("command", "waits"), [("true {file}", False), ("true {file} {start}", True)])
def test_a_program_waits_where_it_is_given_the_start_signal(command: str, waits: bool) -> None:
    assert program_of(command).waits is waits


def test_a_program_is_found_on_the_path_and_goes_by_its_last_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, mode in ((first, 0o644), (second, 0o755)):
        folder.mkdir()
        (folder / "tool").touch()
        (folder / "tool").chmod(mode)
    monkeypatch.setenv("PATH", f"{first}:{second}")
    program = program_of("tool {file}")
    assert (program.path, program.name) == (str(second / "tool"), "tool")
    assert program_of(f"{second}/tool {{file}}").name == "tool"


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--program {tmp_path}: is a folder; name the program in it"):
        program_of(f"{tmp_path} {{file}}")


def test_the_number_of_a_seed_is_the_same_again_and_another_for_each_worker() -> None:
    numbers = [number_of("0/add/4/0", worker) for worker in range(100)]
    assert numbers == [number_of("0/add/4/0", worker) for worker in range(100)]
    assert len(set(numbers)) == 100
    assert numbers != [number_of("0/add/4/1", worker) for worker in range(100)]
    assert all(0 <= number < 2**32 for number in numbers)
