from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from lab.errors import CannotRunError, UsageError
from lab.regions import REGIONS, Region, companions, create, find_region, probe_region

SIZE = 3 * mmap.PAGESIZE


def test_every_region_goes_by_its_own_name_and_says_what_it_is() -> None:
    assert {name: region.name for name, region in REGIONS.items()} == {
        name: name for name in ("shared", "private", "stream", "reopened")
    }
    assert all(region.summary for region in REGIONS.values())


def test_an_unknown_region_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown region 'steam'; did you mean stream"):
        find_region("steam")


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_a_region_loads_what_is_in_the_file_and_stores_one_s_own(region: Region, tmp_path: Path) -> None:
    path = tmp_path / "file"
    create(path, b"\x05" * SIZE, sparse=False)
    with companions(path, region.beside):
        opened = region.open(path, SIZE)
        opened.store(5000, b"\x06\x07")
        assert opened.load(0, SIZE) == b"\x05" * 5000 + b"\x06\x07" + b"\x05" * (SIZE - 5002)
        opened.close()
    assert (path.read_bytes()[5000:5002] == b"\x06\x07") == (region.name != "private")


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_the_guard_is_open_on_what_all_openers_share_and_stays(region: Region, tmp_path: Path) -> None:
    path = tmp_path / "file"
    create(path, bytes(SIZE), sparse=False)
    with companions(path, region.beside):
        one, other = region.open(path, SIZE), region.open(path, SIZE)
        assert os.path.sameopenfile(one.guard, other.guard)
        assert os.path.samestat(os.fstat(one.descriptor), path.stat())
        one.close()
        other.close()


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_close_gives_back_every_descriptor(region: Region, tmp_path: Path) -> None:
    path = tmp_path / "file"
    create(path, bytes(SIZE), sparse=False)
    with companions(path, region.beside):
        before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names, the same each time
        region.open(path, SIZE).close()
        assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_the_probe_of_a_region_that_works_leaves_no_file(region: Region, tmp_path: Path) -> None:
    probe_region(region, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_probe_of_a_region_that_is_refused_tells_that_and_leaves_no_file(tmp_path: Path) -> None:
    neither = Region("neither", "neither shared nor private: EINVAL (mmap(2))", 0)
    with pytest.raises(CannotRunError, match=f"{tmp_path}: this filesystem refuses a neither mapping"):
        probe_region(neither, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_probe_of_a_missing_directory_names_it(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/missing: cannot make a file there"):
        probe_region(REGIONS["shared"], tmp_path / "missing")
