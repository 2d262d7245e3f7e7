from __future__ import annotations

from pathlib import Path

import pytest

from lab.memory import create
from tests.memory.descriptors import SIZE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of zeros, its blocks reserved."""
    path = tmp_path / "file"
    create(path, bytes(SIZE), sparse=False)
    return path
