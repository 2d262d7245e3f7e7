from __future__ import annotations

import errno
import os
import resource
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lab.errors import CannotRunError, LabError, UsageError
from lab.memory import scratch, workspace, workspaces
from tests.helpers import in_fresh_process


def refuse(*args: object, **kwargs: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_workspace_is_a_new_directory_for_its_owner_only(tmp_path: Path) -> None:
    with workspace(tmp_path) as made, workspace(tmp_path) as other:
        assert made != other
        assert (made.parent, stat.S_IMODE(made.stat().st_mode), list(made.iterdir())) == (tmp_path, 0o700, [])


def test_a_workspace_goes_with_all_that_is_in_it_and_leaves_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "lab-of-somebody").write_text("theirs")
    with workspace(tmp_path) as made:
        (made / "file").touch()
        (made / "link").symlink_to(tmp_path / "lab-of-somebody")
    assert [path.name for path in tmp_path.iterdir()] == ["lab-of-somebody"]
    assert (tmp_path / "lab-of-somebody").read_text() == "theirs"


def workspace_without_descriptors(parent: str) -> list[str]:
    """What is left of a workspace at whose end the process has no descriptor to spare."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with workspace(Path(parent)) as made:
        (made / "file").touch()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        with suppress(OSError):
            taken = [os.open(os.devnull, os.O_RDONLY)]
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return os.listdir(parent)  # noqa: PTH208


def test_a_workspace_goes_where_no_descriptor_is_left(tmp_path: Path) -> None:
    assert in_fresh_process(workspace_without_descriptors, str(tmp_path)) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_workspace_goes_on_an_error_too(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), workspace(tmp_path):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_that_somebody_removed_is_no_error(tmp_path: Path) -> None:
    with workspace(tmp_path) as made:
        made.rmdir()


@pytest.mark.parametrize(
    ("name", "said", "error"),
    [("missing", "does not exist", UsageError), ("file", "is not a directory", UsageError)],
)
def test_a_parent_that_is_no_directory_is_told(name: str, said: str, error: type[LabError], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(error, match=f"--dir {tmp_path / name}: {said}"), workspace(tmp_path / name):
        pass


def test_a_parent_that_may_not_be_looked_at_is_told_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "stat", refuse)
    with (
        pytest.raises(CannotRunError, match=f"--dir {tmp_path}: cannot be reached .Permission denied.; give another"),
        workspace(tmp_path),
    ):
        pass


def test_a_parent_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(CannotRunError, match=f"--dir {tmp_path}: cannot be written .Read-only"), workspace(tmp_path):
        pass


@pytest.mark.parametrize("error", [None, ValueError("on the way")])
def test_a_scratch_file_is_new_and_empty_has_no_descriptor_and_goes_also_after_an_error(
    error: Exception | None, tmp_path: Path
) -> None:
    with suppress(ValueError), scratch(tmp_path) as path:
        assert (path.parent, path.read_bytes()) == (tmp_path, b"")
        links = [link for link in Path("/proc/self/fd").iterdir() if os.path.lexists(link)]
        assert path not in [link.readlink() for link in links]
        if error:
            raise error
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_file_that_cannot_be_raises_what_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), scratch(tmp_path / "missing"):
        pass


def test_two_filesystems_are_told_by_a_file_of_one_that_the_other_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["lab.memory.workspace"], "SHOWN_S", 0.0)
    told = f"--dir {tmp_path} and /proc: do not show the same filesystem; .* No such file or directory; give one"
    with pytest.raises(CannotRunError, match=told), workspaces([tmp_path, Path("/proc")]):
        pass
    assert list(tmp_path.iterdir()) == []
