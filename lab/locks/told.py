"""An exception, and the kind of a thing, in the words of one line."""

from __future__ import annotations

import re

VOWEL = re.compile(r"[aeio]|un(?!i)", re.IGNORECASE)
"""How a name begins that is spoken with a vowel: Unpicklable, but not UnixLock, User or UUID."""


def told(error: BaseException) -> str:
    """Its type, and its text where it has one: a text of several lines becomes one."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def kind_of(thing: object) -> str:
    """What it is, with its article: a str, an int, None."""
    name = type(thing).__name__
    return "None" if thing is None else f"{'an' if VOWEL.match(name) else 'a'} {name}"
