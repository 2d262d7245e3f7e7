from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import OtherProcess


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file to lock."""
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    return path


@pytest.fixture
def here(path: Path) -> Iterator[int]:
    """A descriptor of that file in this process."""
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def other() -> Iterator[OtherProcess]:
    """A second process."""
    with OtherProcess() as process:
        yield process
