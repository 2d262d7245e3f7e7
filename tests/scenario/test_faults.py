from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.errors import ScenarioError
from lab.scenario import Damage
from lab.scenario.base import Endless, endless_error, exception_text, listed_damage

LOST = Damage("lost", 1, 2)


def check() -> None:
    """Stands for a check."""


LINE = check.__code__.co_firstlineno


def each() -> Iterator[Damage]:
    yield LOST
    yield LOST


@pytest.mark.parametrize(
    ("found", "listed"), [(LOST, [LOST]), ([], []), ((LOST,), [LOST]), (each(), [LOST, LOST]), ({}, [])]
)
def test_what_a_check_gives_is_a_list_of_damage(found: object, listed: list[Damage]) -> None:
    assert listed_damage(found, check) == listed


@pytest.mark.parametrize(
    ("found", "told"), [(None, "None"), (3, "3"), ("lost", "'lost'"), ([LOST, None], "[Damage"), (iter([1]), "[1]")]
)
def test_what_is_no_damage_is_told_with_the_place_of_the_check(found: object, told: str) -> None:
    with pytest.raises(ScenarioError) as failed:
        listed_damage(found, check)
    assert str(failed.value).startswith(f"check returned {told}")
    assert f" ({__file__}:{LINE}); return Damage(...), or a list of them, [] for none" in str(failed.value)


def test_a_check_that_has_no_place_is_told_without() -> None:
    with pytest.raises(ScenarioError, match=r"^check returned None; return Damage"):
        listed_damage(None, print)


def failure() -> BaseException:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        return error


def test_an_exception_is_told_in_one_line_with_its_place() -> None:
    assert exception_text(failure()) == f"ValueError: two lines ({__file__}:{failure.__code__.co_firstlineno + 2})"


def test_frames_of_the_lab_are_not_its_place() -> None:
    with pytest.raises(ScenarioError) as failed:
        listed_damage(None, print)
    assert f"({__file__}:" in exception_text(failed.value)


def test_an_exception_without_a_traceback_has_no_place() -> None:
    assert exception_text(KeyError("x")) == "KeyError: 'x'"


def test_a_method_without_an_end_is_told_with_where_it_was() -> None:
    told = endless_error("check", failure(), 2.5)
    assert isinstance(told, Endless)
    assert str(told).startswith(f"check was still at work after 2.5 s ({__file__}:")
    assert str(told).endswith("; fix the file, or allow it more time")
