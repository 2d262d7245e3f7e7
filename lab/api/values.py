"""Define the readers of all values: each takes a value as text, as on the command line, and returns it or refuses it.

The command line reads its options with them, and the functions of `lab` their arguments.
"""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from math import nan
from pathlib import Path
from typing import Any

from lab.errors import UsageError, unknown

RAREST = 1e-9
"""The smallest rate that may be asked for: it takes three thousand million requests that meet a holder."""


MOST = 1_000_000_000
"""The largest number on the command line: more would run for years, or need more memory than there is."""

MOST_WORKERS = 32_768
"""So many processes can be asked for: Linux numbers so many unless it is told otherwise."""

MOST_BYTES = 1 << 40
LONGEST = 40
"""So many characters of a value are shown."""


def at_least(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to MOST."""
    return between(least, MOST)


def between(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to `most`; underscores may group the digits."""

    def read(text: str) -> int:
        number = _whole(text)
        if number < least:
            raise ArgumentTypeError(f"{_shortened(text)} is too few: at least {least}")
        if number > most:
            raise ArgumentTypeError(f"{_shortened(text)} is too many: at most {most:,}")
        return number

    return read


def seed(text: str) -> int:
    """Read a whole number of 64 bits with its sign."""
    number = _whole(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ArgumentTypeError(f"{_shortened(text)} is no seed: a whole number from -2^63, below 2^63")
    return number


def _whole(text: str) -> int:
    try:
        return int(text if text.isascii() else "")
    except ValueError:
        raise ArgumentTypeError(f"{_shortened(text)!r} is no whole number") from None


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def several(least: int, most: int = MOST) -> Callable[[str], list[int]]:
    """Return a reader of a comma-separated list of whole numbers from `least` to `most`."""
    one = between(least, most)

    def read(text: str) -> list[int]:
        return list(dict.fromkeys(one(part) for part in text.split(",")))

    return read


def several_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader of a comma-separated list of these words."""

    def read(text: str) -> list[str]:
        for word in text.split(","):
            if word not in known:
                raise ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return list(dict.fromkeys(text.split(",")))

    return read


def names(text: str) -> list[str]:
    """Read a comma-separated list of names; refuse an empty one."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ArgumentTypeError(f"an empty name in {_shortened(text)!r}; separate names by one comma")
    return found


def microseconds(text: str) -> int:
    """Read a time of 0 us or more, below a second; return it in ns."""
    number = _real(text)
    if not 0 <= number < 1e6:
        raise ArgumentTypeError(f"{_shortened(text)} is no such time: from 0 us, below 1,000,000 us")
    return round(1000 * number)


def percent(text: str) -> float:
    """Read a share above 0 % and below 1,000 %, written with its sign; return it as a fraction."""
    if not text.endswith("%"):
        raise ArgumentTypeError(f"{_shortened(text)!r} has no sign: give it in per cent, as in 10%")
    number = _real(text.removesuffix("%").rstrip())
    if not 0 < number < 1000:
        raise ArgumentTypeError(f"{_shortened(text)} is no such share: above 0 %, below 1,000 %")
    return number / 100


def directory(text: str) -> Path:
    """Read a directory's name; refuse an empty or a blank one, which comes from a variable that is not set."""
    if not text.strip():
        raise ArgumentTypeError("an empty name; give a directory")
    return Path(text)


def file_name(text: str) -> Path:
    """Read a file's name; refuse an empty one, and -, which elsewhere means standard output."""
    if text in ("", "-"):
        raise ArgumentTypeError(f"{text or 'an empty name'} is no file; give its name")
    return Path(text)


def path_or_dash(text: str) -> str:
    """Read a path, or - for standard output; refuse an empty one."""
    if not text:
        raise ArgumentTypeError("an empty path; give a file name, or - for standard output")
    return text


def _real(text: str) -> float:
    try:
        return float(text if text.isascii() else "")
    except ValueError:
        raise ArgumentTypeError(f"{_shortened(text)!r} is no number") from None


def probability(text: str) -> float:
    """Read a number from 0 to 1."""
    number = _real(text)
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"{_shortened(text)} is no probability: from 0 to 1")
    return number


def rare(text: str) -> float:
    """Read a rate above 0 and below 1, as a number or as 1/N: how rarely the event to be detected may happen."""
    above, stroke, below = text.partition("/")
    rate = _real(above)
    if stroke:
        many = _real(below)
        rate = rate / many if many else nan
    if not RAREST <= rate < 1:
        raise ArgumentTypeError(f"{text} is no rate: from {RAREST:g}, below 1, as in 1e-3 or 1/1000")
    return rate


def positive(text: str) -> float:
    """Read a number above 0, in seconds."""
    number = _real(text)
    if not 0 < number < 1e6:
        raise ArgumentTypeError(f"{_shortened(text)} is no time: above 0 seconds, below a million")
    return number


def temporary_directory() -> Path:
    """Return $TMPDIR, or /tmp; `tempfile` would know more places, and cost every fork the reseeding of `random`."""
    return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - a default; the workspace in it is private


TRIALS = 5
TIMEOUT_S = 10.0
"""One answer of another host takes at most so many seconds where the user gives no number."""

RECORDED = 400
"""A recorded trial has so many rounds of all workers together where the user gives no number."""

SEARCHES = ("auto", "bound", "all", "states", "dpor", "random", "pct")
PINS = ("none", "spread", "one")
FAULTS = ("none", "short", "long")
ISOLATED = ("pid",)
PRICES = ("uncontended", "hand-off", "queue")
RANGES = ("same", "disjoint")
MOST_CHECKERS = 512
"""Every race of the stress has room for so many workers."""


def one_of(known: Sequence[str], what: str) -> Callable[[str], str]:
    """Return a reader of one of these words; it raises UsageError, with the nearest of them, for another."""

    def read(text: str) -> str:
        if text not in known:
            raise unknown(what, text, list(known))
        return text

    return read


ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "workers": between(1, MOST_WORKERS),
    "check.workers": between(2, MOST_CHECKERS),
    "rounds": at_least(1),
    "trials": at_least(1),
    "seconds": positive,
    "backing": str,
    "seed": seed,
    "pin": one_of(PINS, "pin"),
    "window": at_least(0),
    "leak": probability,
    "detects": rare,
    "faults": one_of(FAULTS, "faults"),
    "isolate": one_of(ISOLATED, "isolate"),
    "time_limit": positive,
    "hosts": str,
    "leak_on": str,
    "timeout": positive,
    "cut_seconds": positive,
    "record": at_least(1),
    "operations": at_least(2),
    "crash": one_of(("kill", "power"), "crash"),
    "unit": one_of(("page", "sector", "line"), "unit"),
    "crashes": at_least(1),
    "search": one_of(SEARCHES, "search"),
    "preemptions": at_least(0),
    "tear": at_least(1),
    "jobs": at_least(1),
    "only": str,
    "times": at_least(1),
    "price": one_of(PRICES, "price"),
    "ranges": one_of(RANGES, "ranges"),
    "held": between(0, MOST),
    "hold": microseconds,
    "think": microseconds,
    "sizes": between(1, MOST_BYTES),
    "repeats": between(5, MOST),
}
"""The readers of the arguments of `lab`'s functions, by name, or by function and name."""


def checked(function: str, **given: Any) -> dict[str, Any]:
    """Return the arguments of a function as the command line would read them; None stays None.

    Raises UsageError, with the name, for one that makes no sense.
    """
    readers = {name: ARGUMENTS.get(f"{function}.{name}") or ARGUMENTS[name] for name in given}
    return {name: _checked(name, value, readers[name]) for name, value in given.items()}


def _checked(name: str, value: Any, reader: Callable[[str], Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return list(dict.fromkeys(_checked(name, each, reader) for each in value))
    try:
        return reader(str(value))
    except ArgumentTypeError as error:
        raise UsageError(f"{name}={value!r}: {error}") from None
