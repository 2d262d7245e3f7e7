"""Which failures are told by the line of the test alone: `__tracebackhide__` of the modules that raise them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    import pytest


def told_by_the_test(raised: pytest.ExceptionInfo[BaseException] | None) -> bool:
    """True for what a test claims, or asked wrongly; any other exception is a fault of the plugin, and shows where."""
    import pytest

    return raised is not None and raised.errisinstance((AssertionError, LabError, pytest.skip.Exception))
