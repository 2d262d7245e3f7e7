"""What the calls of a rule that failed show, and what is therefore advised or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.check import runner
from lab.records import Failure, RuleResult, StressResult
from tests.check.advised import ALL_EXCLUDE, HELD, OUTLIVED, TOO_WIDE, UNWOKEN, said
from tests.report.checked_records import STUCK, case, race, rule


def test_who_is_not_woken_is_told_to_ask_again() -> None:
    assert "ask without waiting" in said(rules=[UNWOKEN], **ALL_EXCLUDE, blocking="unsafe")


def test_a_lock_that_outlives_its_owner_is_to_be_reckoned_with() -> None:
    assert "may outlive its owner" in said(rules=[OUTLIVED], **ALL_EXCLUDE, death="unsafe")
    assert "may outlive its owner" in said(stuck=[STUCK], **ALL_EXCLUDE, death="unsafe")
    assert "may outlive its owner" not in said(stuck=[STUCK], **ALL_EXCLUDE, death="unknown")


FALSE_DEADLOCK = rule(
    42, "blocking", "unsafe", expected="waits", observed="EDEADLK", calls=[*HELD, "B: F_SETLKW f write 0 10 = EDEADLK"]
)
MISREPORTED = rule(
    70,
    "death",
    "unsafe",
    expected="write 0 10 by A",
    observed="write 0 0 by A",
    calls=[*HELD, "A: stopped = ok", "B: F_GETLK f write 0 0 = write 0 0 by A"],
)


@pytest.mark.parametrize(
    "found",
    [
        [FALSE_DEADLOCK, replace(FALSE_DEADLOCK, guarantee="death", calls=["A: killed = ok", *FALSE_DEADLOCK.calls])],
        [MISREPORTED, rule(41, "blocking", "unsafe", expected="waits", observed="granted")],
        [TOO_WIDE, UNWOKEN, OUTLIVED],
        [],
    ],
    ids=["false deadlocks", "another range told, another let in", "locks wider than asked for", "nothing"],
)
def test_of_waiting_and_dying_nothing_is_said_but_what_was_seen(found: list[RuleResult]) -> None:
    told = said(rules=found, **ALL_EXCLUDE, blocking="unsafe", death="unsafe", ranges="unsafe")
    assert "woken" not in told
    assert "outlive" not in told


def test_a_waiter_of_a_holder_who_was_killed_is_not_said_to_be_left_asleep() -> None:
    assert "woken" not in said(rules=[OUTLIVED], **ALL_EXCLUDE, blocking="unsafe", death="unsafe")


@pytest.mark.parametrize("ends", ["close g", "exit", "killed"])
def test_a_lock_that_another_got_at_once_was_not_left_behind(ends: str) -> None:
    calls = ["A: F_OFD_SETLK f write 0 1 = granted", "B: F_OFD_SETLKW f write 0 1 = waits", f"A: {ends} = ok"]
    asleep = rule(50, "blocking", "unsafe", expected="success", observed="waits", calls=[*calls, "B: returns = waits"])
    free = replace(asleep, expected=f"success{runner.UNWOKEN}")
    told = said(rules=[free], **ALL_EXCLUDE, blocking="unsafe")
    assert "not always woken" in told
    assert "outlive" not in told
    assert "descriptor is closed" not in told
    assert "descriptor is closed" in said(rules=[asleep], **ALL_EXCLUDE, blocking="unsafe")


@pytest.mark.parametrize(("guarantee", "words"), [("modes", "Wrong requests"), ("ownership", "follow their owner")])
def test_another_range_of_the_right_owner_says_nothing_of_modes_and_owners(guarantee: Any, words: str) -> None:
    told = said(rules=[replace(MISREPORTED, guarantee=guarantee)], **ALL_EXCLUDE, **{guarantee: "unsafe"})
    assert words not in told
    other = replace(MISREPORTED, guarantee=guarantee, observed="write 0 10 by C")
    assert words in said(rules=[other], **ALL_EXCLUDE, **{guarantee: "unsafe"})


@pytest.mark.parametrize("found", [UNWOKEN, OUTLIVED, FALSE_DEADLOCK], ids=["unwoken", "outlived", "deadlock"])
def test_a_rule_that_linux_does_not_guarantee_is_no_reason_for_advice(found: RuleResult) -> None:
    assert said(rules=[found], **ALL_EXCLUDE) != said(**ALL_EXCLUDE)
    assert said(rules=[replace(found, guaranteed=False)], **ALL_EXCLUDE) == said(**ALL_EXCLUDE)


NO_ANSWER = rule(
    1,
    "ranges",
    "unsafe",
    expected="success",
    observed="no answer in 2 s, asleep in request_wait_answer",
    calls=[*HELD[:2], "A: F_SETLK f write 10 5 = no answer in 2 s, asleep in request_wait_answer"],
)
ALONE = Failure(0, 2, 0, "late", "asked for the lock flock", pid=4711, where="request_wait_answer")


def test_requests_that_are_not_answered_are_told_first_and_by_their_locks() -> None:
    alone = race("flock", raced=case("flock", operations=0, trials=0, verdict="timeout", failures=[ALONE]))
    told = said("fuse", rules=[NO_ANSWER], stress=[alone], stuck=[STUCK], ranges="unsafe", flock="unknown")
    assert told.startswith(
        "Requests for POSIX locks and flock are not answered here: who makes one hangs though nobody is in the way, "
        "and does not end on SIGKILL. Look whether the server of this mount lives and answers such requests (libfuse: "
    )
    assert "Not all was found out" not in told
    assert "Ranges" not in told


@pytest.mark.parametrize(
    "row",
    [
        race("flock", raced=case("flock", operations=0, trials=1, verdict="timeout", failures=[ALONE])),
        race("flock", raced=case("flock", operations=0, trials=0, verdict="timeout", reason="not tried again")),
    ],
    ids=["hung in a race", "not tried again"],
)
def test_a_race_that_hung_is_no_request_without_an_answer(row: StressResult) -> None:
    assert "not answered" not in said(stress=[row], flock="unknown")


def test_a_call_that_asks_for_no_lock_and_is_not_answered_says_nothing_of_locks() -> None:
    opened = replace(NO_ANSWER, calls=["A: open f = no answer in 2 s, asleep in request_wait_answer"])
    assert "not answered" not in said(rules=[opened], ranges="unsafe")


def test_ranges_that_fail_by_a_hang_are_no_reason_to_lock_the_whole_file() -> None:
    hung = rule(41, "ranges", "unsafe", expected="granted", observed="no answer in 2 s, asleep in request_wait_answer")
    assert "whole file" not in said(rules=[hung], ranges="unsafe")
    assert "whole file" in said(rules=[hung, rule(3, "ranges", "unsafe")], ranges="unsafe")
