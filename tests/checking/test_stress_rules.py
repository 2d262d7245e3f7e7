"""What the races of the stress make of a rule: the worst of those that cover it, in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from lab.checking.rules import RULES
from lab.checking.stress.plan import HOLDS, NEVER_TWO, PLAN
from lab.checking.verdict.judge import NONE_MADE_UP, judge_by_stress
from lab.records import CheckVerdict, RuleResult, StressResult
from tests.report.checked_records import case, race, rule

BLOCKS = 61
NOT_TRIED = "not tried: left to the stress"


def left(number: int, guarantee: str = "posix") -> RuleResult:
    """A rule before the stress."""
    return rule(number, guarantee, "unknown", observed=NOT_TRIED)


def raced(number: int, guarantee: str = "pread", backing: str = "stream", **how: Any) -> StressResult:
    """A race that covers the rule."""
    verdict = how.pop("says", None)
    row = race(guarantee, backing, case(**how), rules=[number])
    return race(guarantee, backing, row.case, rules=[number], verdict=verdict) if verdict else row


def says(number: int, *rows: StressResult) -> CheckVerdict:
    return judge_by_stress(left(number), rows).verdict


SAFE = raced(BLOCKS)
UNSAFE = raced(BLOCKS, "mapping", "mapped", lost=500)
UNKNOWN = raced(BLOCKS, "remapped", "remapped", operations=0, verdict="timeout", reason="hung")
UNSUPPORTED = raced(BLOCKS, says="unsupported", operations=0, verdict="unsupported", reason="refused")


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([SAFE, UNSAFE, UNKNOWN, UNSUPPORTED], "unsafe"),
        ([UNSUPPORTED, SAFE, UNKNOWN], "unknown"),
        ([UNSUPPORTED, SAFE], "safe"),
        ([UNSUPPORTED, UNSUPPORTED], "unsupported"),
    ],
)
def test_the_worst_race_counts_and_one_that_was_refused_last(rows: list[StressResult], verdict: CheckVerdict) -> None:
    assert says(BLOCKS, *rows) == says(BLOCKS, *rows[::-1]) == verdict


def test_a_race_that_does_not_cover_the_rule_says_nothing_of_it() -> None:
    assert judge_by_stress(left(62), [UNSAFE]) == left(62)


def test_a_rule_without_races_stays_as_it_was() -> None:
    assert judge_by_stress(left(BLOCKS), []) == left(BLOCKS)


@pytest.mark.parametrize(("count", "told"), [(1, "1 race"), (3, "3 races")])
def test_a_rule_that_held_tells_in_how_many_races(count: int, told: str) -> None:
    assert judge_by_stress(left(BLOCKS), [SAFE] * count).observed == f"as demanded in {told}"


def test_a_rule_that_held_keeps_its_guarantee() -> None:
    found = judge_by_stress(left(BLOCKS), [SAFE])
    assert (found.guarantee, found.expected, found.calls) == ("posix", "", [])


def test_a_rule_that_broke_counts_for_the_guarantee_of_the_race_that_broke_it() -> None:
    found = judge_by_stress(left(BLOCKS), [SAFE, UNSAFE])
    assert (found.guarantee, found.expected) == ("mapping", "no damage")
    assert found.observed == "counter under fcntl, mapped: lost update in 500 of 1,000 (50.0 %)"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (UNKNOWN, "counter under fcntl, remapped: hung"),
        (UNSUPPORTED, "counter under fcntl, stream: refused"),
    ],
)
def test_a_rule_that_was_not_shown_tells_why(row: StressResult, reason: str) -> None:
    assert judge_by_stress(left(BLOCKS), [row]).observed == reason


@pytest.mark.parametrize("number", [NEVER_TWO, HOLDS])
def test_the_rules_about_holds_are_broken_by_holds_and_not_by_data(number: int) -> None:
    assert says(number, raced(number, lost=500)) == "safe"
    found = judge_by_stress(left(number), [raced(number, overlaps=3)])
    assert (found.verdict, found.expected) == ("unsafe", "holds apart")
    assert found.observed.startswith("counter under fcntl, stream: 3 pairs of holds overlapped that may not")


def test_the_rules_about_data_are_broken_by_data_and_not_by_holds() -> None:
    data = {number for entry in PLAN for number in entry.rules} - {NEVER_TWO, HOLDS}
    assert data >= {61, 62, 63, 64, 65, 68}
    assert {says(number, raced(number, overlaps=3)) for number in data} == {"safe"}
    assert {says(number, raced(number, lost=3)) for number in data} == {"unsafe"}


DEADLOCK = rule(NONE_MADE_UP, "deadlock")


def test_the_rule_that_no_deadlock_is_made_up_is_the_one_that_programs_show_too() -> None:
    assert [(each.number, each.part) for each in RULES if each.number == NONE_MADE_UP] == [(46, "rules")]


@pytest.mark.parametrize("before", ["safe", "unsupported", "unknown"])
def test_false_deadlocks_of_all_races_break_it_whatever_its_programs_said(before: CheckVerdict) -> None:
    rows = [raced(BLOCKS, false_deadlocks=2), raced(HOLDS, "flock", lock="flock", false_deadlocks=3)]
    found = judge_by_stress(rule(NONE_MADE_UP, "deadlock", before), rows)
    assert (found.verdict, found.guarantee, found.expected, found.calls) == ("unsafe", "deadlock", "no EDEADLK", [])
    assert found.observed == "stress: 5 requests answered with EDEADLK where there was no cycle"


@pytest.mark.parametrize("rows", [[], [SAFE, UNSAFE, UNKNOWN]])
def test_without_any_it_is_what_its_programs_said(rows: list[StressResult]) -> None:
    broken = rule(NONE_MADE_UP, "deadlock", "unsafe", observed="EDEADLK")
    assert judge_by_stress(DEADLOCK, rows) == DEADLOCK
    assert judge_by_stress(broken, rows) == broken
