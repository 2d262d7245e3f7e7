"""How workers raced, in words, where the lab widened the window; the end of a session lists such races."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

YIELDED, SLEPT = "yielded", "slept"
"""What the workers did in the middle of their work; nothing, an empty text, where they raced as they are."""

TOLD = {
    YIELDED: "on one processor, where workers yielded inside the lock: else they met too seldom",
    SLEPT: "workers slept inside the lock, and before they asked again: else they met too seldom",
}


def property_of(manner: str) -> str:
    """What a test notes of a race in this manner; pytest-xdist carries it to the process that reports."""
    return f"workers {manner}"


def races_told(reports: Iterable[Any], manner: str = YIELDED) -> list[str]:
    """Each race in this manner, as the test it was in and what was raced; a test has several reports."""
    end = f": {property_of(manner)}"
    noted = {
        f"{report.nodeid}: {name.removeprefix('lab ').removesuffix(end)}": None
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if value is True and str(name).startswith("lab ") and str(name).endswith(end)
    }
    return list(noted)
