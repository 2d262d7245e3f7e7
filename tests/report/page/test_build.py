from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from lab.report.page.build import NAMES, page_of

DATA = re.compile(r'<script type="application/json" id="data-(\w+)">(.*?)</script>')
TEMPLATE = files("lab.report.page") / "template"


def data_in(page: str) -> dict[str, object]:
    """The parts as a browser would read them."""
    return {name: json.loads(text) for name, text in DATA.findall(page)}


def test_parts_are_data_of_their_sections_and_those_that_are_missing_null() -> None:
    assert data_in(page_of({"stories": b'[{"a": 1}]'})) == {**dict.fromkeys(NAMES), "stories": [{"a": 1}]}


@pytest.mark.parametrize(
    "text",
    ["</script><script>alert(1)</script>", "<!--<script>", "]]>", "&lt;", "a\u2028b\u2029c", "$title ${style} $$"],
)
def test_a_text_comes_back_as_it_was_and_ends_nothing(text: str) -> None:
    page = page_of({"plays": json.dumps({text: text}, ensure_ascii=False).encode()})
    assert data_in(page)["plays"] == {text: text}
    (raw,) = [raw for name, raw in DATA.findall(page) if name == "plays"]
    assert not re.search("[<>&\u2028\u2029]", raw)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/USER/top-secret/x.py:3", "x.py:3"),
        ("reads (~/top-secret/x.py), and '/x.py'", "reads (x.py), and 'x.py'"),
        ("1/2 of https://example.org/top/x.html and <b></b>", "1/2 of https://example.org/top/x.html and <b></b>"),
    ],
)
def test_of_an_absolute_path_in_a_game_its_last_name_is_told(text: str, told: str) -> None:
    game = {"summary": text, "endings": [[{"evidence": [text]}]], "states": [[1, 2]]}
    page = page_of({"plays": json.dumps({"plays": [game], "left_out": []}).encode()})
    assert data_in(page)["plays"] == {
        "plays": [{"summary": told, "endings": [[{"evidence": [told]}]], "states": [[1, 2]]}],
        "left_out": [],
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('open("/home/USER/top-secret/x.bin")  # as /srv/top-secret/x.py has it', 'open("x.bin")  # as x.py has it'),
        ("half = total //2 + (total)/a/b", "half = total //2 + (total)/a/b"),
    ],
)
def test_the_source_of_a_game_keeps_its_divisions_and_loses_its_folders(line: str, told: str) -> None:
    page = page_of({"plays": json.dumps([{"source": line}]).encode()})
    assert data_in(page)["plays"] == [{"source": told}]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert data_in(page_of({"run": b'["\xff"]'}))["run"] == ["\ufffd"]


def test_all_of_the_template_is_in_the_page_what_is_shared_first_and_the_sections_last() -> None:
    page = page_of({})
    names = [each.name for each in TEMPLATE.iterdir() if each.name.endswith((".js", ".css"))]
    places = {name: page.index((TEMPLATE / name).read_text("utf-8").rstrip()) for name in names}
    for ending, first in ((".css", "style.css"), (".js", "page.js")):
        of_kind = {name: place for name, place in places.items() if name.endswith(ending)}
        assert min(of_kind, key=of_kind.__getitem__) == first
    sections = [name for name in ("memory.js", "scheduler.js", "run.js", "stories.js", "plug.js") if name in places]
    assert sorted(places, key=places.__getitem__)[-len(sections) :] == sections


def test_no_script_or_style_would_end_its_element_or_load_anything() -> None:
    for each in (path for path in Path(str(TEMPLATE)).rglob("*") if path.is_file()):
        text = each.read_text("utf-8")
        if not each.name.endswith(".html"):
            assert "</" not in text
        assert not re.search(
            r"innerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|XMLHttpRequest|@import|url\(", text
        )
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_the_page_may_load_nothing() -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page_of({}))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'")
