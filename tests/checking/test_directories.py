from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from lab.checking import mounts
from lab.checking.mounts import clear, enter, fresh_name
from lab.errors import LabError
from lab.host.environment import mounts_of
from lab.memory import Folder
from tests.checking.mounts import FILESYSTEMS
from tests.helpers import in_fresh_process


@contextmanager
def mounted(name: str) -> Iterator[list[Path]]:
    """The directories of a filesystem; skips where it cannot be had."""
    with ExitStack() as stack:
        found = stack.enter_context(FILESYSTEMS[name]())
        yield list(found)


def entered(given: Sequence[str]) -> tuple[list[str], list[str], list[list[str]]]:
    """Make the folder and remove it again: its names, what they hold meanwhile, and what is left in each directory."""
    identities = memoryview(bytearray(16 * len(given))).cast("Q")
    with enter([Path(each) for each in given], fresh_name(), identities) as folders:
        (folders[0] / "mine").touch()
        held = [str((folder / "mine").exists()) for folder in folders]
    assert clear(folders[-1], *identities[-2:]) == ""
    return list(map(str, folders)), held, [sorted(entry.name for entry in Path(each).iterdir()) for each in given]


def refused(given: Sequence[str], user: int = 0) -> tuple[int, str]:
    """The exit code and the text of the error for these directories."""
    if user:
        os.seteuid(user)
    name, identities = fresh_name(), memoryview(bytearray(16 * len(given))).cast("Q")
    try:
        with enter([Path(each) for each in given], name, identities):
            pass
    except LabError as error:
        assert not identities[0] or clear(Path(given[0]) / name, *identities[:2]) == ""
        return error.exit_code, str(error)
    return 0, ""


def error_of(*given: Path | str) -> tuple[int, str]:
    code, text = in_fresh_process(refused, [str(each) for each in given])
    return code, text


def test_a_fresh_folder_is_made_and_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("kept")
    (folder,), held, left = in_fresh_process(entered, [str(tmp_path)])
    assert Path(folder).parent == tmp_path
    assert held == ["True"]
    assert left == [["theirs"]]
    assert (tmp_path / "theirs").read_text() == "kept"


def test_the_folder_is_seen_through_every_mount_of_the_directory() -> None:
    with mounted("bind_pair") as pair:
        folders, held, left = in_fresh_process(entered, [str(each) for each in pair])
    assert [Path(folder).parent for folder in folders] == pair
    assert held == ["True", "True"]
    assert left == [[], []]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["missing"], "{0}: does not exist; give a directory on the filesystem in question"),
        (["file"], "{0}: is not a directory; give one on the filesystem in question"),
        (["one", "one/."], "{0} and {0}: are the same mount; give only one, or the same directory by another mount"),
        (
            ["one", "other"],
            "{0} and {1}: are not the same directory; give only one, or one and the same through two mounts",
        ),
    ],
    ids=["missing", "a file", "twice the same", "two of one mount"],
)
def test_what_is_no_directory_and_no_other_mount_is_told_and_not_touched(
    given: list[str], told: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("theirs")
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    code, text = error_of(*(f"{tmp_path}/{name}" for name in given))
    assert (code, text) == (2, told.format(*(tmp_path / name for name in given)))
    assert (tmp_path / "file").read_text() == "theirs"
    assert [list((tmp_path / name).iterdir()) for name in ("one", "other")] == [[], []]


@pytest.mark.needs("root")
@pytest.mark.parametrize("mode", [0o755, 0o711, 0o700])
def test_a_directory_that_one_may_not_use_is_told(mode: int, tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent.name.startswith(("pytest", "popen", "test")):
            parent.chmod(0o755)
    tmp_path.chmod(mode)
    code, text = in_fresh_process(refused, [str(tmp_path)], 65534)
    assert (code, text) == (
        2, f"{tmp_path}: no permission (Permission denied); give a directory that you may write"
    )  # fmt: skip


def test_two_filesystems_are_found_out_by_a_file_of_one_that_the_other_does_not_have(tmp_path: Path) -> None:
    with mounted("tmpfs") as [point]:
        code, text = error_of(tmp_path, point)
        assert list(point.iterdir()) == list(tmp_path.iterdir()) == []
    assert code == 3
    assert text == (
        f"{tmp_path} and {point}: do not show the same filesystem; a file written through the first and read through "
        "the second: No such file or directory; give one directory, seen through two mounts"
    )


def test_a_directory_that_is_full_is_told() -> None:
    with mounted("full") as [point]:
        with suppress(OSError), (point / "theirs").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        before = sorted(point.iterdir())
        code, text = error_of(point)
        assert sorted(point.iterdir()) == before
    assert (code, text) == (
        3, f"{point}: is full (No space left on device); make room, or give another directory"
    )  # fmt: skip


def test_a_directory_that_cannot_be_written_is_told() -> None:
    with mounted("read_only") as [point]:
        code, text = error_of(point)
    assert (code, text) == (3, f"{point}: cannot be written (Read-only file system); give another directory")


def test_what_cannot_be_removed_is_told_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "SHOWN_S", 0.0)
    made = Folder.make(tmp_path / "made")
    (tmp_path / "made").rename(tmp_path / "moved")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "kept").touch()
    (tmp_path / "made").symlink_to(tmp_path / "theirs")
    assert "a symbolic link is in its place" in clear(*made)
    assert (tmp_path / "theirs" / "kept").exists()


def test_a_folder_whose_numbers_are_not_known_is_removed_if_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "SHOWN_S", 0.0)
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "theirs").touch()
    assert [clear(tmp_path / name, 1, 0) for name in ("missing", "empty", "full")] == ["", "", "Directory not empty"]
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_mount_is_told_with_its_type_and_options() -> None:
    with mounted("tmpfs") as [point]:
        (mount,) = mounts_of([point])
    assert (mount.directory, mount.filesystem) == (str(point), "tmpfs")
    assert mount.mount_options.split(",")[0] == "rw"


def test_the_mount_of_a_directory_below_another_mount_is_its_own(tmp_path: Path) -> None:
    with mounted("tmpfs") as [point]:
        (point / "below").mkdir()
        kinds = [mount.filesystem for mount in mounts_of([point / "below", tmp_path, Path("/proc")])]
    assert kinds[0] == "tmpfs"
    assert kinds[2] == "proc"
    assert kinds[1] not in ("unknown", "proc")


def refused_unlisted(given: Sequence[str]) -> tuple[int, str]:
    """`refused` where a directory lists nothing: readdir(3) skips entries without an inode number (d_ino 0)."""
    os.listdir = lambda *_: []
    os.scandir = lambda *_: nullcontext(iter(()))  # type: ignore[assignment]
    return refused(given)


def test_a_directory_that_lists_nothing_of_what_it_holds_is_checked_all_the_same(tmp_path: Path) -> None:
    assert in_fresh_process(refused_unlisted, [str(tmp_path)]) == [0, ""]
    assert [list(folder.iterdir()) for folder in tmp_path.iterdir()] == [[]], "that of `enter`, which its caller clears"
