"""The glossary: its words are used, and every table header is one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lab.cli import check as check_command
from lab.report.format import Column
from lab.report.text import bench, check, compare, copying, explore, history, tour
from lab.report.text.race import table_of
from tests.helpers import ROOT
from tests.report.records import CLEAN, DEADLY, UNLOCKED, run_of

PAGE = (ROOT / "docs" / "glossary.md").read_text()
WORDS = [word for word in re.findall(r"^\| ([^|]+?) \|", PAGE, re.MULTILINE) if word not in ("word", "column")]


def titles(columns: Sequence[Column[Any]]) -> list[str]:
    """Return the headers that people see."""
    return [column.title for column in columns if column.title]


RACED = run_of(UNLOCKED, replace(CLEAN, backing="sysv", gave_up=1), CLEAN, DEADLY, replace(CLEAN, workers=4))
HEADERS = {
    *titles(table_of(RACED).columns), *titles(check.STRESS), *titles(bench.COLUMNS), *titles(compare.COLUMNS),
    *titles(explore.COLUMNS), *tour.HEAD, *check_command.COLUMNS, *copying.HEAD,
    *history.HEAD, history.PICTURE,
}  # fmt: skip


def used() -> str:
    """All text of lab/ and docs/, but for the glossary."""
    paths = [*(ROOT / "lab").rglob("*.py"), *(ROOT / "docs").glob("*.md"), *(ROOT / "lab").rglob("*.js")]
    text = "\n".join(path.read_text() for path in paths if path.name != "glossary.md")
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text).lower()  # WorkerPool is a worker pool


def test_every_table_header_is_explained() -> None:
    assert HEADERS - set(WORDS) == set()


def test_every_word_is_used_and_stands_once() -> None:
    text = used()
    unused = [word for word in WORDS if not re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", text)]
    assert unused == []
    assert [word for word in set(WORDS) if WORDS.count(word) > 1] == []
