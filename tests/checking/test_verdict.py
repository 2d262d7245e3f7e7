"""Every verdict beside the finding that would have made it another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.checking.request import Request, request_for
from lab.checking.verdict.evidence import NOT_REACHED
from lab.checking.verdict.judge import Findings, exit_code, judge, with_stress
from lab.records import CheckVerdict, Guarantee, RuleResult, StressResult, Stuck
from tests.report.checked_records import STUCK, case, difference, guarantee, programs, race, rule

ALONE = {
    name: Request((name,), parts, frozenset())
    for name, parts in {"posix": ("rules", "stress"), "deadlock": ("rules",), "death": ("rules",)}.items()
}
RULED = request_for(["posix", "rules"])
DRAWN = request_for(["posix", "random"])
LOCKED = request_for(["posix", "stress"])
READ = request_for(["pread", "stress"])
MAPPED = request_for(["mapping", "stress"])
NEIGHBOURS = request_for(["neighbours", "stress"])


def only(request: Request, **found: Any) -> Guarantee:
    """The one guarantee that was asked for."""
    (made,) = judge(request, Findings(**found))
    return made


HOLDS, BROKEN, UNTRIED = rule(18, "posix"), rule(19, "posix", "unsafe"), rule(18, "posix", "unknown")
REFUSED = rule(18, "posix", "unsupported", observed="ENOSYS")
OF_ANOTHER = rule(37, "ownership", "unsafe", observed="EAGAIN", expected="success")
LEFT_OPEN = rule(47, "posix", "unsafe", guaranteed=False, reason="POSIX leaves it open")
CUT = rule(38, "posix", "unknown", observed="cut short: A: unlink f is not supported here (ENOSYS)")
LOST = rule(38, "posix", "unknown", observed="inconclusive: A: open f came to ESTALE, and asks for no lock")
BROKE, NO_SYSCALL = (
    "rule 19: expected EAGAIN, observed granted",
    "rule 18 (not supported): expected EAGAIN, observed ENOSYS",
)
NOT_TRIED = "rule 18: not tried: 3 calls hung before"
DIFFERED = "random program: B: F_SETLK f write 0 1 = granted; expected EAGAIN, observed granted"

BY_RULES_AND_PROGRAMS: dict[str, tuple[Request, dict[str, Any], CheckVerdict, list[str]]] = {
    "all rules hold": (RULED, {"rules": [HOLDS, HOLDS]}, "safe", []),
    "one fails, and is told first": (RULED, {"rules": [UNTRIED, BROKEN]}, "unsafe", [BROKE, NOT_TRIED]),
    "one of another guarantee fails": (RULED, {"rules": [HOLDS, OF_ANOTHER]}, "safe", []),
    "one fails that Linux does not guarantee": (RULED, {"rules": [HOLDS, LEFT_OPEN]}, "safe", []),
    "a loud refusal": (RULED, {"rules": [REFUSED, HOLDS]}, "unsupported", [NO_SYSCALL]),
    "broken outweighs refused": (RULED, {"rules": [REFUSED, BROKEN]}, "unsafe", [BROKE, NO_SYSCALL]),
    "one was not tried": (RULED, {"rules": [UNTRIED, HOLDS]}, "unknown", [NOT_TRIED]),
    "one lacked another call": (RULED, {"rules": [HOLDS, CUT]}, "safe", [f"rule 38: {CUT.observed}"]),
    "the only one lacked it": (RULED, {"rules": [CUT]}, "unknown", [f"rule 38: {CUT.observed}"]),
    "one is inconclusive": (RULED, {"rules": [HOLDS, LOST]}, "unknown", [f"rule 38: {LOST.observed}"]),
    "a part said nothing": (ALONE["posix"], {"rules": [HOLDS]}, "unknown", ["stress: nothing was tried"]),
    "both parts said something": (ALONE["posix"], {"rules": [HOLDS], "stress": [race("posix")]}, "safe", []),
    "no part can judge it": (request_for(["mapping", "random"]), {"random": programs()}, "unknown",
        ["not judged by what was run: random"]),
    "data, by rules alone": (request_for(["mapping"]), {"rules": [rule(60, "mapping")]}, "unknown",
        ["stress: nothing was tried"]),
    "random programs agree": (DRAWN, {"random": programs()}, "safe", []),
    "one differs in another lock": (DRAWN, {"random": programs(difference("flock"))}, "safe", []),
    "one differs in this lock": (DRAWN, {"random": programs(difference("posix"))}, "unsafe", [DIFFERED]),
    "none was performed": (DRAWN, {"random": programs(number=0)}, "unknown", ["random: nothing was tried"]),
    "interrupted": (RULED, {"rules": [HOLDS], "missing": NOT_REACHED}, "unknown", [NOT_REACHED]),
    "interrupted, and broken": (RULED, {"rules": [BROKEN], "missing": NOT_REACHED}, "unsafe", [BROKE]),
    "several parts were not reached": (request_for(["posix"]), {"rules": [HOLDS], "missing": NOT_REACHED},
        "unknown", [NOT_REACHED]),
    "several parts said nothing": (request_for(["posix"]), {"rules": [HOLDS]}, "unknown",
        ["random: nothing was tried", "stress: nothing was tried"]),
}  # fmt: skip


@pytest.mark.parametrize("about", BY_RULES_AND_PROGRAMS)
def test_rules_and_random_programs_make_a_verdict_with_its_evidence(about: str) -> None:
    request, found, verdict, evidence = BY_RULES_AND_PROGRAMS[about]
    made = only(request, **found)
    assert (made.verdict, made.evidence) == (verdict, evidence)


def test_a_guarantee_has_its_name_and_the_strength_of_its_rules() -> None:
    made = only(RULED, rules=[HOLDS, rule(19, "posix")])
    assert (made.name, made.strength) == ("posix", "2 rules")
    assert only(RULED, rules=[HOLDS, BROKEN]).strength == "2 rules, 1 broken"


LET_IN = [
    "A: open f = ok",
    "A: F_SETLK f write 0 10 = granted",
    "A: F_OFD_SETLK f write 20 1 = granted",
    "A: flock f exclusive = granted",
    "A: close f = ok",
    "A: open f as g = ok",
]
"""A holds nothing any more, but that is the rule's to know."""


@pytest.mark.parametrize(
    ("calls", "against"),
    [
        ([*LET_IN, "B: F_SETLK f write 0 1 = granted"], {"posix"}),
        ([*LET_IN, "B: F_SETLKW f write 0 1 = waits", "B: waits = granted"], {"posix"}),
        ([*LET_IN, "B: F_OFD_SETLK f write 0 1 = granted"], {"ofd"}),
        ([*LET_IN, "B: flock f shared = granted"], {"flock"}),
        ([*LET_IN[:2], "B: flock f shared = granted"], set()),
        ([LET_IN[0], "A: F_SETLK f unlock 0 1 = granted", "B: F_SETLK f write 0 1 = granted"], set()),
    ],
)
def test_a_lock_that_is_granted_twice_is_unsafe_whatever_the_rule_is_about(calls: list[str], against: set[str]) -> None:
    found = rule(37, "ownership", "unsafe", expected="EAGAIN or EACCES", calls=calls)
    request = request_for(["exclusion", "ownership", "rules"])
    whole = [*(rule(18, name) for name in ("posix", "ofd", "flock")), found]
    made = {each.name: each for each in judge(request, Findings(rules=whole))}
    assert {name for name, each in made.items() if each.verdict == "unsafe"} == {"ownership", *against}
    assert all(made[name].evidence == made["ownership"].evidence for name in against)


@pytest.mark.parametrize(
    ("wanted", "found", "limit", "said"),
    [
        (LOCKED, {"stress": [race("posix")]}, 0.0295, "100 contended requests, which detects 1 in 33; --detects 0.001 "
         "takes 2,995 contended requests: give about --seconds 288,"),
        (LOCKED, {"stress": [race("posix", raced=case(met=2995))]}, 0.001, ""),
        (LOCKED, {"stress": [race("posix", polled=True, raced=case(met=0, refused_requests=2995))]}, 0.001, ""),
        (RULED, {"rules": [HOLDS]}, None, "nothing was raced, and --detects 0.001 takes 2,995 contended"),
        (MAPPED, {"stress": [race("mapping", "mapped", case(met=0))]}, None, "no contended request in any race, and"),
        (NEIGHBOURS, {"stress": [race("neighbours", raced=case(met=0))]}, 0.00299,
         "1,000 rounds, which detects 1 in 330; --detects 0.001 takes 2,995 rounds: give about --seconds 29,"),
        (ALONE["deadlock"], {"rules": [rule(30, "deadlock")]}, None, ""),
    ],
)  # fmt: skip
def test_a_strength_is_asked_of_what_races_judge(
    wanted: Request, found: dict[str, Any], limit: float | None, said: str
) -> None:
    made = only(wanted, **found, detects=1e-3, seconds=8.0)
    assert made.verdict == ("unknown" if said else "safe")
    assert made.evidence == [] if not said else made.evidence[0].startswith(f"inconclusive: {said}")
    assert made.detection_limit == (None if limit is None else pytest.approx(limit, rel=0.01))
    assert only(wanted, **found).verdict == "safe"


def test_what_is_broken_stays_broken_however_weak() -> None:
    assert only(LOCKED, stress=[race("posix", raced=case(overlaps=1))], detects=1e-3).verdict == "unsafe"


# What races say

PLAIN, LET_TWO_IN = race("posix"), race("posix", raced=case(overlaps=7))
APART = race("posix", "stream", case(lost=500))
AT_WORK = "worker 0 still at work after 2 s"
HUNG = case(operations=0, verdict="timeout", reason=AT_WORK)
NO_MAPPING = case(operations=0, verdict="unsupported", reason="mapping refused (ENODEV)")
UNMAPPED = race("neighbours", "mapped", NO_MAPPING, verdict="unsupported")
LIMIT, NONE_LOST = "detects 1 in 33", "0 of 1,000 damaged, 100 contended"
LOST_HALF, LOST_ONE = "lost update in 500 of 1,000 (50.0 %)", "lost update in 1 of 1,000 (0.10 %)"
REFUSED_MAPPING = "counter under fcntl, mapped: mapping refused (ENODEV)"


def mapped(**how: Any) -> StressResult:
    """A race for the mapping."""
    return race("mapping", "mapped", case(**how))


def overlapped(backing: str, pairs: str) -> str:
    return f"counter under fcntl, {backing}: {pairs} of holds overlapped that may not, 100 requests met a holder"


BY_RACES: dict[str, tuple[Request, list[StressResult], CheckVerdict, str, list[str]]] = {
    "the lock held": (LOCKED, [PLAIN], "safe", LIMIT, []),
    "the more met a holder, the more it shows": (LOCKED, [PLAIN, race("posix", raced=case(met=19_900))], "safe",
        "detects 1 in 6,600", []),
    "requests that do not wait were refused": (LOCKED,
        [race("posix", raced=case(met=0, refused_requests=300), polled=True)], "safe", "detects 1 in 100", []),
    "nobody waited": (LOCKED, [race("posix", raced=case(met=0))], "unknown", "0 contended",
        ["stress: no request met a holder, which shows nothing; raise --seconds or --workers"]),
    "holds overlapped": (LOCKED, [LET_TWO_IN], "unsafe", "7 overlaps, 100 contended",
        [overlapped("stream", "7 pairs")]),
    "they did in a race for the data": (LOCKED, [PLAIN, mapped(overlaps=1)], "unsafe", LIMIT,
        [overlapped("mapped", "1 pair")]),
    "they did under another lock": (LOCKED, [PLAIN, mapped(lock="ofd", overlaps=1)], "safe", LIMIT, []),
    "data broke while holds were apart": (LOCKED, [APART], "safe", LIMIT,
        [f"counter under fcntl, stream: {LOST_HALF}, though no two held the lock: it is the data that is not shared"]),
    "which is the failure of the access": (READ, [race("pread"), APART], "unsafe", NONE_LOST,
        [f"counter under fcntl, stream: {LOST_HALF}"]),
    "the access did not fail": (READ, [race("pread")], "safe", NONE_LOST, []),
    "data broke while holds were not recorded": (LOCKED, [race("posix", raced=case(lost=500, unrecorded_holds=3))],
        "unsafe", LIMIT, [f"counter under fcntl, stream: {LOST_HALF}"]),
    "data broke while no hold was": (LOCKED, [race("posix", raced=case(lost=500, holds=0))], "unsafe", LIMIT,
        [f"counter under fcntl, stream: {LOST_HALF}"]),
    "the mapping kept the data": (MAPPED, [mapped()], "safe", NONE_LOST, []),
    "it did under flock alone": (MAPPED, [mapped(lock="flock")] * 2, "safe",
        "0 of 2,000 damaged under flock, 200 contended", []),
    "it did under flock too": (MAPPED, [mapped(), *[mapped(lock="flock")] * 2], "safe",
        "0 of 3,000 damaged under fcntl and flock, 300 contended", []),
    "the mapping lost some": (MAPPED, [mapped(), mapped(lost=500)], "unsafe",
        "500 of 2,000 damaged, 200 contended", [f"counter under fcntl, mapped: {LOST_HALF}"]),
    "its lock let two in": (MAPPED, [mapped(overlaps=2)], "unsafe", NONE_LOST, [overlapped("mapped", "2 pairs")]),
    "its lock let two in elsewhere": (MAPPED, [LET_TWO_IN, mapped()], "unsafe", NONE_LOST,
        ["raced under fcntl, which two processes held at once"]),
    "its lock let nobody in elsewhere": (MAPPED, [PLAIN, mapped()], "safe", NONE_LOST, []),
    "a race hung without a word": (MAPPED, [race("mapping", "mapped", HUNG), mapped()], "unknown", NONE_LOST,
        [f"counter under fcntl, mapped: {AT_WORK}"]),
    "it hung after one was lost": (MAPPED, [mapped(lost=1, verdict="timeout", reason=AT_WORK)], "unsafe",
        "1 of 1,000 damaged, 100 contended", [f"counter under fcntl, mapped: {LOST_ONE}"]),
    "it hung after two were in": (MAPPED, [mapped(overlaps=1, verdict="timeout", reason=AT_WORK)], "unsafe",
        NONE_LOST, [overlapped("mapped", "1 pair")]),
    "a mapping is refused": (MAPPED, [race("mapping", "mapped", NO_MAPPING, verdict="unsupported")], "unsupported", "",
        [REFUSED_MAPPING]),
    "that of neighbours is": (NEIGHBOURS, [race("neighbours"), UNMAPPED], "safe", NONE_LOST,
        [f"not by mapping: {REFUSED_MAPPING}"]),
    "and their other access loses one": (NEIGHBOURS, [race("neighbours", "stream", case(lost=1)), UNMAPPED], "unsafe",
        "1 of 1,000 damaged, 100 contended",
        [f"counter under fcntl, stream: {LOST_ONE}", f"not by mapping: {REFUSED_MAPPING}"]),
}  # fmt: skip


@pytest.mark.parametrize("about", BY_RACES)
def test_races_make_a_verdict_with_its_strength_and_evidence(about: str) -> None:
    request, rows, verdict, strength, evidence = BY_RACES[about]
    made = only(request, stress=rows)
    assert (made.verdict, made.strength, made.evidence) == (verdict, strength, evidence)


def test_a_deadlock_that_is_made_up_under_load_makes_its_guarantee_unsafe() -> None:
    quiet = only(ALONE["deadlock"], rules=[rule(44, "deadlock")], stress=[race("posix")])
    assert quiet.verdict == "safe"
    made = only(ALONE["deadlock"], rules=[rule(44, "deadlock")], stress=[race("posix", raced=case(false_deadlocks=5))])
    assert made.verdict == "unsafe"
    assert made.evidence == ["stress: 5 requests answered with EDEADLK where there was no cycle"]


# Processes that outlive SIGKILL

DIED = rule(35, "death")
ASKED = rule(
    35, "ranges", "unsafe", expected="success", observed="no answer in 2 s",
    calls=["A: open f = ok", "A: F_SETLK f write 0 1 = no answer in 2 s"],
)  # fmt: skip
"""One who hangs in asking for its first lock."""

AFTER_A_GRANT = replace(ASKED, calls=["B: F_SETLK f write 8 1 = granted", *ASKED.calls])
UNTRIED_DEATH = rule(69, "death", "unknown", observed="not tried: 3 processes were left stuck in the kernel before")
KEEPS = "a process did not end on SIGKILL: it hangs in fuse_wait_answer, and keeps its locks"


@pytest.mark.parametrize(
    ("rules", "stuck", "raced", "verdict", "said"),
    [
        ([DIED], [], [], "safe", None),
        ([DIED], [STUCK], [], "unsafe", KEEPS),
        ([DIED], [STUCK, Stuck(2, STUCK.where), Stuck(3, "do_wait")], [], "unsafe",
         "3 processes did not end on SIGKILL: they hang in fuse_wait_answer, do_wait, and keep their locks"),
        ([ASKED, UNTRIED_DEATH], [STUCK], [], "unknown",
         "a process did not end on SIGKILL: it hangs in fuse_wait_answer; no lock was granted before that one could "
         "outlive"),
        ([AFTER_A_GRANT], [STUCK], [], "unsafe", KEEPS),
        ([ASKED], [STUCK], [race("posix")], "unsafe", KEEPS),
    ],
    ids=["none", "one", "several", "before any lock", "after a lock", "after a race"],
)  # fmt: skip
def test_a_process_that_outlives_sigkill_keeps_its_locks_if_it_was_granted_any(
    rules: list[RuleResult], stuck: list[Stuck], raced: list[StressResult], verdict: CheckVerdict, said: str | None
) -> None:
    made = only(ALONE["death"], rules=rules, stuck=stuck, stress=raced)
    assert (made.verdict, made.evidence[:1]) == (verdict, [said] if said else [])


def test_what_was_not_tried_is_told_after_that_for_which_it_was_not() -> None:
    hung = race("posix", raced=case(operations=0, verdict="timeout", reason="a worker hangs"))
    assert only(request_for(["posix"]), rules=[UNTRIED], stress=[hung], stuck=[STUCK]).evidence == [
        "counter under fcntl, stream: a worker hangs", NOT_TRIED, "random: nothing was tried"
    ]  # fmt: skip


CODES: list[tuple[int, dict[str, CheckVerdict], list[str]]] = [
    (0, {"posix": "safe", "mapping": "safe"}, []),
    (1, {"posix": "safe", "mapping": "unsafe"}, []),
    (1, {"posix": "unknown", "mapping": "unsafe"}, []),
    (3, {"posix": "safe", "mapping": "unknown"}, []),
    (0, {"posix": "safe", "mapping": "unsupported"}, []),
    (0, {"posix": "safe", "mapping": "unsupported"}, ["posix", "data"]),
    (3, {"posix": "safe", "mapping": "unsupported"}, ["posix", "mapping"]),
    (3, {"posix": "safe", "ofd": "unsupported"}, []),
    (0, {"posix": "safe", "deadlock": "unsupported"}, []),
    (3, {"deadlock": "unsupported", "mapping": "unsupported"}, []),
    (3, {}, []),
]


@pytest.mark.parametrize(("code", "verdicts", "words"), CODES)
def test_the_exit_code_is_that_of_the_worst_that_was_asked(
    code: int, verdicts: dict[str, CheckVerdict], words: list[str]
) -> None:
    guarantees = [guarantee(name, verdict) for name, verdict in verdicts.items()]
    assert exit_code(request_for(words), guarantees) == code


def test_all_guarantees_asked_are_judged_in_their_order() -> None:
    request = request_for([])
    assert [each.name for each in judge(request, Findings())] == list(request.guarantees)
    assert {each.verdict for each in judge(request, Findings())} == {"unknown"}


def test_a_rule_that_is_left_to_the_stress_is_judged_by_its_races_or_counts_for_nothing() -> None:
    left, holds = (rule(number, "posix", "unknown", observed="not tried: left to the stress") for number in (61, 67))
    judged = with_stress([left, HOLDS, holds], [race("mapping", "mapped", case(lost=500))])
    assert [each.verdict for each in judged] == ["unsafe", "safe", "safe"]
    assert only(RULED, rules=[HOLDS, holds]).verdict == "safe"
