"""Every verdict beside the finding that would have made it another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.check.request import Request, request_for
from lab.check.verdict.evidence import NOT_REACHED
from lab.check.verdict.judge import Findings, exit_code, judge, with_stress
from lab.records import Answered, Guarantee, Stuck
from tests.report.checked_records import STUCK, case, difference, guarantee, programs, race, rule

ALONE = {
    name: Request((name,), parts, frozenset())
    for name, parts in {"posix": ("rules", "stress"), "deadlock": ("rules",), "death": ("rules",)}.items()
}
RULED = request_for(["posix", "rules"], 1)
MAPPED = request_for(["mapping", "stress"], 1)


def only(request: Request, **found: object) -> Guarantee:
    """The one guarantee that was asked for."""
    (made,) = judge(request, Findings(**found))  # type: ignore[arg-type]
    return made


def test_a_guarantee_whose_rules_all_hold_is_safe() -> None:
    made = only(RULED, rules=[rule(18, "posix"), rule(19, "posix")])
    assert (made.name, made.verdict, made.strength, made.evidence) == ("posix", "safe", "2 rules", [])


def test_a_rule_that_fails_makes_its_guarantee_unsafe_and_is_told() -> None:
    made = only(RULED, rules=[rule(18, "posix"), rule(19, "posix", "unsafe")])
    assert (made.verdict, made.strength) == ("unsafe", "2 rules, 1 broken")
    assert made.evidence == ["rule 19: expected EAGAIN, observed granted"]


def test_a_rule_that_fails_is_nothing_to_another_guarantee() -> None:
    denied = {"observed": "EAGAIN", "expected": "success"}
    assert only(RULED, rules=[rule(18, "posix"), rule(37, "ownership", "unsafe", **denied)]).verdict == "safe"


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
    request = request_for(["exclusion", "ownership", "rules"], 1)
    whole = [*(rule(18, name) for name in ("posix", "ofd", "flock")), found]
    made = {each.name: each for each in judge(request, Findings(rules=whole))}
    assert {name for name, each in made.items() if each.verdict == "unsafe"} == {"ownership", *against}
    assert all(made[name].evidence == made["ownership"].evidence for name in against)


def test_what_a_rule_cannot_say_for_want_of_another_call_is_told_beside_what_the_others_say() -> None:
    cut = rule(38, "posix", "unknown", observed="cut short: A: unlink f is not supported here (ENOSYS)")
    made = only(RULED, rules=[rule(18, "posix"), cut])
    assert (made.verdict, made.evidence) == ("safe", [f"rule 38: {cut.observed}"])
    assert only(RULED, rules=[cut]).verdict == "unknown"
    lost = rule(38, "posix", "unknown", observed="inconclusive: A: open f came to ESTALE, and asks for no lock")
    assert only(RULED, rules=[rule(18, "posix"), lost]).verdict == "unknown"


def test_a_rule_that_linux_does_not_guarantee_makes_nothing_unsafe() -> None:
    differs = rule(47, "posix", "unsafe", guaranteed=False, reason="POSIX leaves it open")
    assert only(RULED, rules=[rule(18, "posix"), differs]).verdict == "safe"


def test_a_loud_refusal_is_not_supported_and_not_broken() -> None:
    made = only(RULED, rules=[rule(18, "posix", "unsupported", observed="ENOSYS"), rule(19, "posix")])
    assert made.verdict == "unsupported"
    assert made.evidence == ["rule 18 (not supported): expected EAGAIN, observed ENOSYS"]


def test_broken_outweighs_refused() -> None:
    assert only(RULED, rules=[rule(18, "posix", "unsupported"), rule(19, "posix", "unsafe")]).verdict == "unsafe"


def test_a_rule_that_was_not_tried_leaves_its_guarantee_unknown() -> None:
    made = only(RULED, rules=[rule(18, "posix"), rule(19, "posix", "unknown")])
    assert (made.verdict, made.evidence) == ("unknown", ["rule 19: not tried: 3 calls hung before"])


def test_a_part_that_was_asked_for_and_said_nothing_leaves_it_unknown() -> None:
    made = only(ALONE["posix"], rules=[rule(18, "posix")])
    assert (made.verdict, made.evidence) == ("unknown", ["stress: nothing was tried"])
    assert only(ALONE["posix"], rules=[rule(18, "posix")], stress=[race("posix")]).verdict == "safe"


def test_a_part_that_cannot_judge_a_guarantee_leaves_it_unknown() -> None:
    made = only(request_for(["mapping", "random"], 1), random=programs())
    assert (made.verdict, made.evidence) == ("unknown", ["not judged by what was run: random"])


def test_data_is_not_safe_by_rules_alone() -> None:
    assert only(request_for(["mapping"], 1), rules=[rule(60, "mapping")]).verdict == "unknown"


def test_a_random_program_that_differs_makes_its_guarantee_unsafe() -> None:
    request = request_for(["posix", "random"], 1)
    assert only(request, random=programs()).verdict == "safe"
    assert only(request, random=programs(difference("flock"))).verdict == "safe"
    made = only(request, random=programs(difference("posix")))
    assert made.verdict == "unsafe"
    assert made.evidence == ["random program: B: F_SETLK f write 0 1 = granted; expected EAGAIN, observed granted"]


def test_programs_of_which_none_ran_say_nothing() -> None:
    assert only(request_for(["posix", "random"], 1), random=programs(number=0)).verdict == "unknown"


def stressed(*rows: object, request: Request = MAPPED) -> Guarantee:
    return only(request, stress=list(rows))


LOCKED = request_for(["posix", "stress"], 1)


@pytest.mark.parametrize(
    ("wanted", "found", "limit", "said"),
    [
        (LOCKED, {"stress": [race("posix")]}, 0.0295, "100 contended requests, which detects 1 in 33; --detects 0.001 "
         "takes 2,995 contended requests: give about --seconds 288,"),
        (LOCKED, {"stress": [race("posix", raced=case(met=2995))]}, 0.001, ""),
        (LOCKED, {"stress": [race("posix", polled=True, raced=case(met=0, refused_requests=2995))]}, 0.001, ""),
        (RULED, {"rules": [rule(18, "posix")]}, None, "nothing was raced, and --detects 0.001 takes 2,995 contended"),
        (MAPPED, {"stress": [race("mapping", "mapped", case(met=0))]}, None, "no contended request in any race, and"),
        (request_for(["neighbours", "stress"], 1), {"stress": [race("neighbours", raced=case(met=0))]}, 0.00299,
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


def test_holds_that_overlap_make_the_lock_unsafe() -> None:
    assert stressed(race("posix"), request=LOCKED).verdict == "safe"
    made = stressed(race("posix", raced=case(overlaps=7)), request=LOCKED)
    assert made.verdict == "unsafe"
    assert made.evidence == [
        "counter under fcntl, stream: 7 pairs of holds overlapped that may not, 100 requests met a holder"
    ]


def test_holds_that_overlap_in_a_race_for_the_data_make_the_lock_unsafe_too() -> None:
    rows = [race("posix"), race("mapping", "mapped", case(overlaps=1))]
    assert stressed(*rows, request=LOCKED).verdict == "unsafe"
    assert stressed(rows[0], race("mapping", "mapped", case("ofd", overlaps=1)), request=LOCKED).verdict == "safe"


def test_data_that_broke_while_all_holds_were_apart_is_no_failure_of_the_lock_but_of_the_access() -> None:
    apart = race("posix", "stream", case(lost=500))
    made = stressed(apart, request=LOCKED)
    assert made.verdict == "safe"
    assert made.evidence == [
        "counter under fcntl, stream: lost update in 500 of 1,000 (50.0 %), though no two held the lock: it is the "
        "data that is not shared"
    ]
    pread = request_for(["pread", "stress"], 1)
    assert stressed(race("pread"), request=pread).verdict == "safe"
    assert stressed(race("pread"), apart, request=pread).verdict == "unsafe"


@pytest.mark.parametrize("unseen", [{"unrecorded_holds": 3}, {"holds": 0}])
def test_data_that_broke_while_holds_went_unrecorded_is_the_lock_s_failure(unseen: Any) -> None:
    assert stressed(race("posix", raced=case(lost=500, **unseen)), request=LOCKED).verdict == "unsafe"


def test_a_lock_that_nobody_waited_for_is_not_called_safe() -> None:
    made = stressed(race("posix", raced=case(met=0)), request=LOCKED)
    assert made.verdict == "unknown"
    assert "no request met a holder, which shows nothing; raise --seconds or --workers" in made.evidence[0]


def test_requests_that_were_refused_count_where_they_do_not_wait() -> None:
    polled = race("posix", raced=case(met=0, refused_requests=300), polled=True)
    made = stressed(polled, request=LOCKED)
    assert (made.verdict, made.strength) == ("safe", "detects 1 in 100")


def test_the_strength_of_a_lock_is_what_would_have_been_seen_of_a_lie() -> None:
    made = stressed(race("posix"), race("posix", raced=case(met=19_900)), request=LOCKED)
    assert made.strength == "detects 1 in 6,600"


def test_damage_under_the_lock_makes_an_access_unsafe() -> None:
    assert stressed(race("mapping", "mapped")).verdict == "safe"
    made = stressed(race("mapping", "mapped"), race("mapping", "mapped", case(lost=500)))
    assert (made.verdict, made.strength) == ("unsafe", "500 of 2,000 damaged, 200 contended")
    assert made.evidence == ["counter under fcntl, mapped: lost update in 500 of 1,000 (50.0 %)"]


def test_data_that_was_raced_under_another_lock_than_posix_tells_which() -> None:
    under = [race("mapping", "mapped", case(lock)) for lock in ("fcntl", "flock", "flock")]
    assert stressed(*under[1:]).strength == "0 of 2,000 damaged under flock, 200 contended"
    assert stressed(*under).strength == "0 of 3,000 damaged under fcntl and flock, 300 contended"
    assert stressed(under[0]).strength == "0 of 1,000 damaged, 100 contended"


def test_data_under_a_lock_that_let_two_in_is_unsafe_though_nothing_broke() -> None:
    assert stressed(race("mapping", "mapped", case(overlaps=2))).verdict == "unsafe"


def test_data_is_no_better_than_a_lock_that_let_two_in_elsewhere() -> None:
    assert (
        stressed(race("posix"), race("mapping", "mapped"), request=request_for(["mapping", "stress"], 1)).verdict
        == "safe"
    )
    made = stressed(
        race("posix", raced=case(overlaps=2)), race("mapping", "mapped"), request=request_for(["mapping", "stress"], 1)
    )
    assert made.verdict == "unsafe"
    assert made.evidence == ["raced under fcntl, which let two in"]


def test_a_race_that_hung_without_a_word_leaves_it_unknown_with_the_reason() -> None:
    hung = case(operations=0, verdict="timeout", reason="worker 0 still at work after 2 s")
    made = stressed(race("mapping", "mapped", hung), race("mapping", "mapped"))
    assert (made.verdict, made.evidence) == (
        "unknown", ["counter under fcntl, mapped: worker 0 still at work after 2 s"],
    )  # fmt: skip


@pytest.mark.parametrize("seen", ["lost", "overlaps"])
def test_what_was_seen_before_a_race_hung_counts(seen: str) -> None:
    how: Any = {seen: 1, "verdict": "timeout", "reason": "worker 0 still at work after 2 s"}
    assert stressed(race("mapping", "mapped", case(**how))).verdict == "unsafe"


def test_a_mapping_that_is_refused_is_not_supported() -> None:
    refused = case(operations=0, verdict="unsupported", reason="mapping refused (ENODEV)")
    made = stressed(race("mapping", "mapped", refused, verdict="unsupported"))
    assert (made.verdict, made.strength) == ("unsupported", "")


def test_neighbours_that_cannot_be_mapped_are_as_safe_as_their_other_access() -> None:
    only_stream = race("neighbours", "stream")
    refused = case(operations=0, verdict="unsupported", reason="mapping refused (ENODEV)")
    request = request_for(["neighbours", "stress"], 1)
    made = stressed(only_stream, race("neighbours", "mapped", refused, verdict="unsupported"), request=request)
    assert made.verdict == "safe"
    assert made.evidence == ["not by mapping: counter under fcntl, mapped: mapping refused (ENODEV)"]
    lost = race("neighbours", "stream", case(lost=1))
    assert (
        stressed(lost, race("neighbours", "mapped", refused, verdict="unsupported"), request=request).verdict
        == "unsafe"
    )


def test_a_deadlock_that_is_made_up_under_load_makes_its_guarantee_unsafe() -> None:
    quiet = only(ALONE["deadlock"], rules=[rule(44, "deadlock")], stress=[race("posix")])
    assert quiet.verdict == "safe"
    made = only(ALONE["deadlock"], rules=[rule(44, "deadlock")], stress=[race("posix", raced=case(false_deadlocks=5))])
    assert made.verdict == "unsafe"
    assert made.evidence == ["stress: 5 requests answered with EDEADLK where there was no cycle"]


def test_a_process_that_outlives_sigkill_keeps_its_locks() -> None:
    assert only(ALONE["death"], rules=[rule(35, "death")]).verdict == "safe"
    made = only(ALONE["death"], rules=[rule(35, "death")], stuck=[STUCK])
    assert made.verdict == "unsafe"
    assert made.evidence == ["a process did not end on SIGKILL: it hangs in fuse_wait_answer, and keeps its locks"]


def test_several_that_outlive_sigkill_are_told_once() -> None:
    made = only(ALONE["death"], rules=[rule(35, "death")], stuck=[STUCK, Stuck(2, STUCK.where), Stuck(3, "do_wait")])
    assert made.evidence == [
        "3 processes did not end on SIGKILL: they hang in fuse_wait_answer, do_wait, and keep their locks"
    ]


SILENT = rule(
    35,
    "death",
    "unsafe",
    expected="success",
    observed="no answer in 2 s",
    calls=["A: open f = ok", "A: F_SETLK f write 0 1 = no answer in 2 s"],
)


def test_who_hangs_in_asking_for_his_first_lock_has_none_that_outlives_him() -> None:
    left = rule(69, "death", "unknown", observed="not tried: 3 processes were left stuck in the kernel before")
    asked = replace(SILENT, guarantee="ranges")
    made = only(ALONE["death"], rules=[asked, left], stuck=[STUCK])
    assert made.verdict == "unknown"
    assert made.evidence[0].endswith("hangs in fuse_wait_answer; no lock was granted before that one could outlive")


def test_who_hangs_after_a_lock_was_granted_may_have_it_for_ever() -> None:
    before = replace(SILENT, guarantee="ranges", calls=["B: F_SETLK f write 8 1 = granted", *SILENT.calls])
    assert only(ALONE["death"], rules=[before], stuck=[STUCK]).verdict == "unsafe"
    asked = replace(SILENT, guarantee="ranges")
    assert only(ALONE["death"], rules=[asked], stuck=[STUCK], stress=[race("posix")]).verdict == "unsafe"


def test_the_evidence_begins_with_what_the_verdict_rests_on() -> None:
    made = only(RULED, rules=[rule(18, "posix", "unknown"), rule(19, "posix", "unsafe")])
    assert [sentence.partition(":")[0] for sentence in made.evidence] == ["rule 19", "rule 18"]


def test_what_was_not_tried_is_told_after_that_for_which_it_was_not() -> None:
    hung = case(operations=0, verdict="timeout", reason="a worker hangs")
    found = only(
        request_for(["posix"], 1),
        rules=[rule(18, "posix", "unknown")],
        stress=[race("posix", raced=hung)],
        stuck=[STUCK],
    )
    assert found.evidence == [
        "counter under fcntl, stream: a worker hangs", "rule 18: not tried: 3 calls hung before",
        "random: nothing was tried",
    ]  # fmt: skip


def test_the_parts_that_an_interrupted_check_did_not_come_to_are_told_in_one_sentence() -> None:
    request = request_for(["posix"], 1)
    assert only(request, rules=[rule(18, "posix")], missing=NOT_REACHED).evidence == [
        "not reached before the interruption"
    ]
    assert only(request, rules=[rule(18, "posix")]).evidence == [
        "random: nothing was tried",
        "stress: nothing was tried",
    ]


def test_an_interrupted_check_calls_nothing_safe() -> None:
    made = only(RULED, rules=[rule(18, "posix")], missing=NOT_REACHED)
    assert (made.verdict, made.evidence) == ("unknown", ["not reached before the interruption"])
    assert only(RULED, rules=[rule(18, "posix", "unsafe")], missing=NOT_REACHED).verdict == "unsafe"


CODES: list[tuple[int, dict[str, Answered], list[str]]] = [
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
    code: int, verdicts: dict[str, Answered], words: list[str]
) -> None:
    guarantees = [guarantee(name, verdict) for name, verdict in verdicts.items()]
    assert exit_code(request_for(words, 1), guarantees) == code


def test_all_guarantees_asked_are_judged_in_their_order() -> None:
    request = request_for([], 2)
    assert [each.name for each in judge(request, Findings())] == list(request.guarantees)
    assert {each.verdict for each in judge(request, Findings())} == {"unknown"}


LEFT = rule(61, "pread", "unknown", observed="not tried: left to the stress")
HOLDS = rule(67, "posix", "unknown", observed="not tried: left to the stress")


def test_a_rule_that_no_program_shows_is_judged_by_the_races_that_cover_it() -> None:
    (held,) = with_stress([LEFT], [race("pread"), race("mapping", "mapped")])
    assert (held.verdict, held.observed) == ("safe", "as demanded in 2 races")
    (broken,) = with_stress([LEFT], [race("pread"), race("mapping", "mapped", case(lost=500))])
    assert (broken.verdict, broken.guarantee) == ("unsafe", "mapping")
    assert broken.observed == "counter under fcntl, mapped: lost update in 500 of 1,000 (50.0 %)"


def test_a_rule_about_holds_is_not_broken_by_data() -> None:
    assert with_stress([HOLDS], [race("pread", raced=case(lost=500))])[0].verdict == "safe"
    assert with_stress([HOLDS], [race("pread", raced=case(overlaps=1))])[0].verdict == "unsafe"


def test_a_race_that_was_refused_does_not_hide_another_that_shows_the_rule() -> None:
    refused = race("mapping", "mapped", case(operations=0, verdict="unsupported"), verdict="unsupported")
    assert with_stress([LEFT], [refused, race("pread")])[0].verdict == "safe"
    assert with_stress([LEFT], [refused])[0].verdict == "unsupported"


def test_without_a_stress_such_a_rule_stays_as_it_was_and_counts_for_nothing() -> None:
    assert with_stress([LEFT], []) == [LEFT]
    assert only(RULED, rules=[rule(18, "posix"), HOLDS]).verdict == "safe"


def test_the_place_of_a_stuck_process_is_told() -> None:
    told = only(ALONE["death"], rules=[rule(35, "death")], stuck=[Stuck(1, "do_wait")])
    assert "do_wait" in told.evidence[0]
