"""Name the manners in which the lab widened the window of a race; the end of a session lists such races.

Every pytest loads this module at its end, so it imports nothing of the lab.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

YIELDED, SLEPT = "yielded", "slept"
"""The manners of the workers in the middle of their work; an empty text where they raced as they are."""

MANNERS = {
    YIELDED: "on one processor, where workers yielded inside the lock: else they met too seldom",
    SLEPT: "workers slept inside the lock, and before they asked again: else they met too seldom",
}


def property_of(manner: str) -> str:
    """Return the property that a test notes for a race in this manner.

    pytest-xdist carries it to the process that reports.
    """
    return f"workers {manner}"


def races_in(reports: Iterable[Any], manner: str = YIELDED) -> list[str]:
    """Return each race in this manner, as its test and its title; a test has several reports."""
    end = f": {property_of(manner)}"
    noted = {
        f"{report.nodeid}: {name.removeprefix('lab ').removesuffix(end)}": None
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if value is True and str(name).startswith("lab ") and str(name).endswith(end)
    }
    return list(noted)
