"""The mapping calls: what they return, raise, and leave behind."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.memory import calls
from lab.memory.calls import MAP_PRIVATE, MAP_SHARED, PAGE, PROT_NONE, PROT_READ, PROT_WRITE

BOTH = PROT_READ | PROT_WRITE


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    """A file of two pages, open for reading and writing."""
    path = tmp_path / "file"
    path.write_bytes(b"a" * PAGE + b"b" * PAGE)
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(OSError, match=r".") as raised:
        call()
    assert raised.value.strerror == os.strerror(raised.value.errno or 0)
    return errno.errorcode[raised.value.errno or 0]


def test_a_mapping_loads_and_stores_the_bytes_of_the_file(file: int) -> None:
    address = calls.mmap(2 * PAGE, BOTH, MAP_SHARED, file)
    assert calls.load(address + PAGE - 1, 2) == b"ab"
    calls.store(address + 1, b"xy")
    calls.msync(address, 2 * PAGE)
    assert os.pread(file, 4, 0) == b"axya"
    calls.munmap(address, 2 * PAGE)


def test_an_offset_of_a_page_maps_from_there(file: int) -> None:
    address = calls.mmap(PAGE, PROT_READ, MAP_SHARED, file, PAGE)
    assert calls.load(address) == b"b"
    calls.munmap(address, PAGE)


def test_a_private_mapping_keeps_its_stores_from_the_file(file: int) -> None:
    address = calls.mmap(PAGE, BOTH, MAP_PRIVATE, file)
    calls.store(address, b"x")
    assert (calls.load(address), os.pread(file, 1, 0)) == (b"x", b"a")
    calls.munmap(address, PAGE)


def test_a_mapping_keeps_no_descriptor_of_its_own(file: int) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    address = calls.mmap(PAGE, PROT_READ, MAP_SHARED, file)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
    calls.munmap(address, PAGE)


def test_a_protection_can_be_changed(file: int) -> None:
    address = calls.mmap(PAGE, PROT_NONE, MAP_SHARED, file)
    calls.mprotect(address, PAGE, PROT_READ)
    assert calls.load(address) == b"a"
    calls.munmap(address, PAGE)


def test_what_the_kernel_refuses_is_raised_with_its_errno(file: int) -> None:
    address = calls.mmap(PAGE, PROT_READ, MAP_SHARED, file)
    assert refused(lambda: calls.mmap(0, PROT_READ, MAP_SHARED, file)) == "EINVAL"
    assert refused(lambda: calls.mmap(PAGE, PROT_READ, MAP_SHARED, file, 1)) == "EINVAL"
    assert refused(lambda: calls.mmap(PAGE, PROT_READ, MAP_SHARED, -1)) == "EBADF"
    assert refused(lambda: calls.munmap(address + 1, PAGE)) == "EINVAL"
    assert refused(lambda: calls.msync(address + 1, PAGE)) == "EINVAL"
    assert refused(lambda: calls.mprotect(address + 1, PAGE, PROT_READ)) == "EINVAL"
    calls.munmap(address, PAGE)
    assert refused(lambda: calls.msync(address, PAGE)) == "ENOMEM"


def test_a_failure_returns_minus_one_and_not_null(file: int) -> None:
    address, code = calls.raw_mmap(0, PROT_READ, MAP_SHARED, file)
    assert address == calls.MAP_FAILED == 2 ** (8 * ctypes.sizeof(ctypes.c_void_p)) - 1
    assert code == errno.EINVAL


def test_offsets_beyond_4_gib_reach_the_kernel_whole(tmp_path: Path) -> None:
    far = 1 << 33
    path = tmp_path / "sparse"
    with path.open("wb") as made:
        made.seek(far)
        made.write(b"z")
    descriptor = os.open(path, os.O_RDONLY)
    address = calls.mmap(1, PROT_READ, MAP_SHARED, descriptor, far)
    assert calls.load(address) == b"z"
    calls.munmap(address, 1)
    os.close(descriptor)


def test_python_s_own_mapping_of_a_file_cannot_be_written(file: int) -> None:
    with calls.map_read_only(file) as mapping, pytest.raises(TypeError):
        mapping[0] = 120
