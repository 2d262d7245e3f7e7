from __future__ import annotations

import pytest

from lab.checking.guarantees import EXCLUSION, FILES, GROUPS, GUARANTEES, LOCKS, PART_NAMES
from lab.checking.request import PARTS, Request, request_for
from lab.checking.rules import RULES
from lab.checking.run import performed
from lab.checking.stress.plan import planned
from lab.errors import UsageError


def test_without_words_everything_is_asked_and_run() -> None:
    request = request_for([])
    assert (request.guarantees, request.parts, request.named) == (tuple(LOCKS | FILES), PART_NAMES, frozenset())


def test_several_hosts_have_parts_of_their_own() -> None:
    assert request_for(["turns", "mapping"], on_hosts=True).parts == ("turns",)
    with pytest.raises(UsageError, match="--only turns: takes several hosts"):
        request_for(["turns"])


def test_a_guarantee_runs_the_parts_that_can_judge_it() -> None:
    assert "stress" not in request_for(["deadlock"]).parts
    assert "random" in request_for(["deadlock"]).parts
    assert "stress" in request_for(["mapping"]).parts
    assert "random" not in request_for(["mapping"]).parts


def test_a_part_asks_for_the_guarantees_that_it_can_judge() -> None:
    request = request_for(["rules"])
    assert (request.guarantees, request.parts) == (tuple(LOCKS), ("rules",))


def test_guarantees_and_parts_together_are_those_guarantees_by_those_parts() -> None:
    request = request_for(["posix", "stress"])
    assert (request.guarantees, request.parts) == (("posix",), ("stress",))


@pytest.mark.parametrize(("word", "names"), [*GROUPS.items(), ("exclusion", tuple(EXCLUSION))])
def test_a_group_stands_for_its_guarantees_and_names_none_of_them(word: str, names: tuple[str, ...]) -> None:
    request = request_for([word])
    assert (request.guarantees, request.named) == (names, frozenset())


def test_guarantees_that_are_named_are_known_as_named() -> None:
    assert request_for(["mapping", "data"]).named == {"mapping"}


def test_guarantees_keep_their_order_however_they_are_named() -> None:
    assert request_for(["flock", "posix", "flock"]).guarantees == ("posix", "flock")


def test_an_unknown_word_is_told_with_all_that_there_are() -> None:
    with pytest.raises(UsageError) as raised:
        request_for(["maping"])
    assert all(name in str(raised.value) for name in [*GUARANTEES, *PARTS, *GROUPS, "maping"])


def test_an_empty_name_is_told_as_that() -> None:
    with pytest.raises(UsageError, match="--only: an empty name; give guarantees or parts"):
        request_for(["posix", ""])


def run_by(part: str) -> list[tuple[int, str]]:
    """The rules that this part performs or races for, and the guarantees for which it does."""
    if part == "stress":
        return [(number, entry.guarantee) for entry in planned(GUARANTEES) for number in entry.rules]
    return [(rule.number, rule.guarantee) for rule in performed(Request((*GUARANTEES,), (part,), frozenset()))]


def test_every_rule_is_run_by_exactly_one_part() -> None:
    numbers = [number for part in PARTS for number in {number for number, _ in run_by(part)}]
    assert sorted(numbers) == [rule.number for rule in RULES]


@pytest.mark.parametrize("part", sorted({*PART_NAMES} - {"random"}))
def test_every_guarantee_has_a_rule_of_each_part_that_judges_it(part: str) -> None:
    ruled = {guarantee for _, guarantee in run_by(part)}
    assert {*PARTS[part]} == (ruled if part == "stress" else ruled - {*FILES})
    assert {*LOCKS} == {*PARTS["rules"]}
