from __future__ import annotations

import mmap
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.memory import companions, create, read_back
from tests.memory.descriptors import SIZE, descriptors_of
from tests.needs import need


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem with room for 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    need("mounts")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "lab-test", place], check=True)  # noqa: S607
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607


@pytest.mark.parametrize("sparse", [False, True])
def test_create_writes_the_content(sparse: bool, tmp_path: Path) -> None:
    content = bytearray(SIZE + 10)
    content[0], content[5000], content[-1] = 1, 2, 3
    create(tmp_path / "file", content, sparse=sparse)
    assert (tmp_path / "file").read_bytes() == content


def test_create_reserves_the_blocks_of_zeros(path: Path) -> None:
    assert path.stat().st_blocks * 512 >= SIZE


def test_a_sparse_file_has_blocks_only_where_it_has_content(tmp_path: Path) -> None:
    content = bytearray(1024 * mmap.PAGESIZE)
    create(tmp_path / "empty", content, sparse=True)
    assert (tmp_path / "empty").stat().st_blocks == 0
    content[len(content) // 2] = 1
    create(tmp_path / "one", content, sparse=True)
    assert 0 < (tmp_path / "one").stat().st_blocks * 512 < len(content) // 2


def test_create_is_for_the_owner_only_and_leaves_no_descriptor(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert descriptors_of(path) == []


def test_create_does_not_touch_a_file_that_is_there(path: Path) -> None:
    with pytest.raises(CannotRunError, match="File exists"):
        create(path, b"x" * SIZE, sparse=False)
    assert path.read_bytes() == bytes(SIZE)


def test_create_in_a_missing_directory_advises_another(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/missing: .*12,288 bytes .No such file.*try another --dir"):
        create(tmp_path / "missing" / "file", bytes(12_288), sparse=False)


def test_a_full_filesystem_is_found_out_before_the_mapping_and_advises_less(small: Path) -> None:
    with pytest.raises(
        CannotRunError, match=r"131,072 bytes \(No space left on device\); free some, or ask for less"
    ) as raised:
        create(small / "file", bytes(131_072), sparse=False)
    assert raised.value.exit_code == 3


def test_a_sparse_file_fits_where_its_blocks_do_not(small: Path) -> None:
    create(small / "file", bytes(131_072), sparse=True)
    assert (small / "file").stat().st_size == 131_072


@pytest.mark.parametrize("there", [b"\xff" * 10, b"\xff" * 20, b"\xff" * 30])
def test_read_back_gives_what_was_asked_for_with_zeros_where_the_file_became_shorter(path: Path, there: bytes) -> None:
    path.write_bytes(there)
    assert read_back(path, 20) == there[:20] + bytes(20 - len(there[:20]))


def test_a_file_that_is_gone_cannot_be_read_back(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/gone: cannot be read back after the race .No such file"):
        read_back(tmp_path / "gone", 20)


def test_companions_are_empty_files_beside_it_and_gone_after(path: Path) -> None:
    with companions(path, [".lock", ".more"]):
        beside = {each.name: each.stat().st_size for each in path.parent.iterdir() if each != path}
        assert beside == {"file.lock": 0, "file.more": 0}
    assert list(path.parent.iterdir()) == [path]


def test_companions_are_gone_after_an_error_and_where_somebody_removed_them(path: Path) -> None:
    beside = companions(path, [".lock", ".more"])
    beside.__enter__()
    path.with_name("file.lock").unlink()
    assert not beside.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert list(path.parent.iterdir()) == [path]
