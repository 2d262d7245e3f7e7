from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.locking.kernel import call_range, call_whole, conflict
from tests.helpers import OtherProcess

READ, WRITE, UNLOCK = 0, 1, 2


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def holds(path: str, command: str, start: int, length: int) -> int:
    """Lock a range in this process and keep it; its pid."""
    call_range(os.open(path, os.O_RDWR), command, WRITE, start, length, os.SEEK_SET, 0)
    return os.getpid()


@pytest.mark.parametrize(("command", "asks"), [("F_SETLK", "F_GETLK"), ("F_OFD_SETLK", "F_OFD_GETLK")])
def test_a_conflict_is_reported_with_its_range_and_its_process(
    command: str, asks: str, here: int, tmp_path: Path
) -> None:
    with OtherProcess() as other:
        pid = other.call(holds, str(tmp_path / "file"), command, 10, 20)
        found = conflict(call_range(here, asks, READ, 0, 0, os.SEEK_SET, 0))
    assert found == (WRITE, 10, 20, pid if command == "F_SETLK" else -1)


def test_a_free_range_has_no_conflict(here: int) -> None:
    assert conflict(call_range(here, "F_GETLK", WRITE, 0, 0, os.SEEK_SET, 0)) is None


@pytest.mark.parametrize(("kind", "whence"), [(7, os.SEEK_SET), (WRITE, 9)])
def test_what_is_no_type_or_whence_reaches_the_kernel_and_is_refused(kind: int, whence: int, here: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        call_range(here, "F_SETLK", kind, 0, 1, whence, 0)


def test_flock_excludes_an_own_open_file_until_it_is_unlocked(here: int, tmp_path: Path) -> None:
    second = os.open(tmp_path / "file", os.O_RDWR)
    call_whole(here, WRITE, wait=True)
    with pytest.raises(OSError, match="unavailable") as refused:
        call_whole(second, WRITE, wait=False)
    assert refused.value.errno == errno.EAGAIN
    call_whole(here, UNLOCK, wait=False)
    call_whole(second, WRITE, wait=False)
    os.close(second)


def test_what_is_no_operation_of_flock_is_refused_by_the_kernel(here: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        call_whole(here, 7, wait=False)
