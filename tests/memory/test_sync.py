"""A worker of a race syncs in every backing: what has a file is written to the disk, what has none needs nothing."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from lab.memory import BACKINGS, find_backing

SIZE = 3 * mmap.PAGESIZE


@pytest.mark.parametrize("name", BACKINGS)
@pytest.mark.parametrize(("start", "length"), [(0, 0), (mmap.PAGESIZE + 8, 8), (SIZE - 8, 8)])
def test_any_bytes_can_be_synced(name: str, start: int, length: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with find_backing(name).share(path, bytes(SIZE)) as shared:
        file = shared.open(path)
        file.store(start, b"12345678")
        file.sync(start, length)
        assert file.load(start, 8) == b"12345678"
        file.close()


@pytest.mark.parametrize(("name", "calls"), [("mapped", ["msync"]), ("stream", ["fdatasync"]), ("sysv", [])])
def test_a_sync_is_the_call_that_the_way_to_the_bytes_needs(
    name: str, calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    path = tmp_path / "file"
    with find_backing(name).share(path, bytes(SIZE)) as shared:
        file = shared.open(path)
        monkeypatch.setattr(os, "fdatasync", lambda _: made.append("fdatasync"))
        if isinstance(file.buffer, mmap.mmap) and name == "mapped":
            flushed: list[tuple[int, int]] = []

            class Buffer:
                def __len__(self) -> int:
                    return SIZE

                def flush(self, start: int, length: int) -> None:
                    made.append("msync")
                    flushed.append((start, length))

            file._replace(buffer=Buffer()).sync(mmap.PAGESIZE + 8, 8)  # type: ignore[attr-defined]
            assert flushed == [(mmap.PAGESIZE, 16)]
        else:
            file.sync(8, 8)
        assert made == calls
        file.close()
