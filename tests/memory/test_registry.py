from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import CannotRunError, UsageError
from lab.memory import MAPPED, REGIONS, FileRegion, Region, find_region, probe_region, region_name


def test_every_region_goes_by_its_own_name_and_says_what_it_is() -> None:
    names = ("mapped", "private", "stream", "reopened", "reopened_stream", "sysv", "posix", "anonymous")
    assert {name: region.name for name, region in REGIONS.items()} == {name: name for name in names}
    assert all(region.summary for region in REGIONS.values())


def test_an_unknown_region_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown region 'steam'; did you mean stream"):
        find_region("steam")


def test_the_name_that_mapped_once_had_still_finds_it_and_is_not_listed() -> None:
    assert find_region("shared") is MAPPED
    assert (region_name("shared"), region_name("sysv"), region_name("of another lab")) == (
        "mapped",
        "sysv",
        "of another lab",
    )
    assert "shared" not in REGIONS


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_the_probe_of_a_region_that_works_leaves_no_file(region: Region, tmp_path: Path) -> None:
    before = os.listdir("/dev/shm")  # noqa: PTH208, S108 - names
    probe_region(region, tmp_path)
    assert list(tmp_path.iterdir()) == []
    mine = f"lab-{os.getpid()}-"
    assert [name for name in os.listdir("/dev/shm") if name.startswith(mine)] == []  # noqa: PTH208, S108
    assert [name for name in before if name.startswith(mine)] == []


def test_the_probe_of_a_region_that_is_refused_tells_that_and_leaves_no_file(tmp_path: Path) -> None:
    neither = FileRegion("neither", "neither shared nor private: EINVAL (mmap(2))", 0)
    with pytest.raises(CannotRunError, match=f"{tmp_path}: this filesystem refuses the mapping of region neither"):
        probe_region(neither, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("region", REGIONS.values(), ids=list(REGIONS))
def test_the_probe_of_a_missing_directory_names_it(region: Region, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/missing: cannot make a file there"):
        probe_region(region, tmp_path / "missing")
