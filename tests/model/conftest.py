from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.helpers import OtherProcess


@pytest.fixture(scope="package")
def others() -> Iterator[list[OtherProcess]]:
    """Three processes; each test has a file of its own, so what one left open is in no other's way."""
    with ExitStack() as stack:
        yield [stack.enter_context(OtherProcess()) for _ in range(3)]
