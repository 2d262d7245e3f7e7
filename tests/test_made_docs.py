"""The pages of docs/ that scripts write are what the scripts write, and say something of every public name."""

from __future__ import annotations

import re

import pytest

import lab
from docs import draw_layers, make_api, make_man
from tests.helpers import ROOT


def test_the_drawing_of_the_layers_is_that_of_the_imports() -> None:
    assert draw_layers.DRAWING.read_text() == draw_layers.drawing(), "run python -m docs.draw_layers"


def test_the_drawing_leaves_out_only_what_a_longer_way_says() -> None:
    assert draw_layers.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_packages_in_a_circle_are_named_instead_of_drawn() -> None:
    with pytest.raises(ValueError, match="a imports b; b imports a; remove"):
        draw_layers.without_circles({"a": {"b", "c"}, "b": {"a"}, "c": set(), "d": {"a"}})


def test_the_reference_is_that_of_the_docstrings() -> None:
    assert make_api.PAGE.read_text() == make_api.page(), "run python -m docs.make_api"


@pytest.mark.needs("docs")
def test_the_manual_page_is_that_of_the_parser() -> None:
    assert make_man.PAGE.read_text() == make_man.page(), "run python -m docs.make_man"


def test_every_public_name_is_in_the_reference() -> None:
    named = {name for name, _, _ in make_api.reference()}
    members = {f"Worker.{name}" for name in vars(lab.Worker) if not name.startswith("_") and name in dir(lab.Worker)}
    assert {*lab.__all__, *members} <= named


def test_a_public_name_says_what_it_is() -> None:
    unsaid = [name for name, _, text in make_api.reference() if not text.rstrip().endswith((".", ":", ")"))]
    assert unsaid == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "SECURITY.md"])
def test_a_file_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"`((?:\.?[\w-]+/)*[\w.-]+\.(?:py|c|md|yml|toml))`", (ROOT / page).read_text())
    assert named
    assert [name for name in named if not any((folder / name).exists() for folder in (ROOT, ROOT / "lab"))] == []
