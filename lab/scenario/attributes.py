"""Check the class attributes of a scenario against one table, and report mistakes to its author."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from ctypes import Structure, sizeof
from math import isfinite
from reprlib import repr as shortened
from typing import Any, NamedTuple, get_args

from lab.errors import UsageError, printable
from lab.records import Verdict

from .base import Scenario

WORLDS = ("race", "explore", "replay", "check")
PINS = ("none", "spread", "one")
MOST_ROUNDS = 10_000_000


class Attribute(NamedTuple):
    """The name of an attribute, its allowed values in words, and a function that tells whether a value is allowed."""

    name: str
    allowed: str
    fits: Callable[[Any], bool]


def _one_of(names: Sequence[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in names


def _several(value: Any) -> bool:
    """Return whether it is a collection of texts, and not a text itself."""
    return isinstance(value, Collection) and not isinstance(value, str) and all(isinstance(each, str) for each in value)


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _seconds(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and isfinite(value) and 0 < value < 1e6)


def _by_lock(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(lock, str) and verdict in get_args(Verdict) for lock, verdict in value.items()
    )


def _struct(value: Any) -> bool:
    """Return whether the struct has bytes."""
    return isinstance(value, type) and issubclass(value, Structure) and sizeof(value) > 0


def _names(value: Any) -> bool:
    return _several(value) and len(value) > 0


def _worlds(value: Any) -> bool:
    return _names(value) and set(value) <= set(WORLDS)


def _most(value: Any) -> bool:
    return value is None or _whole(1, 1 << 31)(value)


ATTRIBUTES = (
    Attribute("Memory", "a ctypes.Structure with at least one field", _struct),
    Attribute("work", "a function work(self, w)", callable),
    Attribute("check", "a function check(self, memory, outcome)", callable),
    Attribute("invariant", "a function invariant(self, memory)", callable),
    Attribute("layout", "a function layout(self, workers, rounds)", callable),
    Attribute("prepare", "a function prepare(self, memory)", callable),
    Attribute("start", "a function start(self, w)", callable),
    Attribute("expected", "a function expected(self, lock, backing)", callable),
    Attribute("expects", 'verdicts by lock, such as {"none": "damaged"}', _by_lock),
    Attribute("allows_overlaps", "names of locks", _several),
    Attribute("locks", 'one or more names of locks, such as ("none", "fcntl")', _names),
    Attribute("why", "a text", lambda value: isinstance(value, str)),
    Attribute("order", "a whole number from 0", _whole(0, MOST_ROUNDS)),
    Attribute("backing", "the name of a backing; see `lab list`", lambda value: isinstance(value, str)),
    Attribute("by_name", "True or False", lambda value: isinstance(value, bool)),
    Attribute("unshared", '"damaged" or "clean"', _one_of(get_args(Verdict))),
    Attribute("worlds", f"one or more of {', '.join(WORLDS)}", _worlds),
    Attribute("rounds", f"a whole number from 1 to {MOST_ROUNDS:,}", _whole(1, MOST_ROUNDS)),
    Attribute("holds_per_round", f"a whole number from 0 to {MOST_ROUNDS:,}", _whole(0, MOST_ROUNDS)),
    Attribute("time_limit", "None, or a number of seconds above 0", _seconds),
    Attribute("pin", f"one of {', '.join(PINS)}", _one_of(PINS)),
    Attribute("workers_at_most", "None, or a whole number from 1", _most),
    Attribute("sparse", "True or False", lambda value: isinstance(value, bool)),
)  # fmt: skip


def check_attributes(kind: type[Scenario], where: str) -> None:
    """Raise UsageError for the first attribute that is wrong, with the class, the attribute and its allowed values."""
    for attribute in ATTRIBUTES:
        try:
            value = getattr(kind, attribute.name)
            fits = attribute.fits(value)
        except AttributeError:  # it is asked for only where it is needed
            continue
        except Exception as error:
            value, fits = error, False
        if not fits:
            raise _wrong(kind, where, attribute, value)


def check_complete(kind: type[Scenario], where: str) -> None:
    """Raise UsageError for a class that cannot run: it may be a base class of others in its file."""
    missing = [name for name in ("work", "check") if getattr(kind, name) is getattr(Scenario, name)]
    if kind.layout is Scenario.layout and not hasattr(kind, "Memory"):
        missing.append("Memory")
    for attribute in ATTRIBUTES:
        if attribute.name in missing:
            raise UsageError(f"{where}: {kind.__qualname__} has no {attribute.name}; give {attribute.allowed}")


def _wrong(kind: type[Scenario], where: str, attribute: Attribute, value: object) -> UsageError:
    name = f"{kind.__qualname__}.{attribute.name}"
    try:
        shown = printable(shortened(value))
    except Exception:
        shown = f"a {type(value).__name__}"
    return UsageError(f"{where}: {name} is {shown}; give {attribute.allowed}")
