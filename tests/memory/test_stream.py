from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab.memory import OpenFile
from lab.memory.mapped import Streamed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"abcdefgh")
    return path


@pytest.fixture
def stream(path: Path) -> OpenFile:
    return Streamed("stream", "", 0).open(path, 8)


class Few:
    """A system call that gives or takes at most 3 bytes, as signals and full devices make it do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._call = getattr(os, name)
        self.calls: list[int] = []
        monkeypatch.setattr(os, name, self)

    def __call__(self, descriptor: int, what: int | bytes | memoryview, start: int) -> int | bytes:
        self.calls.append(start)
        few = min(what, 3) if isinstance(what, int) else what[:3]
        return self._call(descriptor, few, start)  # type: ignore[no-any-return]


def test_nothing_is_mapped(path: Path, stream: OpenFile) -> None:
    assert stream.buffer is None
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_a_load_and_a_store_are_one_call_each(stream: OpenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def told(name: str, call: Any) -> Any:
        def run(*given: Any) -> Any:
            calls.append(name)
            return call(*given)

        return run

    for name in ("pread", "pwrite"):
        monkeypatch.setattr(os, name, told(name, getattr(os, name)))
    assert stream.load(2, 4) == b"cdef"
    stream.store(2, b"CDEF")
    assert calls == ["pread", "pwrite"]


def test_a_load_goes_on_where_the_kernel_gave_less(stream: OpenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Few(monkeypatch, "pread")
    assert (stream.load(1, 7), few.calls) == (b"bcdefgh", [1, 4, 7])


def test_a_store_goes_on_where_the_kernel_took_less(
    path: Path, stream: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Few(monkeypatch, "pwrite")
    stream.store(1, b"1234567")
    assert (path.read_bytes(), few.calls) == (b"a1234567", [1, 4, 7])


def test_a_load_beyond_the_end_fails_and_says_where_the_file_ends(stream: OpenFile) -> None:
    with pytest.raises(OSError, match="the file ends at byte 8, in the middle of a load"):
        stream.load(4, 8)


def test_an_abandoned_stream_is_closed(stream: OpenFile) -> None:
    stream.abandon()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(stream.descriptor)
