"""What is wrong in a scenario, as its author is told of it: what it raised, what its check returned, that it hangs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from reprlib import repr as shortened
from typing import Any

from lab.errors import ScenarioError, is_theirs
from lab.locks import told

from .base import Damage


class Endless(ScenarioError):  # noqa: N818 - a finding about the scenario
    """A method was still at work when the time was over."""


def raised(error: BaseException) -> str:
    """Its type, its text, and the place in the scenario's file; the lab's own frames below that do not count."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if is_theirs(frame.filename)] or frames
    where = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    return f"{told(error)}{where}"


def endless(method: str, error: BaseException, limit_s: float) -> Endless:
    """The error for a method that was broken off after so many seconds."""
    _, _, where = raised(error).partition(" (")
    at = f" ({where}" if where else ""
    return Endless(f"{method} was still at work after {limit_s:g} s{at}; mend the file, or allow it more time")


def listed_damage(found: Any, check: Callable[..., object]) -> list[Damage]:
    """What a check gave, as a list.

    Raises ScenarioError, naming the check's place, for what is no damage and for a negative count.
    """
    found = [found] if isinstance(found, Damage) else found
    damage = list(found) if isinstance(found, Iterable) and not isinstance(found, str | bytes) else [found]
    code = getattr(check, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    if all(isinstance(each, Damage) for each in damage):
        for each in damage:
            if each.count < 0:
                raise ScenarioError(
                    f"check counted {each.count:,} of {each.kind!r}{where}; count what is broken, 0 where nothing is"
                )
        return damage
    given = found if damage == [found] else damage
    raise ScenarioError(f"check returned {shortened(given)}{where}; return Damage(...), or a list of them, [] for none")
