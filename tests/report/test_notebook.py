"""What a notebook shows of a document, and what pandas reads of it."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree as Xml

import pytest

from lab.api.protocol import Answer
from lab.api.results import RaceResult, Repetition
from lab.errors import CannotRunError
from lab.exploring.case import Case
from lab.exploring.run import explore
from lab.records import Accesses, Holds, Recording
from lab.report.notebook import html_of
from lab.scenario import find_scenarios
from tests.api.exploring import OPTIONS, exploration_of
from tests.report.records import CLEAN, DAMAGED, run_of

HOLDS = Holds([0, 1], [0, 5], [1, 20], [15, -1], [0, 0], [8, 8], [1, 1])
RECORDED = Recording(1, [1, 1], 1, 30, 8, [], [], HOLDS, Accesses())


def parsed(html: str) -> Xml.Element:
    """Its elements, which are well-formed."""
    return Xml.fromstring(f"<page>{html}</page>")  # noqa: S314 - our own


def test_a_race_is_a_table_with_a_timeline_where_it_was_recorded() -> None:
    html = html_of(run_of(replace(DAMAGED, scenario="<b>&amp;", recording=RECORDED)))
    page = parsed(html)
    assert "<b>&amp;" in [cell.text for cell in page.iter("td")]
    assert len(list(page.iter("rect"))) == 4
    assert [text.text for text in page.iter("text")] == ["worker 0", "worker 1"]
    assert not re.search("<script|https?:|on\\w+=", html)


def test_an_exploration_shows_the_interleaving() -> None:
    broken = explore(Case(find_scenarios(["counter"])[0], "none", 2, 2), OPTIONS)
    page = parsed(html_of(exploration_of(broken)))
    assert any("switch >" in str(text.text) for text in page.iter("pre"))


def result() -> RaceResult:
    runs = run_of(CLEAN, DAMAGED)
    return RaceResult(Answer(["", ""], runs), Repetition("", None), unable=pytest.fail, explain=lambda run: run)


def test_a_data_frame_has_a_row_for_each_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(read_csv=lambda text: list(csv.DictReader(text))))
    assert [(row["scenario"], row["lock"]) for row in result().to_pandas()] == [("counter", "fcntl")] * 2
    assert result().to_dict()["cases"][1]["damaged"] == 3


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CannotRunError, match="pip install pandas"):
        result().to_pandas()
