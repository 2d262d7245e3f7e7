"""The page as one text: the template with its style, its scripts, and the data of its sections."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from string import Template

from .paths import without_paths

TITLE = "The lab: does this lock really protect this file?"

SHARED = ("style.css", "page.js")
"""What the others build on comes before them."""

SECTIONS = ("memory.js", "scheduler.js", "run.js", "stories.js")
"""What draws the sections runs last, in this order, when all that they use is there."""

NAMES = ("chapter", "plays", "run", "stories")
"""The sections, and the names of their data."""

UNSAFE = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}
"""What could end a script element, or a line in one; inside of JSON's strings, where alone they stand, all the same."""


def page_of(parts: Mapping[str, bytes]) -> str:
    """The page with these parts, JSON by the name of the section; a section without one has `null`.

    Games are of scenarios from anywhere: what they tell of absolute paths is cut to the last name here.
    """
    return Template(_text("page.html")).substitute(
        title=TITLE,
        style=_all(".css"),
        data="\n".join(_element(name, parts.get(name, b"null")) for name in NAMES),
        script=_all(".js"),
    )


def _element(name: str, data: bytes) -> str:
    text = _told(name, data.decode("utf-8", "replace").strip()).translate(UNSAFE)
    return f'<script type="application/json" id="data-{name}">{text}</script>'


def _told(name: str, text: str) -> str:
    import msgspec

    return msgspec.json.encode(without_paths(msgspec.json.decode(text))).decode() if name == "plays" else text


def _all(ending: str) -> str:
    """The template's files that end so, one behind the other."""
    names = sorted(each.name for each in (files(__package__) / "template").iterdir() if each.name.endswith(ending))
    order = sorted(names, key=lambda name: (name not in SHARED, SECTIONS.index(name) if name in SECTIONS else -1))
    return "\n".join(_text(name).rstrip() for name in order)


def _text(name: str) -> str:
    return (files(__package__) / "template" / name).read_text("utf-8")
