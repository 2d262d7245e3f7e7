"""The reasons of races as a check tells them: its own places, and no option that only other commands have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.environment import anonymous_text
from lab.results import Case as Row

FULL = re.compile(r"no space|disk quota exceeded", re.IGNORECASE)
NO_ROOM = "the filesystem is full (no space left); make room, or give another DIR"
"""One cause, whichever call of a race came upon it."""

REMEDIES = (
    ("try another --lock or another --dir", "give another DIR"),
    ("try another --dir", "give another DIR"),
    ("give another --dir", "give another DIR"),
    ("lower --rounds or --workers", "lower --workers"),
    ("give directories that are one and the same, seen through two mounts", "what is made there comes late, or never"),
    ("fewer rounds or workers, smaller sizes", "fewer --workers"),
)
"""What `race` advises, and what a check can do: that its directories are one and the same it has seen before."""


def told_here(row: Row, folders: Sequence[Path]) -> Row:
    """The row with its reasons in these words; a folder of the check, which is gone by then, is its place."""
    failures = [replace(each, reason=_placed(each.reason, folders)) for each in row.failures]
    return replace(row, reason=worded(row.reason, folders), failures=failures)


def worded(reason: str, folders: Sequence[Path]) -> str:
    """One reason."""
    if FULL.search(reason):
        return NO_ROOM
    for theirs, ours in REMEDIES:
        reason = reason.replace(theirs, ours)
    return _placed(reason, folders)


def _placed(text: str, folders: Sequence[Path]) -> str:
    for folder in folders:
        text = text.replace(anonymous_text(str(folder)), anonymous_text(str(folder.parent)))
    return text
