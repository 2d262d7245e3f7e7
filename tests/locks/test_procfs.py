from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab.analysis.holds import END, Span
from lab.host.procfs import Asked, Listed, Seen, _read, sight_of
from tests.helpers import OtherProcess, in_fresh_process
from tests.locks.holder import take


def looked(path: str, how: str) -> list[Any]:
    """The source of the sight, and what it shows of the file."""
    sight = sight_of(Path(path)) if how == "best" else Asked(Path(path))
    try:
        return [sight.source, sorted(sight.look())]
    finally:
        sight.close()


@pytest.mark.parametrize(("lock", "kind"), [("fcntl", "POSIX"), ("flock", "FLOCK"), ("ofd", "OFDLCK")])
def test_the_kernel_lists_who_holds_what(lock: str, kind: str, path: Path, other: OtherProcess) -> None:
    other.call(take, lock, str(path), 16, 8, True)
    pid = -1 if lock == "ofd" else other.pid
    span = [0, 0, True] if lock == "flock" else [16, 8, True]
    assert in_fresh_process(looked, str(path), "best") == ["/proc/locks", [[kind, pid, span, False, ""]]]


def test_a_file_without_locks_shows_none(path: Path) -> None:
    assert in_fresh_process(looked, str(path), "best") == ["/proc/locks", []]
    assert in_fresh_process(looked, str(path), "asked") == ["F_GETLK", []]


@pytest.mark.parametrize("write", [True, False])
def test_an_f_getlk_names_one_lock_that_is_in_the_way(write: bool, path: Path, other: OtherProcess) -> None:
    other.call(take, "fcntl", str(path), 16, 8, write)
    assert in_fresh_process(looked, str(path), "asked") == [
        "F_GETLK",
        [["POSIX", other.pid, [16, 8, write], False, ""]],
    ]


def test_a_lock_on_a_file_beside_it_is_shown_with_its_name_and_one_elsewhere_is_not(
    path: Path, other: OtherProcess
) -> None:
    beside, elsewhere = path.with_name("beside"), path.with_name("folder") / "other"
    elsewhere.parent.mkdir()
    for each in (beside, elsewhere):
        each.write_bytes(bytes(8))
        other.call(take, "fcntl", str(each), 0, 8, True)
    shown = [["POSIX", other.pid, [0, 8, True], False, "beside"]]
    assert in_fresh_process(looked, str(path), "best") == ["/proc/locks", shown]


def looked_twice(path: str, beside: str) -> list[Any]:
    """What is shown of a file that goes between two looks, and of one that is renamed over the file itself."""
    sight = sight_of(Path(path))
    first = sorted(seen.file for seen in sight.look())
    Path(beside).replace(path)
    second = sorted(seen.file for seen in sight.look())
    return [first, second]


def test_a_file_that_goes_keeps_its_name_and_what_replaces_the_file_is_the_file(
    path: Path, other: OtherProcess
) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(bytes(8))
    for each in (path, beside):
        other.call(take, "fcntl", str(each), 0, 8, True)
    assert in_fresh_process(looked_twice, str(path), str(beside)) == [["", "beside"], [""]]


def unlisted(path: str) -> list[Any]:
    """As where the kernel's list is not available."""
    from lab.host import procfs

    procfs.LIST = os.devnull
    return looked(path, "best")


def test_where_the_kernel_does_not_list_others_are_asked_for(path: Path, other: OtherProcess) -> None:
    other.call(take, "fcntl", str(path), 0, 0, True)
    assert in_fresh_process(unlisted, str(path)) == ["F_GETLK", [["POSIX", other.pid, [0, 0, True], False, ""]]]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("POSIX  ADVISORY  WRITE 7 08:01:12 0 7", [Seen("POSIX", 7, Span(0, 8, True), False)]),
        ("-> POSIX  ADVISORY  READ 7 08:01:12 4 EOF", [Seen("POSIX", 7, Span(4, 0, False), True)]),
        ("FLOCK  ADVISORY  WRITE 7 08:01:12 0 EOF", [Seen("FLOCK", 7, Span(0, 0, True), False)]),
        ("LEASE  ACTIVE    READ 7 08:01:12 0 EOF", []),
        ("DELEG  ACTIVE    READ 7 08:01:12 0 EOF", []),
    ],
)
def test_a_line_of_the_list_is_read(line: str, seen: list[Seen]) -> None:
    assert _read(line.split()) == seen


def test_to_the_end_of_the_file_is_to_the_last_byte_that_can_be_named() -> None:
    (seen,) = _read(["POSIX", "ADVISORY", "WRITE", "7", "08:01:12", "4", "EOF"])
    assert seen.span.end == END


def test_only_lines_of_the_file_itself_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "list"
    made.write_text(
        "1: POSIX  ADVISORY  WRITE 7 08:01:12 0 7\n"
        "2: POSIX  ADVISORY  WRITE 8 08:01:112 0 7\n"
        "3: POSIX  ADVISORY  WRITE 9 18:01:12 0 7\n"
        "1: POSIX  ADVISORY  WRITE 7 08:01:12 0 7\n"
    )
    monkeypatch.setattr("lab.host.procfs.LIST", str(made))
    file = tmp_path / "file"
    file.touch()
    made.write_text(made.read_text().replace(":12 ", f":{file.stat().st_ino} ").replace(":112 ", ":1 "))
    assert [seen.pid for seen in Listed("08:01", file).look()] == [7]


def test_a_file_is_called_as_it_is_when_the_list_has_been_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program renames its new file over the old one and locks it, in the middle of a look."""
    fresh = path.with_name("fresh")
    fresh.touch()

    def lines() -> list[str]:
        if fresh.exists():
            fresh.replace(path)
        return [f"1: FLOCK  ADVISORY  WRITE 7 08:01:{path.stat().st_ino} 0 EOF\n"]

    sight = Listed("08:01", path)
    monkeypatch.setattr("lab.host.procfs._lines", lines)
    assert [seen.file for seen in sight.look()] == [""]


def test_a_file_that_has_gone_keeps_its_name_only_for_as_long_as_its_lock_is_seen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its number may be that of any new file, elsewhere too."""
    beside = path.with_name("beside")
    beside.touch()
    shown = [f"1: FLOCK  ADVISORY  WRITE 7 08:01:{beside.stat().st_ino} 0 EOF\n"]
    looks = iter([shown, shown, shown, [], shown])
    monkeypatch.setattr("lab.host.procfs._lines", lambda: next(looks))
    sight, files = Listed("08:01", path), []
    for _ in range(5):
        files.append([seen.file for seen in sight.look()])
        beside.unlink(missing_ok=True)
    assert files == [["beside"], ["beside"], ["beside"], [], []]
