"""Peek's two halves, and what happens to the file in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.memory.calls import PAGE
from lab.tutorial.peek import CHUNK, mapped
from tests.helpers import in_fresh_process


def loaded(path: str | Path, offset: int, length: int, cut_to: int | None = None) -> list[object]:
    """What is loaded from a file that is cut between the halves; or the exit code and the text of the error."""
    try:
        with mapped(Path(path)) as file:
            if cut_to is not None:
                os.truncate(path, cut_to)
            return [b"".join(file.load(offset, length)).decode()]
    except LabError as error:
        return [error.exit_code, str(error)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two pages and a bit."""
    made = tmp_path / "file"
    made.write_bytes(b"a" * PAGE + b"b" * PAGE + b"c" * 10)
    return made


@pytest.mark.parametrize(
    ("offset", "length", "found"), [(0, 1, "a"), (PAGE - 1, 2, "ab"), (2 * PAGE + 9, 1, "c"), (2 * PAGE + 9, 99, "c")]
)
def test_the_bytes_are_those_of_the_file_up_to_its_end(path: Path, offset: int, length: int, found: str) -> None:
    assert in_fresh_process(loaded, path, offset, length) == [found]


def test_more_than_one_piece_comes_in_order(tmp_path: Path) -> None:
    content = "".join(chr(97 + number % 23) for number in range(3 * CHUNK + 5))
    path = tmp_path / "long"
    path.write_text(content)
    assert in_fresh_process(loaded, path, 7, 1 << 40) == [content[7:]]


@pytest.mark.parametrize("offset", [-1, 2 * PAGE + 10])
def test_an_offset_outside_the_file_names_the_range(path: Path, offset: int) -> None:
    code, told = in_fresh_process(loaded, path, offset, 1)
    assert code == 2
    assert f"offset must be 0-{2 * PAGE + 9}, not {offset}" in told


def test_a_load_from_a_page_that_is_gone_is_a_sigbus_that_is_told(path: Path) -> None:
    told = in_fresh_process(loaded, path, PAGE, 1, cut_to=10)
    assert told == [
        3,
        f"{path}: SIGBUS at the load from offset {PAGE}: the file was cut from {2 * PAGE + 10} to 10 bytes "
        "while it was mapped; try again",
    ]


def test_zeros_of_the_last_page_are_not_told_as_bytes_of_the_file(path: Path) -> None:
    told = in_fresh_process(loaded, path, PAGE - 1, 1, cut_to=PAGE - 1)
    assert told == [
        3,
        f"{path}: was cut from {2 * PAGE + 10} to {PAGE - 1} bytes while it was mapped: the load from offset "
        f"{PAGE - 1} was answered with zeros that are not in the file; try again",
    ]


def test_a_cut_behind_what_is_loaded_changes_nothing(path: Path) -> None:
    assert in_fresh_process(loaded, path, 5, 1, cut_to=6) == ["a"]


def test_a_page_that_the_disk_does_not_give_is_told_as_that(path: Path) -> None:
    code, told = in_fresh_process(regrown, path)
    assert code == 3
    assert "SIGBUS at the load from offset 0: the page cannot be had from the disk" in told


def regrown(path: str | Path) -> list[object]:
    """The child meets SIGBUS, and by the time that the parent looks the file is as long as it was."""
    from lab.tutorial import peek

    size = Path(path).stat().st_size
    failed = peek.Mapped._failed

    def late(self: peek.Mapped, code: int, start: int, end: int) -> LabError:
        os.truncate(path, size)
        return failed(self, code, start, end)

    peek.Mapped._failed = late  # type: ignore[method-assign,assignment]
    return loaded(path, 0, 1, cut_to=0)
