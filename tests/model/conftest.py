from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.model.kernel import Kernel
from tests.helpers import OtherProcess
from tests.model.requests import FD, FILE


@pytest.fixture(scope="package")
def others() -> Iterator[list[OtherProcess]]:
    """Three processes; each test has a file of its own, so what one left open is in no other's way."""
    with ExitStack() as stack:
        yield [stack.enter_context(OtherProcess()) for _ in range(3)]


@pytest.fixture
def kernel() -> Kernel:
    """Three processes, each with the file open as its first descriptor."""
    kernel = Kernel()
    for process in (1, 2, 3):
        kernel.start(process)
        assert kernel.open(process, FILE) == FD
    return kernel
