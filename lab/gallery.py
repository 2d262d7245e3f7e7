"""Read the facts about the built-in scenarios from the text of their files; no scenario is imported for them.

`lab list` prints these facts. Importing all the files would take longer than everything else that it does.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lab.errors import CannotRunError

ORDER = re.compile(r"^    order = (\d+)$", re.MULTILINE)
WHY = re.compile(r"^    why = ", re.MULTILINE)
CLASS = re.compile(r'^class (\w+)\((\w+)\):\n    """(.+?)(?:"""|$)', re.MULTILINE)
"""A class of a scenario's file: its name, its base, and the first line of its docstring."""

LAST = 1_000
DEFAULT, COUNTEREXAMPLE, OF_CRASHES, OF_CALLS = range(4)
FOLDERS = {"crash": OF_CRASHES, "operations": OF_CALLS}
BASES = ("Scenario", "Operations")


class Entry(NamedTuple):
    """A file of the gallery: its set, its place in it, its path and its text."""

    set: int
    order: int
    path: Path
    text: str


@cache
def gallery() -> dict[str, Entry]:
    """Return the files of the built-in scenarios by their names, in their order.

    The text of a file shows its set: a counterexample is not even loaded for the default set, since one imports
    threading, whose handlers every fork would pay for. Those of crashes, and of operations, have folders of their own.
    Raises CannotRunError where the files are missing.
    """
    found = []
    for path in [*folder().glob("*.py"), *(each for name in FOLDERS for each in folder().glob(f"{name}/*.py"))]:
        text = path.read_text()
        order = ORDER.search(text)
        kind = FOLDERS.get(path.parent.name, COUNTEREXAMPLE if WHY.search(text) else DEFAULT)
        found.append(Entry(kind, int(order[1]) if order else LAST, path, text))
    return {each.path.stem: each for each in sorted(found)}


@cache
def folder() -> Path:
    """Return the folder of the built-in scenarios: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    for found in (package / "scenarios", package.parent / "scenarios"):
        if (found / "counter.py").exists():
            return found
    raise CannotRunError("the built-in scenarios are missing from this installation; reinstall the lab")


def builtin_names() -> list[str]:
    """Return the names of the built-in scenarios in their order: the default set, counterexamples, and of crashes."""
    return list(gallery())


def counterexample_names() -> list[str]:
    """Return the names of the built-in counterexamples in their order."""
    return [name for name, each in gallery().items() if each.set == COUNTEREXAMPLE]


def operations_names() -> list[str]:
    """Return the names of the built-in structures with operations in their order."""
    return [name for name, each in gallery().items() if each.set == OF_CALLS]


def crash_names() -> list[str]:
    """Return the names of the built-in scenarios about crashes in their order."""
    return [name for name, each in gallery().items() if each.set == OF_CRASHES]


def summaries(name: str) -> dict[str, str]:
    """Return the names of a built-in scenario and of its variants, each with its summary: as `find_scenarios(name)`."""
    text = gallery()[name].text
    ours, found = {*BASES}, {name: first_line(text.removeprefix('"""').partition('"""')[0])}
    for kind, base, line in CLASS.findall(text):
        if base in ours and ours > {*BASES}:
            found[variant_name(name, kind)] = line.strip()
        if base in ours:
            ours.add(kind)
    return found


def variant_name(name: str, kind: str) -> str:
    """Return the name of a variant of a scenario, from the name of its class."""
    variant = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    return f"{name}:{variant}"


def first_line(*docstrings: str | None) -> str:
    """Return the first line of the first docstring that says something."""
    texts = [text.strip() for text in docstrings if text and text.strip()]
    return texts[0].splitlines()[0].rstrip() if texts else "(no docstring)"
