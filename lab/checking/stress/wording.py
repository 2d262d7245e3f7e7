"""Report the reasons of races in the words of a check: its own places, and no option that only other commands have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab.host.environment import anonymous_text
from lab.records import Case as Row

FULL = re.compile(r"no space|disk quota exceeded", re.IGNORECASE)
NO_ROOM = "the filesystem is full (no space left); make room, or give another DIR"
"""The reason that is reported when space runs out, whichever call of a race met it."""

REMEDIES = (
    ("try another --lock or another --dir", "give another DIR"),
    ("try another --dir", "give another DIR"),
    ("give another --dir", "give another DIR"),
    ("lower --rounds or --workers", "lower --workers"),
    ("give directories that are one and the same, seen through two mounts", "what is made there comes late, or never"),
    ("give more --rounds or --trials, or --window", "give more --seconds"),
    ("fewer rounds or workers, smaller sizes", "fewer --workers"),
)
"""Advice of `race`, and what a check can do instead: it has already seen that its directories are one and the same."""


def with_reasons_of_check(row: Row, folders: Sequence[Path]) -> Row:
    """Return the row with its reasons in these words, with its directory for a folder of the check, which is gone."""
    failures = [replace(each, reason=_placed(each.reason, folders)) for each in row.failures]
    return replace(row, reason=worded(row.reason, folders), failures=failures)


def worded(reason: str, folders: Sequence[Path]) -> str:
    """Return one reason in these words."""
    if FULL.search(reason):
        return NO_ROOM
    for theirs, ours in REMEDIES:
        reason = reason.replace(theirs, ours)
    return _placed(reason, folders)


def _placed(text: str, folders: Sequence[Path]) -> str:
    for folder in folders:
        text = text.replace(anonymous_text(str(folder)), anonymous_text(str(folder.parent)))
    return text
