from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lab.analysis.holds import END, Span
from lab.host.procfs import ListedLock
from lab.locking import observer as observer_module
from lab.locking.observer import ListObserver, LockObserver, ObservedLock, QueryObserver, observer_of
from tests.helpers import PATIENCE_S, OtherProcess, in_fresh_process
from tests.locking.holder import take


def shown_by(observer: LockObserver) -> list[ObservedLock]:
    """What it shows in several looks: while other processes lock, the kernel's list may leave a line out."""
    return sorted(set().union(*(observer.look() for _ in range(3))))


def looked(path: str, how: str) -> list[Any]:
    """The source of the observer, and what it shows of the file."""
    observer_module.ANSWER_S = PATIENCE_S  # an answer that comes late would be shown by a later look
    observer = observer_of(Path(path)) if how == "best" else QueryObserver(Path(path))
    try:
        return [observer.source, shown_by(observer)]
    finally:
        observer.close()


@pytest.mark.parametrize(("lock", "kind"), [("fcntl", "POSIX"), ("flock", "FLOCK"), ("ofd", "OFDLCK")])
def test_the_kernel_lists_who_holds_what(lock: str, kind: str, path: Path, other: OtherProcess) -> None:
    other.call(take, lock, str(path), 16, 8, True)
    pid = -1 if lock == "ofd" else other.pid
    span = [0, 0, True] if lock == "flock" else [16, 8, True]
    assert in_fresh_process(looked, str(path), "best") == ["/proc/locks", [[kind, pid, span, False, ""]]]


def looked_jointly(one: str, other: str) -> list[Any]:
    """What one observer shows of two files, as of one through two mounts, of which only one has a list of locks."""
    observer_module.ANSWER_S = PATIENCE_S
    listed = observer_module._listed_device
    observer_module._listed_device = lambda folder: "" if folder.name == "b" else listed(folder)
    with closing(observer_of(Path(one), Path(other))) as observer:
        return [observer.source, shown_by(observer), len(observer.inodes("")), type(observer).__name__]


def test_a_file_on_two_mounts_is_observed_on_both(tmp_path: Path, other: OtherProcess) -> None:
    a, b = tmp_path / "a" / "file", tmp_path / "b" / "file"
    for start, each in enumerate((a, b)):
        each.parent.mkdir()
        each.write_bytes(bytes(8))
        other.call(take, "fcntl", str(each), start, 1, True)
    seen = [["POSIX", other.pid, [start, 1, True], False, ""] for start in (0, 1)]
    joint = in_fresh_process(looked_jointly, str(a), str(b))
    assert joint == ["/proc/locks and F_GETLK", seen, 1, "JointObserver"]
    assert in_fresh_process(looked_jointly, str(a), str(a)) == ["/proc/locks", seen[:1], 1, "ListObserver"]


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
    observer = observer_of(Path(path))
    first = sorted(seen.file for seen in shown_by(observer))
    Path(beside).replace(path)
    second = sorted(seen.file for seen in shown_by(observer))
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

    procfs.LOCKS = os.devnull
    return looked(path, "best")


def test_where_the_kernel_does_not_list_others_are_asked_for(path: Path, other: OtherProcess) -> None:
    other.call(take, "fcntl", str(path), 0, 0, True)
    assert in_fresh_process(unlisted, str(path)) == ["F_GETLK", [["POSIX", other.pid, [0, 0, True], False, ""]]]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("POSIX  ADVISORY  WRITE 7 {place} 0 7", [ObservedLock("POSIX", 7, Span(0, 8, True), False)]),
        ("-> POSIX  ADVISORY  READ 7 {place} 4 EOF", [ObservedLock("POSIX", 7, Span(4, 0, False), True)]),
        (f"POSIX  ADVISORY  WRITE 7 {{place}} 4 {END - 1}", [ObservedLock("POSIX", 7, Span(4, 0, True), False)]),
        ("FLOCK  ADVISORY  WRITE 7 {place} 0 EOF", [ObservedLock("FLOCK", 7, Span(0, 0, True), False)]),
        ("LEASE  ACTIVE    READ 7 {place} 0 EOF", []),
        ("DELEG  ACTIVE    READ 7 {place} 0 EOF", []),
        ("POSIX  ADVISORY  WRITE 7 {place}9 0 7", []),
        ("POSIX  ADVISORY  WRITE 7 1{place} 0 7", []),
        ("POSIX  ADVISORY  WRITE 7 {place} 0 7\n2: POSIX  ADVISORY  WRITE 7 {place} 0 7",
         [ObservedLock("POSIX", 7, Span(0, 8, True), False)]),
    ],
)  # fmt: skip
def test_of_the_list_only_locks_of_the_file_itself_are_observed_and_each_once(
    line: str, seen: list[ObservedLock], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, made = tmp_path / "file", tmp_path / "list"
    file.touch()
    made.write_text("1: " + line.format(place=f"08:01:{file.stat().st_ino}") + "\n")
    monkeypatch.setattr("lab.host.procfs.LOCKS", str(made))
    assert list(ListObserver("08:01", file).look()) == seen


def flock(path: Path) -> ListedLock:
    return ListedLock("FLOCK", "WRITE", 7, "08:01", path.stat().st_ino, 0, None, waits=False)


def test_a_file_is_called_as_it_is_when_the_list_has_been_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program renames its new file over the old one and locks it, in the middle of a look."""
    fresh = path.with_name("fresh")
    fresh.touch()

    def listed(_: str) -> list[ListedLock]:
        if fresh.exists():
            fresh.replace(path)
        return [flock(path)]

    observer = ListObserver("08:01", path)
    monkeypatch.setattr("lab.locking.observer.listed_locks", listed)
    assert [seen.file for seen in observer.look()] == [""]


def test_a_file_that_has_gone_keeps_its_name_only_for_as_long_as_its_lock_is_seen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its number may be that of any new file, elsewhere too."""
    beside = path.with_name("beside")
    beside.touch()
    shown = [flock(beside)]
    looks: Iterator[list[ListedLock]] = iter([shown, shown, shown, [], shown])
    monkeypatch.setattr("lab.locking.observer.listed_locks", lambda _: next(looks))
    observer, files = ListObserver("08:01", path), []
    for _ in range(5):
        files.append([seen.file for seen in observer.look()])
        beside.unlink(missing_ok=True)
    assert files == [["beside"], ["beside"], ["beside"], [], []]
