from __future__ import annotations

from collections.abc import Mapping
from ctypes import Structure, c_uint64
from typing import Any, ClassVar

import pytest

from lab import EVERY_LOCK, Outcome, Scenario
from lab.memory import BACKINGS


class Memory(Structure):
    _fields_ = [("value", c_uint64)]


@pytest.mark.parametrize(
    ("expects", "lock", "verdict"),
    [
        ({"none": "damaged"}, "none", "damaged"),
        ({"none": "damaged"}, "fcntl", "clean"),
        ({EVERY_LOCK: "damaged"}, "flock", "damaged"),
        ({EVERY_LOCK: "damaged", "ofd": "timeout"}, "ofd", "timeout"),
        ({EVERY_LOCK: "damaged", "ofd": "clean"}, "ofd", "clean"),
        ({}, "none", "clean"),
    ],
)
def test_the_verdict_to_expect_is_that_of_the_lock_or_of_every_lock_or_clean(
    expects: dict[str, str], lock: str, verdict: str
) -> None:
    class Mine(Scenario):
        pass

    Mine.expects = expects
    assert Mine().expected(lock) == verdict


@pytest.mark.parametrize(
    ("attributes", "verdict"),
    [
        ({}, "damaged"),
        ({"unshared": "clean"}, "clean"),
        ({"by_name": True}, "clean"),
        ({"expects": {EVERY_LOCK: "timeout"}}, "timeout"),
        ({"expects": {EVERY_LOCK: "damaged"}, "unshared": "clean"}, "clean"),
    ],
)
def test_where_stores_are_not_shared_damage_is_expected_unless_the_scenario_says_otherwise(
    attributes: dict[str, Any], verdict: str
) -> None:
    mine = type("Mine", (Scenario,), attributes)()
    assert mine.expected("fcntl", "private") == verdict
    assert type("Private", (type(mine),), {"backing": "private"})().expected("fcntl") == verdict


def test_in_every_backing_that_shares_the_same_is_expected() -> None:
    told = [Scenario().expected("fcntl", name) for name, backing in BACKINGS.items() if backing.shares]
    assert set(told) == {"clean"}


def test_a_scenario_that_says_nothing_expects_damage_without_a_lock_only() -> None:
    assert (Scenario().expected("none"), Scenario().expected("fcntl")) == ("damaged", "clean")


def test_the_layout_is_the_scenarios_memory_whatever_the_workers() -> None:
    class Mine(Scenario):
        Memory = Memory

    assert Mine().layout(2, 10) is Mine().layout(8, 10_000) is Memory


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda mine: mine.work(None), "Mine does no work; define work"),
        (lambda mine: mine.check(None, Outcome(0, [])), "Mine checks nothing; define check"),
    ],
)
def test_what_a_scenario_must_define_is_named(call: Any, said: str) -> None:
    class Mine(Scenario):
        expects: ClassVar[Mapping[str, str]] = {}

    with pytest.raises(NotImplementedError, match=said):
        call(Mine())


def test_an_outcome_counts_its_workers() -> None:
    assert Outcome(rounds=30, by_worker=[10, 20, 0]).workers == 3
