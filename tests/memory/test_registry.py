from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import CannotRunError, UsageError
from lab.memory import BACKINGS, Backing, FileBacking, find_backing, probe_backing


def test_every_backing_goes_by_its_own_name_and_says_what_it_is() -> None:
    names = ("mapped", "private", "stream", "remapped", "remapped_stream", "sysv", "posix", "anonymous")
    assert {name: backing.name for name, backing in BACKINGS.items()} == {name: name for name in names}
    assert all(backing.summary for backing in BACKINGS.values())


@pytest.mark.parametrize(("name", "nearest"), [("steam", "stream"), ("shared", "")])
def test_an_unknown_backing_names_the_nearest_and_so_does_a_name_of_a_former_version(name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"unknown backing {name!r}; .*{nearest}"):
        find_backing(name)


@pytest.mark.parametrize("backing", BACKINGS.values(), ids=list(BACKINGS))
def test_the_probe_of_a_backing_that_works_leaves_no_file(backing: Backing, tmp_path: Path) -> None:
    before = os.listdir("/dev/shm")  # noqa: PTH208, S108 - names
    probe_backing(backing, tmp_path)
    assert list(tmp_path.iterdir()) == []
    mine = f"lab-{os.getpid()}-"
    assert [name for name in os.listdir("/dev/shm") if name.startswith(mine)] == []  # noqa: PTH208, S108
    assert [name for name in before if name.startswith(mine)] == []


def test_the_probe_of_a_backing_that_is_refused_tells_that_and_leaves_no_file(tmp_path: Path) -> None:
    neither = FileBacking("neither", "neither shared nor private: EINVAL (mmap(2))", 0)
    with pytest.raises(CannotRunError, match=f"{tmp_path}: this filesystem refuses the mapping of backing neither"):
        probe_backing(neither, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backing", BACKINGS.values(), ids=list(BACKINGS))
def test_the_probe_of_a_missing_directory_names_it(backing: Backing, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/missing: cannot make a file there"):
        probe_backing(backing, tmp_path / "missing")
