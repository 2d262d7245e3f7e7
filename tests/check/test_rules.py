"""The specification: every rule holds of the model, and each is broken by some model that is broken in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial

import pytest

from lab.check.guarantees import GUARANTEES
from lab.check.oracle import ModelStage
from lab.check.rules import RULES
from lab.check.runner import Rule, worst_result
from tests.check.mutants.build import MUTANTS, Mutant, name_of, stage_of

PERFORMED = [rule for rule in RULES if rule.programs]
SHOWN = 4
by_number = pytest.mark.parametrize("rule", PERFORMED, ids=lambda rule: str(rule.number))


@contextmanager
def modelled() -> Iterator[ModelStage]:
    yield ModelStage()


@contextmanager
def broken(mutant: Mutant) -> Iterator[ModelStage]:
    yield stage_of(mutant)


@cache
def caught() -> dict[str, frozenset[int]]:
    """The numbers of the rules that each mutant breaks."""
    return {name_of(mutant): _broken_by(mutant) for mutant in MUTANTS}


def _broken_by(mutant: Mutant) -> frozenset[int]:
    found = (worst_result(rule, partial(broken, mutant)) for rule in PERFORMED)
    return frozenset(each.number for each in found if each.verdict == "unsafe")


def catches(rule: Rule) -> list[str]:
    """The mutants that break it; first those that break little else."""
    return sorted(
        (name for name, numbers in caught().items() if rule.number in numbers), key=lambda name: len(caught()[name])
    )


def test_every_rule_of_the_specification_is_there_once() -> None:
    numbers = [rule.number for rule in RULES]
    assert numbers == sorted(set(numbers))
    assert {*range(1, 69)} <= {*numbers}


def test_those_about_data_under_a_race_are_left_to_the_stress() -> None:
    assert [rule.number for rule in RULES if rule.part == "stress"] == [*range(61, 69)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.number))
def test_a_rule_says_what_must_be_where_it_is_written_and_which_guarantee_it_counts_for(rule: Rule) -> None:
    assert rule.sentence.endswith(".")
    assert rule.source
    assert rule.guarantee in {*GUARANTEES, "names"}


@by_number
def test_the_model_keeps_the_rule(rule: Rule) -> None:
    result = worst_result(rule, modelled)
    assert (result.verdict, result.calls) == ("safe", [])


@pytest.mark.slow
@by_number
def test_some_mutant_breaks_the_rule_and_not_just_everything(rule: Rule) -> None:
    assert len(caught()[catches(rule)[0]]) <= len(PERFORMED) / 6


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_every_mutant_breaks_some_rule(mutant: Mutant) -> None:
    assert caught()[name_of(mutant)]


def test_the_programs_are_few_enough_to_be_performed_in_seconds() -> None:
    programs = [steps for rule in PERFORMED for steps in rule.steps()]
    assert len(programs) < 450
    assert sum(map(len, programs)) < 4000


def row(rule: Rule) -> str:
    names = catches(rule)
    more = f"; {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{rule.number:4}  {'; '.join(names[:SHOWN])}{more}"


@pytest.mark.slow
def test_the_table_of_rules_and_the_mutants_that_they_catch(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(rule) for rule in PERFORMED]
    with capsys.disabled():
        print("\n\nrule  mutants that break it, first those that break little else", *rows, sep="\n")  # noqa: T201
    assert not [each for each in rows if not each[6:]]
