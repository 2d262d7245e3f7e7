from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import OtherProcess
from tests.locking.holder import CALLS, let_go, needs, use_python_calls


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


@pytest.fixture(scope="module", params=CALLS)
def kept(request: pytest.FixtureRequest) -> Iterator[OtherProcess]:
    """A second process, whose locks are called in either of the two ways."""
    needs(request.param)
    with OtherProcess() as process:
        if request.param == "python":
            process.call(use_python_calls)
        yield process


@pytest.fixture
def other(kept: OtherProcess) -> Iterator[OtherProcess]:
    """That process, which holds nothing yet."""
    yield kept
    kept.call(let_go)
