"""What is wrong in a scenario, as its author is told of it: what it raised, what its check returned, that it hangs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import index
from reprlib import repr as shortened
from typing import Any

from lab.errors import ScenarioError, is_theirs
from lab.locks import told

from .base import Damage

MOST_DAMAGE = 10_000
"""Kinds of damage that are listed; a check that never ends to find more is not waited for."""

MOST = 1 << 62
"""No count is as large."""


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


def _checked(damage: Damage, check: Callable[..., object]) -> Damage:
    """The damage, its numbers as plain integers: a comparison counts as 0 or 1, and numpy has its own integers.

    Raises ScenarioError, naming the check's place, for values of a damage that are none.
    """
    wrong = ""
    numbers: list[int] = []
    for name in ("count", "of"):
        value = getattr(damage, name)
        try:
            numbers.append(index(value))
        except TypeError:
            numbers.append(MOST)
        if not -MOST < numbers[-1] < MOST:
            wrong = wrong or f"{name} {shortened(value)}, which is to be a whole number"
    evidence = damage.evidence
    if not isinstance(damage.kind, str):
        wrong = f"kind {shortened(damage.kind)}, which is to be a text"
    elif isinstance(evidence, str) or not isinstance(evidence, Sequence) or set(map(type, evidence)) - {str}:
        wrong = wrong or f"evidence {shortened(evidence)}, which is to be a list of texts"
    if wrong:
        raise ScenarioError(f"check returned Damage with {wrong}{_place(check)}; mend the check")
    count, of = numbers
    if count < 0:
        what = f"check counted {count:,} of {damage.kind!r}{_place(check)}"
        raise ScenarioError(f"{what}; count what is broken, 0 where nothing is")
    return Damage(damage.kind, count, of, evidence)


def _place(check: Callable[..., object]) -> str:
    code = getattr(check, "__code__", None)
    return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""


def listed_damage(found: Any, check: Callable[..., object]) -> list[Damage]:
    """What a check gave, as a list.

    Raises ScenarioError, naming the check's place, for what is no damage, for wrong types, and for a negative count.
    """
    several = isinstance(found, Iterable) and not isinstance(found, str | bytes)
    damage = list(islice(found, MOST_DAMAGE)) if several else [found]
    if all(isinstance(each, Damage) for each in damage):
        return [_checked(each, check) for each in damage]
    given = found if damage == [found] else damage
    told = f"check returned {shortened(given)}{_place(check)}"
    raise ScenarioError(f"{told}; return Damage(...), or a list of them, [] for none")
