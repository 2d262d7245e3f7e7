"""The document of a tour: what the tutorial on mapped files claims, and what came of it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .common import Header


@dataclass(frozen=True, slots=True)
class Observation:
    """A call as a C programmer writes it, what the tutorial expects of it, and what it came to here.

    Both are "works", the name of an errno or of the signal that ended the caller, "waits", or a value; "X or Y" expects
    either. `row` and `column` place it in the table of its step, where there is one; else they are empty.
    """

    call: str
    expected: str
    observed: str
    ok: bool
    row: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class TourStep:
    """One claim, made to happen; `note` says what the observations cannot show, or where systems may differ."""

    number: int
    name: str
    claim: str
    note: str
    observations: list[Observation]

    @property
    def ok(self) -> bool:
        """True where everything came out as the tutorial claims."""
        return all(each.ok for each in self.observations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tour(Header):
    """One invocation of `tour`: the steps that were asked for."""

    command: Literal["tour"] = "tour"
    page_bytes: int
    steps: list[TourStep]
