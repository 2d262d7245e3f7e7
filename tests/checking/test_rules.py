"""The specification: every rule holds of the model, and each is broken by some model that is broken in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from lab.checking.guarantees import GUARANTEES
from lab.checking.oracle import ModelStage
from lab.checking.rules import RULES
from lab.checking.runner import Rule, worst_result
from tests.checking.mutants.build import MUTANTS, Mutant, name_of, stage_of

PERFORMED = [rule for rule in RULES if rule.programs]
SHOWN = 4
by_number = pytest.mark.parametrize("rule", PERFORMED, ids=lambda rule: str(rule.number))


@contextmanager
def modelled() -> Iterator[ModelStage]:
    yield ModelStage()


@contextmanager
def broken(mutant: Mutant) -> Iterator[ModelStage]:
    yield stage_of(mutant)


def broken_by(mutant: Mutant) -> frozenset[int]:
    """The numbers of the rules that a mutant breaks."""
    found = (worst_result(rule, partial(broken, mutant)) for rule in PERFORMED)
    return frozenset(each.number for each in found if each.verdict == "unsafe")


def test_every_rule_of_the_specification_is_there_once() -> None:
    numbers = [rule.number for rule in RULES]
    assert numbers == sorted(set(numbers))
    assert {*range(1, 69)} <= {*numbers}


def test_those_about_data_under_a_race_are_left_to_the_stress() -> None:
    assert {rule.number for rule in RULES if rule.part == "stress"} >= {*range(61, 69), *range(99, 105)}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.number))
def test_a_rule_says_what_must_be_where_it_is_written_and_which_guarantee_it_counts_for(rule: Rule) -> None:
    assert rule.sentence.endswith(".")
    assert rule.source
    assert rule.guarantee in GUARANTEES


@by_number
def test_the_model_keeps_the_rule(rule: Rule) -> None:
    result = worst_result(rule, modelled)
    assert (result.verdict, result.calls) == ("safe", [])


def test_the_programs_are_few_enough_to_be_performed_in_seconds() -> None:
    programs = [steps for rule in PERFORMED for steps in rule.steps()]
    assert len(programs) < 480
    assert sum(map(len, programs)) < 4000


def row(number: int, names: list[str]) -> str:
    more = f"; {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{number:4}  {'; '.join(names[:SHOWN])}{more}"


@pytest.mark.slow
def test_every_mutant_breaks_some_rule_and_every_rule_is_broken_by_one_that_does_not_break_just_everything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    caught = {name_of(mutant): broken_by(mutant) for mutant in MUTANTS}
    assert [name for name, numbers in caught.items() if not numbers] == []
    by_rule = {
        rule.number: [
            name for name in sorted(caught, key=lambda name: len(caught[name])) if rule.number in caught[name]
        ]
        for rule in PERFORMED
    }
    with capsys.disabled():
        rows = [row(*each) for each in by_rule.items()]
        print("\n\nrule  mutants that break it, first those that break little else", *rows, sep="\n")  # noqa: T201
    fewest = {number: min((len(caught[name]) for name in names), default=0) for number, names in by_rule.items()}
    assert {number: count for number, count in fewest.items() if not 0 < count <= len(PERFORMED) / 6} == {}
