"""Define the records of `backings`: how each backing keeps its bytes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .common import Header


@dataclass(frozen=True, slots=True)
class Cell:
    """One property of one backing: what is expected, and what was observed; `ok` where this begins with that.

    Where a backing could not be set up, all its properties are "refused", and its set-up is the name of the errno.
    """

    property: str
    backing: str
    expected: str
    observed: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Property:
    """One row of the comparison: its name, and how it was observed, or that it is so by definition."""

    name: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackingSurvey(Header):
    """One invocation of `backings`."""

    command: Literal["backings"] = "backings"
    directory: str
    backings: list[str]
    properties: list[Property]
    cells: list[Cell]
