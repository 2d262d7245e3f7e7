"""The records of `regions`: how each region keeps its bytes, as it was seen here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .common import Environment


@dataclass(frozen=True, slots=True)
class Cell:
    """One property of one region: what the chapter says, and what was observed; `ok` where the two agree.

    `expected` is empty where the chapter says nothing that could be compared; such a cell is ok.
    """

    property: str
    region: str
    expected: str
    observed: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Property:
    """One row of the comparison: its name, and how it was observed."""

    name: str
    how: str


@dataclass(frozen=True, slots=True)
class RegionsCompared:
    """One invocation of `regions`."""

    schema: int
    command: Literal["regions"]
    started: str
    wall_s: float
    environment: Environment
    directory: str
    regions: list[str]
    properties: list[Property]
    cells: list[Cell]
