"""docs/programs.md, typed from its first block to its last."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.racing.programs.launch import PLACEHOLDERS
from tests.helpers import ROOT
from tests.pages import run_page

PAGE = ROOT / "docs" / "programs.md"


@pytest.mark.needs("compiler")
def test_all_that_the_page_of_programs_shows_is_so(tmp_path: Path) -> None:
    run_page(PAGE, tmp_path)


def test_each_placeholder_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert [name for name in PLACEHOLDERS if f"`{{{name}}}`" not in text] == []
