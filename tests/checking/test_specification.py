"""The rules one after the other, and when those are given up that would only hang again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lab.checking.language import Call
from lab.checking.runner import HANGS_AT_MOST, STUCK_AT_MOST, Rule, hung, judge_all
from lab.records import RuleResult, Stuck
from tests.report.checked_records import rule as judged

QUIET = "A: open f; A: F_SETLK f write 0 1"
WAITS = "A: open f; B: open f; A: F_SETLK f write 0 1; B: F_SETLKW f write 0 1 = waits; B: returns = ok"
LATER = "A: open f; B: last flock f exclusive wait"
HANGS = {"B: F_SETLKW f write 0 1": "waits", "B: returns": "waits"}
UNWOKEN = {**HANGS, "SPARE: F_SETLK f write 0 1": "granted"}
SILENT = {"B: F_SETLKW f write 0 1": "no answer in 2 s, asleep in request_wait_answer"}


class ScriptedActorPool:
    """Answers all calls with ok but those in the script, and has a process stuck after each program that says so."""

    def __init__(self, script: dict[str, str] | None = None, sticking: str = "nothing") -> None:
        self.stuck: list[Stuck] = []
        self.made: list[str] = []
        self._script = script or {}
        self._sticking = sticking

    @contextmanager
    def stage(self) -> Iterator[ScriptedActorPool]:
        before = len(self.made)
        yield self
        if self._sticking in self.made[before:]:
            self.stuck.append(Stuck(len(self.made), "request_wait_answer"))

    def know_handoffs(self) -> None:
        """Locks are handed over at once."""

    def perform(self, call: Call, expected: Sequence[str]) -> str:
        self.made.append(str(call))
        return self._script.get(str(call), "ok")


def rules(*programs: str) -> list[Rule]:
    return [Rule(number, "It holds.", "a manual", "posix", (each,)) for number, each in enumerate(programs, start=1)]


def results(actor_pool: ScriptedActorPool, *programs: str) -> list[RuleResult]:
    return list(judge_all(rules(*programs), actor_pool, lambda _: None))  # type: ignore[arg-type]


def tried(found: list[RuleResult]) -> list[bool]:
    return [not each.observed.startswith("not tried: ") for each in found]


def test_every_rule_is_told_and_judged_in_the_order_given() -> None:
    told: list[str] = []
    found = judge_all(rules(QUIET, LATER)[::-1], ScriptedActorPool(), told.append)  # type: ignore[arg-type]
    assert [(each.number, each.verdict) for each in found] == [(2, "safe"), (1, "safe")]
    assert told == ["rule 2", "rule 1"]


def test_a_result_is_there_before_the_next_rule_begins() -> None:
    actor_pool, told = ScriptedActorPool(), list[str]()
    found = judge_all(rules(QUIET, QUIET), actor_pool, told.append)  # type: ignore[arg-type]
    next(found)
    assert (told, len(actor_pool.made)) == (["rule 1"], 2)


def test_after_some_hangs_the_rules_of_this_guarantee_in_which_anybody_waits_are_given_up_and_no_others() -> None:
    asked = [*rules(*[WAITS] * (HANGS_AT_MOST + 1), QUIET, LATER), replace(rules(WAITS)[0], guarantee="flock")]
    found = list(judge_all(asked, ScriptedActorPool(HANGS), lambda _: None))  # type: ignore[arg-type]
    assert tried(found) == [*[True] * HANGS_AT_MOST, False, True, False, True]
    assert [each.verdict for each in found] == [*["unsafe"] * HANGS_AT_MOST, "unknown", "safe", "unknown", "unsafe"]
    assert found[-2].observed == f"not tried: {HANGS_AT_MOST} calls hung before"


def test_one_hang_less_and_all_are_tried() -> None:
    answers = {**HANGS, "B: last flock f exclusive wait": "granted"}
    assert all(tried(results(ScriptedActorPool(answers), *[WAITS] * (HANGS_AT_MOST - 1), LATER)))


def test_a_waiter_who_is_not_given_a_free_lock_speaks_against_waking_and_not_against_the_lock() -> None:
    [own, other] = results(ScriptedActorPool(UNWOKEN), WAITS)
    assert (own.guarantee, own.verdict) == ("posix", "safe")
    assert (other.guarantee, other.verdict, other.observed) == ("blocking", "unsafe", "waits")
    [own, _] = results(ScriptedActorPool(UNWOKEN), f"{WAITS}; B: F_SETLK f unlock 0 1")
    assert (own.guarantee, own.verdict, own.observed) == ("posix", "unknown", "not tried: who waits is not woken")


def test_once_it_is_known_that_nobody_is_woken_only_the_programs_of_that_lock_are_left_out_in_which_anybody_waits() -> (
    None
):
    flocks = "A: open f; B: open f; A: flock f exclusive; B: flock f exclusive wait = ok"
    both = Rule(9, "It holds.", "a manual", "ownership", (WAITS, QUIET, flocks))
    actor_pool = ScriptedActorPool(UNWOKEN)
    asked = [*rules(*[WAITS] * HANGS_AT_MOST), both]
    found = [each for each in judge_all(asked, actor_pool, lambda _: None) if each.number == 9]  # type: ignore[arg-type]
    assert [(each.guarantee, each.verdict) for each in found] == [("ownership", "safe")]
    assert (actor_pool.made.count("B: F_SETLKW f write 0 1"), actor_pool.made[-1]) == (
        HANGS_AT_MOST,
        "B: flock f exclusive wait",
    )


def test_a_request_that_is_not_answered_is_told_of_waking_and_leaves_its_own_guarantee_unknown() -> None:
    found = results(ScriptedActorPool(SILENT), WAITS)
    assert [(each.guarantee, each.verdict) for each in found] == [("posix", "unknown"), ("blocking", "unsafe")]
    assert found[0].observed == "not tried: a request was not answered"


def test_rules_that_fail_without_a_hang_are_none() -> None:
    actor_pool = ScriptedActorPool({"A: F_SETLK f write 0 1": "EIO"})
    assert all(tried(results(actor_pool, *[WAITS] * (HANGS_AT_MOST + 1))))


def test_a_lock_that_left_processes_stuck_is_asked_for_no_more_and_the_others_are() -> None:
    actor_pool = ScriptedActorPool(sticking="A: F_SETLK f write 0 1")
    found = results(actor_pool, *[QUIET] * (STUCK_AT_MOST + 1), "A: flock f shared", "A: open f")
    assert tried(found) == [*[True] * STUCK_AT_MOST, False, True, True]
    reason = f"{STUCK_AT_MOST} processes were left stuck by requests for POSIX locks before"
    assert found[STUCK_AT_MOST].observed == f"not tried: {reason}"


def test_one_stuck_process_less_and_all_are_tried() -> None:
    actor_pool = ScriptedActorPool(sticking="A: F_SETLK f write 0 1")
    assert all(tried(results(actor_pool, *[QUIET] * STUCK_AT_MOST, "A: open f")))


@pytest.mark.parametrize(
    ("last", "hangs"),
    [
        ("B: F_SETLKW f write 0 1 = no answer in 2 s", True),
        ("B: returns = waits", True),
        ("B: F_SETLKW f write 0 1 = waits", False),
        ("B: waits = does not wait", False),
        ("B: F_SETLK f write 0 1 = granted", False),
    ],
)
def test_a_call_hangs_that_is_not_answered_or_a_waiter_whom_nobody_wakes(last: str, hangs: bool) -> None:
    assert hung(judged(39, "blocking", "unsafe", calls=["A: open f = no answer in 2 s", "A: close f = ok", last])) == (
        hangs
    )


def test_a_rule_that_holds_has_no_hang() -> None:
    assert not hung(judged(39, "blocking"))
