"""A page is given away: of absolute paths it tells the last name alone."""

from __future__ import annotations

import re
from typing import Any

_NAME = r"[^\s/:;,()'\"<>]+"
_BEFORE = r"(?<![\w<~])(?<!:/)"  # in a fraction, a closing tag, the address of a page it begins no path

PATH = re.compile(rf"{_BEFORE}~?/(?:{_NAME}/)*({_NAME})")
"""An absolute path; its last name is the group."""

_IN_CODE = re.compile(rf"(?<![)\]}}]){_BEFORE}~?/(?:{_NAME}/)+({_NAME})")
"""The same in a program, where a slash also divides: one in a folder."""


def without_paths(part: Any, path: re.Pattern[str] = PATH) -> Any:
    """The same with the last name of every absolute path alone; what is called `source` is a program."""
    if isinstance(part, str):
        return path.sub(r"\1", part)
    if isinstance(part, dict):
        return {name: without_paths(each, _IN_CODE if name == "source" else path) for name, each in part.items()}
    if isinstance(part, list):
        return part if part and isinstance(part[0], int) else [without_paths(each, path) for each in part]
    return part
