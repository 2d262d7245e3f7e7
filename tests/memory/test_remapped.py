from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from lab.memory import FileBacking, Mapping, OpenFile
from lab.memory.mapped import Remapped, Reopening
from tests.memory.descriptors import descriptors_of

SIZE = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE))
    path.with_name("file.lock").touch()
    return path


@pytest.fixture
def opened(path: Path) -> OpenFile:
    return Remapped("remapped", "", mmap.MAP_SHARED).open(path, SIZE)


class Told(mmap.mmap):
    """A mapping that tells what is done to it."""

    events: list[str]

    def flush(self, *rest: int) -> None:
        self.events.append("msync")
        super().flush(*rest)

    def close(self) -> None:
        self.events.append("munmap")
        super().close()


class Telling(FileBacking):
    """A backing that tells what it maps."""

    def map(self, path: Path | str, size: int) -> Mapping:
        events.append("map")
        descriptor = os.open(path, os.O_RDWR)
        mapping = Told(descriptor, size)
        mapping.events = events
        return Mapping(descriptor, mapping)


events: list[str] = []


class lock:  # noqa: N801 - used as a function
    """A lock that tells when it is held."""

    def __enter__(self) -> None:
        events.append("lock")

    def __exit__(self, *error: object) -> None:
        events.append("unlock")


@pytest.fixture
def telling(path: Path) -> Reopening:
    """Opened by a backing that tells, from here on, what is done."""
    backing = Telling("telling", "", mmap.MAP_SHARED)
    opened = Reopening(path, lambda: backing.map(path, SIZE))
    opened.write_back()
    events.clear()
    return opened


def test_the_file_is_mapped_after_the_grant_and_written_back_before_the_unlock(telling: Reopening) -> None:
    with telling.around(lock()):
        telling.store(0, b"\1")
    assert events == ["lock", "map", "msync", "munmap", "unlock"]


def test_each_of_two_locks_held_together_opens_anew_and_writes_back(telling: Reopening) -> None:
    with telling.around(lock()), telling.around(lock()):
        telling.store(0, b"\1")
    once = ["map", "msync", "munmap"]
    assert events == ["lock", *once[:1], "lock", *once[1:], *once, "unlock", "unlock"]


def test_between_two_unlocks_the_outer_range_can_still_be_reached(telling: Reopening, path: Path) -> None:
    with telling.around(lock()):
        with telling.around(lock()):
            pass
        telling.store(0, b"\7")
    assert path.read_bytes()[0] == 7
    assert events[-4:] == ["map", "msync", "munmap", "unlock"]


def test_outside_of_locks_a_mapping_is_made_once_and_kept(telling: Reopening) -> None:
    telling.store(0, b"\1")
    assert (telling.load(0, 2), events) == (b"\1\0", ["map"])


def test_a_hold_sees_the_file_that_has_the_name_now(opened: OpenFile, path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"\5" * SIZE)
    other.replace(path)
    assert opened.load(0, 1) == b"\0"
    with opened.around(lock()):
        assert opened.load(0, 1) == b"\5"


def test_after_a_hold_nothing_is_open_but_the_guard(opened: OpenFile, path: Path) -> None:
    guard = opened.guard
    with opened.around(lock()):
        assert len(descriptors_of(path)) == 2  # a mapping has one of its own
    assert (descriptors_of(path), len(descriptors_of(path.with_name("file.lock")))) == ([], 1)
    assert opened.guard == guard


def test_a_file_that_is_gone_fails_the_hold_and_gives_the_lock_back(telling: Reopening, path: Path) -> None:
    path.unlink()
    with pytest.raises(FileNotFoundError), telling.around(lock()):
        events.append("inside")
    assert events == ["lock", "map", "unlock"]


def test_the_lock_is_given_back_where_writing_back_fails(telling: Reopening, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*rest: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Told, "flush", fail)
    with pytest.raises(OSError, match="Input/output error"), telling.around(lock()):
        pass
    assert events == ["lock", "map", "munmap", "unlock"]


def test_a_file_without_its_lock_beside_it_cannot_be_opened_and_nothing_stays_open(path: Path) -> None:
    path.with_name("file.lock").unlink()
    with pytest.raises(FileNotFoundError, match=r"file\.lock"):
        Remapped("remapped", "", mmap.MAP_SHARED).open(path, SIZE)
    assert descriptors_of(path) == []


def test_a_mapping_that_is_refused_leaves_the_guard_closed(tmp_path: Path) -> None:
    (tmp_path / "file.lock").touch()
    with pytest.raises(FileNotFoundError):
        Remapped("remapped", "", mmap.MAP_SHARED).open(tmp_path / "file", SIZE)
    assert descriptors_of(tmp_path / "file.lock") == []
