"""What the calls of a rule that failed show, and what is therefore advised or not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from lab.checking import runner
from lab.records import CheckVerdict, Failure, RuleResult
from tests.checking.advised import ALL_EXCLUDE, HELD, OUTLIVED, TOO_WIDE, UNWOKEN, check_advice, given, said
from tests.report.checked_records import STUCK, case, race, rule

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


NO_ANSWER = rule(
    1,
    "ranges",
    "unsafe",
    expected="success",
    observed="no answer in 2 s, asleep in request_wait_answer",
    calls=[*HELD[:2], "A: F_SETLK f write 10 5 = no answer in 2 s, asleep in request_wait_answer"],
)
OPENED = replace(NO_ANSWER, calls=["A: open f = no answer in 2 s, asleep in request_wait_answer"])
LET_IN = rule(41, "blocking", "unsafe", expected="waits", observed="granted")
HUNG_RANGE = replace(LET_IN, guarantee="ranges", expected="granted", observed=NO_ANSWER.observed)
ALONE = Failure(0, 2, 0, "late", "asked for the lock flock", pid=4711, where="request_wait_answer")
HUNG = case("flock", operations=0, verdict="timeout")
IN_A_RACE = race("flock", raced=replace(HUNG, trials=1, failures=[ALONE]))
NOT_AGAIN = race("flock", raced=replace(HUNG, trials=0, reason="not tried again"))
ASLEEP, OUTLIVES, CLOSED = "not always woken", "outlive", "descriptor is closed"


def waiting(ends: str, expected: str) -> RuleResult:
    """One who waits until the holder of an OFD lock ends so, and does not come back."""
    calls = ["A: F_OFD_SETLK f write 0 1 = granted", "B: F_OFD_SETLKW f write 0 1 = waits", f"A: {ends} = ok"]
    return rule(50, "blocking", "unsafe", expected=expected, observed="waits", calls=[*calls, "B: returns = waits"])


def of(*rules: RuleResult, **found: Any) -> partial[str]:
    """A situation in which these rules were broken, and all locks exclude."""
    return given(rules=rules, **ALL_EXCLUDE, **found)


NOTHING_KEPT: dict[str, CheckVerdict] = {"blocking": "unsafe", "death": "unsafe", "ranges": "unsafe"}
KILLED = replace(FALSE_DEADLOCK, guarantee="death", calls=["A: killed = ok", *FALSE_DEADLOCK.calls])
OTHER_OWNER = replace(MISREPORTED, observed="write 0 10 by C")

SEEN: dict[str, tuple[partial[str], list[str], list[str]]] = {
    "one who waits is not woken": (of(UNWOKEN, blocking="unsafe"), ["ask without waiting"], []),
    "a lock outlives its owner": (of(OUTLIVED, death="unsafe"), ["may outlive its owner"], []),
    "a process is stuck": (of(stuck=[STUCK], death="unsafe"), ["may outlive its owner"], []),
    "that keeps no lock": (of(stuck=[STUCK], death="unknown"), [], ["may outlive its owner"]),
    "deadlocks are false": (of(FALSE_DEADLOCK, KILLED, **NOTHING_KEPT), [], ["woken", OUTLIVES]),
    "another range is told, another let in": (of(MISREPORTED, LET_IN, **NOTHING_KEPT), [], ["woken", OUTLIVES]),
    "locks are wider than asked for": (of(TOO_WIDE, UNWOKEN, OUTLIVED, **NOTHING_KEPT), [], ["woken", OUTLIVES]),
    "nothing was seen": (of(**NOTHING_KEPT), [], ["woken", OUTLIVES]),
    "one waits for a holder who was killed": (of(OUTLIVED, blocking="unsafe", death="unsafe"), [], ["woken"]),
    **{f"another got the lock at once: {ends}": (of(waiting(ends, f"success{runner.UNWOKEN}"), blocking="unsafe"),
        [ASLEEP], [OUTLIVES, CLOSED]) for ends in ("close g", "exit", "killed")},
    **{f"nobody got it: {ends}": (of(waiting(ends, "success"), blocking="unsafe"), [CLOSED], [])
        for ends in ("close g", "exit", "killed")},
    "requests are not answered": (given("fuse", rules=[NO_ANSWER], stress=[IN_A_RACE], ranges="unsafe"),
        ["Requests for POSIX locks are not answered"], []),
    "a race hung": (given(stress=[IN_A_RACE], flock="unknown"), [], ["not answered"]),
    "a race was not tried again": (given(stress=[NOT_AGAIN], flock="unknown"), [], ["not answered"]),
    "a call that asks for no lock is not answered": (given(rules=[OPENED], ranges="unsafe"), [], ["not answered"]),
    "ranges fail by a hang": (given(rules=[HUNG_RANGE], ranges="unsafe"), [], ["whole file"]),
    "and by more": (given(rules=[HUNG_RANGE, rule(3, "ranges", "unsafe")], ranges="unsafe"), ["whole file"], []),
    **{f"another {about} is told: {name}": (of(replace(found, guarantee=name), **{name: "unsafe"}),
        [words] if about == "owner" else [], [words] if about == "range" else [])
        for about, found in (("range", MISREPORTED), ("owner", OTHER_OWNER))
        for name, words in (("modes", "Wrong requests"), ("ownership", "follow their owner"))},
}  # fmt: skip


@pytest.mark.parametrize("about", SEEN)
def test_what_was_seen_is_advised_about_and_nothing_else(about: str) -> None:
    check_advice(*SEEN[about])


@pytest.mark.parametrize("found", [UNWOKEN, OUTLIVED, FALSE_DEADLOCK], ids=["unwoken", "outlived", "deadlock"])
def test_a_rule_that_linux_does_not_guarantee_is_no_reason_for_advice(found: RuleResult) -> None:
    assert said(rules=[found], **ALL_EXCLUDE) != said(**ALL_EXCLUDE)
    assert said(rules=[replace(found, guaranteed=False)], **ALL_EXCLUDE) == said(**ALL_EXCLUDE)


def test_requests_that_are_not_answered_are_told_first_and_by_their_locks() -> None:
    alone = race("flock", raced=case("flock", operations=0, trials=0, verdict="timeout", failures=[ALONE]))
    told = said("fuse", rules=[NO_ANSWER], stress=[alone], stuck=[STUCK], ranges="unsafe", flock="unknown")
    assert told.startswith(
        "Requests for POSIX locks and flock are not answered here: who makes one hangs though nobody is in the way, "
        "and does not end on SIGKILL. Look whether the server of this mount lives and answers such requests (libfuse: "
    )
    assert "Not all was found out" not in told
    assert "Ranges" not in told
