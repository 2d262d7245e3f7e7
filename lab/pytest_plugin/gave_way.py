"""Which races had their window widened by the lab itself: told at the end of the session, also where all passed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

GAVE_WAY = "workers gave way"
"""The property that a test notes of such a race; pytest-xdist carries it to the process that reports."""


def races_told(reports: Iterable[Any]) -> list[str]:
    """Each of them, as the test it was in and what was raced; a test has several reports."""
    noted = {
        f"{report.nodeid}: {name.removeprefix('lab ').removesuffix(f': {GAVE_WAY}')}": None
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if value is True and str(name).startswith("lab ") and str(name).endswith(f": {GAVE_WAY}")
    }
    return list(noted)
