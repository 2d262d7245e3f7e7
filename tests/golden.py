"""Golden files: what the tests expect of a long text lies in a file; `pytest --update-golden` writes it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Golden = Callable[[Path, str], None]
"""Hold a text against what a file has."""


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Return what compares a text with a golden file, or writes the file where `--update-golden` is given."""
    update = request.config.getoption("--update-golden")

    def check(path: Path, text: str) -> None:
        if update:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.read_text() == text, f"{path.name} differs; see the change, then pytest --update-golden"

    return check


def sections(texts: Mapping[str, str]) -> str:
    """Return one text of many, each below its title."""
    return "".join(f"== {title}\n{text}\n" if text else f"== {title}\n" for title, text in texts.items())
