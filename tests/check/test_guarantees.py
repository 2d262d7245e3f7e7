from __future__ import annotations

import pytest

from lab.check.guarantees import DATA, EXCLUSION, GUARANTEES, LOCKS, NAMES, PARTS, asked_for
from lab.check.rules import RULES
from lab.check.stress.plan import PLAN
from lab.errors import UsageError


def test_without_words_everything_is_asked_and_run() -> None:
    asked = asked_for([], 1)
    assert (asked.guarantees, asked.parts, asked.named) == ((*LOCKS, *DATA), tuple(PARTS), frozenset())


def test_a_name_made_again_is_asked_only_between_several_directories() -> None:
    assert "names" not in asked_for([], 1).guarantees
    assert "names" in asked_for([], 2).guarantees


def test_a_guarantee_that_needs_two_directories_is_refused_on_one() -> None:
    with pytest.raises(UsageError, match="--only names: is about two mounts of one filesystem; give another DIR"):
        asked_for(["names"], 1)
    assert asked_for(["names"], 2).guarantees == ("names",)


def test_a_guarantee_runs_the_parts_that_can_judge_it() -> None:
    assert "stress" not in asked_for(["deadlock"], 1).parts
    assert "random" in asked_for(["deadlock"], 1).parts
    assert "stress" in asked_for(["mapping"], 1).parts
    assert "random" not in asked_for(["mapping"], 1).parts


def test_a_part_asks_for_the_guarantees_that_it_can_judge() -> None:
    asked = asked_for(["rules"], 1)
    assert (asked.guarantees, asked.parts) == (tuple(LOCKS), ("rules",))


def test_guarantees_and_parts_together_are_those_guarantees_by_those_parts() -> None:
    asked = asked_for(["posix", "stress"], 1)
    assert (asked.guarantees, asked.parts) == (("posix",), ("stress",))


@pytest.mark.parametrize(("word", "names"), [("exclusion", tuple(EXCLUSION)), ("data", tuple(DATA))])
def test_a_group_stands_for_its_guarantees_and_names_none_of_them(word: str, names: tuple[str, ...]) -> None:
    asked = asked_for([word], 1)
    assert (asked.guarantees, asked.named) == (names, frozenset())


def test_guarantees_that_are_named_are_known_as_named() -> None:
    assert asked_for(["mapping", "data"], 1).named == {"mapping"}


def test_guarantees_keep_their_order_however_they_are_named() -> None:
    assert asked_for(["flock", "posix", "flock"], 1).guarantees == ("posix", "flock")


def test_an_unknown_word_is_told_with_all_that_there_are() -> None:
    with pytest.raises(UsageError) as raised:
        asked_for(["maping"], 1)
    assert all(name in str(raised.value) for name in [*GUARANTEES, *PARTS, "maping", "exclusion", "data"])


def test_an_empty_name_is_told_as_that() -> None:
    with pytest.raises(UsageError, match="--only: an empty name; give guarantees or parts"):
        asked_for(["posix", ""], 1)


def test_every_rule_and_every_race_is_about_a_guarantee_of_its_part() -> None:
    assert {entry.guarantee for entry in PLAN} == {*PARTS["stress"]}
    assert {rule.guarantee for rule in RULES if not rule.stressed} >= {*PARTS["rules"], *NAMES}
