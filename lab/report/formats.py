"""The names of the formats that tables come in."""

from __future__ import annotations

from lab.errors import unknown

DEFAULT_FORMAT = "simple"
DATA_FORMATS = {"csv": ","}
"""Formats that tabulate leaves to its caller, with their separators."""


def check_format(name: str) -> None:
    """Raises UsageError, with the nearest name, for a format that neither tabulate nor the lab has.

    The usual one is not looked up: tabulate imports threading and random, and forks would pay for it.
    """
    if name == DEFAULT_FORMAT:
        return
    from tabulate import tabulate_formats

    known = [*tabulate_formats, *DATA_FORMATS]
    if name not in known:
        raise unknown("format", name, known)
