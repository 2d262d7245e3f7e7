"""The pages that tell how to add something: each names at most six files, which exist and have the place it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import ROOT

PAGES = sorted((ROOT / "docs" / "contributing").glob("*.md"))
ROW = re.compile(r"^\| `([^`]+)` \| `((?:\\\||[^`])+)` \| .+ \|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_an_errand_touches_at_most_six_files_each_at_a_place_that_is_there(page: Path) -> None:
    text = page.read_text()
    rows = ROW.findall(text)
    assert 1 < len(rows) <= 6
    assert len(rows) == sum(line.startswith("| `") for line in text.splitlines())
    for file, place in rows:
        assert place.replace("\\|", "|") in (ROOT / file).read_text(), (file, place)


def test_every_file_that_a_page_names_exists() -> None:
    names = {
        name for page in PAGES for name in re.findall(r"`((?:lab|tests|docs|scenarios)/[^`\s]+)`", page.read_text())
    }
    assert {name for name in names if not (ROOT / name).exists() and not re.search("NAME|COMMAND", name)} == set()
