from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import combinations

import pytest

from lab.analysis.statistics import detection_limit
from lab.records import Case, Damage, Failure, How
from lab.report.format import one_in
from lab.report.text.failures import SHOWN
from lab.report.text.race_verdict import complaints, conclusions, exit_code, heading
from tests.report.records import CLEAN, COUNTEREXAMPLE, DAMAGED, DIED, HUNG, REFUSED, TOO_WEAK, TWO_IN, UNLOCKED, run_of

NOT_RECORDED = replace(CLEAN, not_recorded="full")
CODES = {
    1: [DAMAGED, TWO_IN],
    4: [DIED, HUNG],
    3: [REFUSED, TOO_WEAK, NOT_RECORDED],
    0: [CLEAN, UNLOCKED, COUNTEREXAMPLE],
}
PRECEDENCE = [1, 4, 3, 0]


def raised(worker: int, trace: str = "Traceback\nValueError", reason: str = "raised ValueError") -> Failure:
    return Failure(trial=0, worker=worker, round=0, how="raised", reason=reason, trace=trace)


@pytest.mark.parametrize(("code", "case"), [(code, case) for code, cases in CODES.items() for case in cases])
def test_each_kind_of_case_has_its_exit_code(code: int, case: Case) -> None:
    assert exit_code(run_of(case)) == code
    assert exit_code(run_of(CLEAN, case, CLEAN)) == code


@pytest.mark.parametrize(("first", "second"), list(combinations(PRECEDENCE, 2)))
def test_where_several_are_true_the_first_of_1_4_3_counts(first: int, second: int) -> None:
    for one in CODES[first]:
        for other in CODES[second]:
            assert exit_code(run_of(one, other)) == exit_code(run_of(other, one)) == first


@pytest.mark.parametrize("case", [case for cases in CODES.values() for case in cases])
def test_an_interrupted_run_ends_with_130_whatever_else_is_true(case: Case) -> None:
    assert exit_code(run_of(case, interrupted=True)) == 130


def test_a_run_without_cases_is_as_expected() -> None:
    assert exit_code(run_of()) == 0


def test_damage_in_a_trial_before_a_worker_died_is_not_forgotten() -> None:
    assert exit_code(run_of(replace(DIED, damage=DAMAGED.damage, damaged=3))) == 1


def test_damage_that_stayed_away_is_no_failure() -> None:
    assert exit_code(run_of(replace(CLEAN, expected="damaged"))) == 0


def test_a_death_where_damage_was_expected_is_a_death() -> None:
    assert exit_code(run_of(replace(DIED, expected="damaged", damage=DAMAGED.damage))) == 4


def test_a_hang_that_was_expected_is_as_expected() -> None:
    assert exit_code(run_of(replace(HUNG, expected="timeout"))) == 0


def test_a_heading_says_where_and_how() -> None:
    assert heading(run_of(CLEAN)) == "ext4 on Linux 6.18, 1 CPU, CPython 3.11.7; 2 trials a case, seed 7"


def test_a_heading_tells_a_widened_window_and_a_leak() -> None:
    told = heading(run_of(CLEAN, window_ns=1500, leak=0.0001))
    assert told.split("; ")[2:] == [
        "race window widened by 1,500 ns before every store",
        "NEGATIVE CONTROL: locks grant falsely with probability 0.0001",
    ]


def test_without_a_lock_the_broken_cases_are_counted() -> None:
    told = list(conclusions(run_of(UNLOCKED, replace(UNLOCKED, verdict="clean", expected="clean"))))
    assert told == ["none: broke 1 of 2 cases."]


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([TOO_WEAK], "fcntl: INCONCLUSIVE in 1 of 1 case: weaker than was asked for (--detects)."),
        ([CLEAN, TOO_WEAK], "fcntl: INCONCLUSIVE in 1 of 2 cases: weaker than was asked for (--detects); clean in the "
         "other."),
    ],
)  # fmt: skip
def test_a_lock_that_is_inconclusive_is_not_called_clean_nor_broken(cases: list[Case], said: str) -> None:
    assert list(conclusions(run_of(*cases, detects=1e-3))) == [said]
    (line,) = complaints(run_of(*cases, detects=1e-3))
    assert line == f"counter under fcntl, 2 workers: inconclusive: {TOO_WEAK.reason}"


def test_a_clean_lock_is_told_with_its_holds_and_the_power_of_all_its_cases_together() -> None:
    (told,) = conclusions(run_of(CLEAN, replace(CLEAN, contended_requests=1900)))
    assert told == (
        f"fcntl: clean in 2 cases; of 2,000 holds none overlapped another. 2,000 requests met a holder, so a lock that "
        f"grants falsely {one_in(detection_limit(2000))} times would have been noticed with 95 % probability."
    )


def test_one_request_met_a_holder() -> None:
    (told,) = conclusions(run_of(replace(CLEAN, contended_requests=1)))
    assert (
        "1 request met a holder, too few to notice false grants unless every grant is one. Use more --workers or"
        in told
    )
    assert "1 in 1 " not in told


def test_a_broken_lock_is_told_with_its_overlaps() -> None:
    (told,) = conclusions(run_of(CLEAN, TWO_IN))
    assert told == "fcntl: NOT CLEAN in 1 of 2 cases; among 2,000 holds, 1 pair overlapped that may not."


@pytest.mark.parametrize("case", [DAMAGED, DIED, HUNG])
def test_a_lock_under_which_anything_went_wrong_is_never_called_clean(case: Case) -> None:
    (told,) = conclusions(run_of(CLEAN, case))
    assert told.startswith("fcntl: NOT CLEAN in 1 of 2 cases")


def test_a_clean_case_in_which_nobody_waited_shows_nothing_and_says_what_to_do() -> None:
    (told,) = conclusions(run_of(replace(CLEAN, contended_requests=0, detection_limit=None)))
    assert told.startswith("fcntl: clean in 1 case, but no request met a holder: that shows nothing about the lock.")
    assert "Use more --workers or --rounds" in told


def test_a_clean_case_without_holds_shows_nothing() -> None:
    (told,) = conclusions(run_of(replace(CLEAN, holds=0, contended_requests=0)))
    assert told == "fcntl: clean in 1 case, but no hold was recorded: that shows nothing about the lock."


def test_locks_are_told_in_the_order_of_their_rows() -> None:
    told = conclusions(run_of(UNLOCKED, CLEAN, replace(CLEAN, lock="ofd"), CLEAN))
    assert [sentence.partition(":")[0] for sentence in told] == ["none", "fcntl", "ofd"]


def test_a_case_that_did_not_run_is_no_ground_for_a_conclusion() -> None:
    assert list(conclusions(run_of(REFUSED))) == []


def test_a_counterexample_tells_why_it_broke_once_and_says_nothing_of_its_lock() -> None:
    told = list(conclusions(run_of(COUNTEREXAMPLE, replace(COUNTEREXAMPLE, lock="ofd"))))
    assert told == ["short_range: The lock covers too few bytes."]


def test_damage_that_stayed_away_is_said_with_what_makes_it_likelier() -> None:
    stayed_away = replace(COUNTEREXAMPLE, verdict="clean", damage=[], damaged=0)
    (told,) = conclusions(run_of(stayed_away))
    assert told.startswith("short_range under fcntl was expected to break and did not this time (2 trials);")
    assert "--rounds or --trials, or --window" in told


def test_scenarios_that_chose_one_cpu_are_named() -> None:
    *_, told = conclusions(run_of(replace(CLEAN, pin="one"), replace(CLEAN, scenario="bank", pin="one")))
    assert told.startswith("bank, counter: by their own choice the workers share one CPU")
    assert "--pin none" in told


def test_a_pin_that_the_user_chose_is_not_explained() -> None:
    assert len(list(conclusions(run_of(replace(CLEAN, pin="one"), pin="one")))) == 1


def test_a_case_that_did_not_run_shared_no_cpu() -> None:
    assert list(conclusions(run_of(replace(REFUSED, pin="one")))) == []


def test_holds_that_were_not_judged_are_said() -> None:
    *_, told = conclusions(run_of(replace(CLEAN, unrecorded_holds=5)))
    assert told.startswith("5 holds not judged")
    assert "raise holds_per_round" in told


def test_nobody_complains_of_what_went_as_expected() -> None:
    assert list(complaints(run_of(CLEAN, UNLOCKED, COUNTEREXAMPLE, replace(CLEAN, expected="damaged")))) == []


def test_a_complaint_names_case_verdict_reason_and_the_evidence_by_kind() -> None:
    assert list(complaints(run_of(DAMAGED))) == [
        "counter under fcntl, 2 workers: damaged: the lock held and the data broke anyway",
        "  lost update: value is 997 after 1,000 additions",
    ]


def test_a_complaint_names_who_held_what_together() -> None:
    assert list(complaints(run_of(TWO_IN)))[1:] == [f"  {TWO_IN.overlaps[0]}"]


def test_all_kinds_of_damage_are_told() -> None:
    torn = Damage(kind="torn", count=1, of=9, evidence=["a", "b"])
    told = list(complaints(run_of(replace(DAMAGED, damage=[*DAMAGED.damage, torn]))))
    assert told[2:] == ["  torn: a", "  torn: b"]


def test_a_refusal_that_met_several_cases_is_told_once() -> None:
    told = list(complaints(run_of(REFUSED, replace(REFUSED, scenario="bank"))))
    assert told == [f"{REFUSED.reason} (2 cases not run)"]


def test_two_refusals_are_told_as_two() -> None:
    assert len(list(complaints(run_of(REFUSED, replace(REFUSED, reason="no room"))))) == 2


def test_one_failed_worker_is_told_in_the_line_of_its_case() -> None:
    assert list(complaints(run_of(DIED))) == [
        "counter under fcntl, 2 workers: died: worker 1 was killed by SIGKILL, in round 3 of trial 0"
    ]


def test_workers_that_all_failed_in_the_same_way_are_one_line_and_one_traceback() -> None:
    told = list(complaints(run_of(replace(DIED, failures=[raised(0), raised(2)]))))
    assert told[1:] == ["Traceback\nValueError"]
    assert told[0].endswith("; fix it at the place told below")


def test_each_way_to_fail_is_a_line_with_its_workers() -> None:
    failures = [
        raised(worker, "", f"raised {'KeyError' if worker in (0, 5, 7) else 'ValueError'}") for worker in range(8)
    ]
    assert list(complaints(run_of(replace(DIED, failures=[*failures, raised(8, "", "exited")]))))[1:] == [
        "  workers 0, 5 and 7 raised KeyError",
        "  workers 1, 2, 3, 4 and 6 raised ValueError",
        "  worker 8 exited",
    ]


def test_workers_one_after_the_other_are_told_by_the_first_and_the_last() -> None:
    failures = [raised(worker, "", "raised ValueError" if worker else "exited") for worker in range(9)]
    assert list(complaints(run_of(replace(DIED, failures=failures))))[2] == "  workers 1 to 8 raised ValueError"


def test_different_tracebacks_are_all_told() -> None:
    told = list(complaints(run_of(replace(DIED, failures=[raised(0, "one"), raised(1, "two"), raised(2, "one")]))))
    assert told[-2:] == ["one", "two"]


def test_a_thousand_failed_workers_are_not_all_told() -> None:
    each = [raised(index, "", f"raised ValueError: {index}") for index in range(1000)]
    assert len(list(complaints(run_of(replace(DIED, failures=each))))) == 1 + SHOWN
    every_other = [raised(index, "", f"raised ValueError: {index % 2}") for index in range(1000)]
    told = list(complaints(run_of(replace(DIED, failures=every_other))))
    assert told[1] == "  workers 0, 2, 4, 6, 8, 10, 12, 14 and 492 more raised ValueError: 0"


def waited(lock: str, how: How = "late", reason: str = "still at work, waiting for the lock") -> Case:
    return replace(DIED, lock=lock, workers=8, failures=[Failure(trial=0, worker=1, round=3, how=how, reason=reason)])


@pytest.mark.parametrize(
    ("case", "step"),
    [
        (waited("mine", "raised", "raised LockFailed: lock mine: acquire() raised X"), "; fix the lock"),
        (waited("fcntl"), "; give fewer --rounds or a longer --time-limit, if it is no deadlock"),
        (waited("filelock"), "; give fewer --rounds or a longer --time-limit: who waits by polling takes long *"),
        (waited("mine"), "; give fewer --rounds or a longer --time-limit: who waits by polling takes long beside 7 "
                         "others; or fix the lock"),
        (waited("mine", "late", "still at work"), "; fix the lock, or the scenario, whichever ends or holds up *"),
        (waited("mine", "killed", "exited with 0"), "; fix the lock, or the scenario, whichever ends or holds up *"),
        (waited("fcntl", "killed", "exited with 0"), ""),
    ],
)  # fmt: skip
def test_what_to_do_about_a_worker_that_failed_stands_behind_it(case: Case, step: str) -> None:
    (told,) = complaints(run_of(case))
    assert fnmatchcase(told.removeprefix(f"counter under {case.lock}, 8 workers: died: {case.reason}"), step)


def test_cases_that_came_to_nothing_for_the_same_reason_are_one_line() -> None:
    bad = replace(REFUSED, verdict="died", reason="lock mine: acquire() raised X; fix the lock")
    told = list(complaints(run_of(bad, replace(bad, scenario="bank"), replace(bad, reason="another"), DIED)))
    assert told == [
        f"counter under fcntl, 2 workers: died: {bad.reason} (likewise in 1 other case)",
        "counter under fcntl, 2 workers: died: another",
        f"counter under fcntl, 2 workers: died: {DIED.reason}",
    ]


def test_two_that_were_let_in_by_a_leak_that_was_asked_for_are_told_as_that() -> None:
    run = run_of(TWO_IN, leak=0.001)
    assert list(complaints(run))[1] == "  --leak asked for it: that is no fault of the lock"
    assert list(conclusions(run))[-1].startswith(
        "Conflicting holds overlapped because --leak 0.001 asked for it: that is no fault"
    )
    assert "--leak" not in "".join([*complaints(run_of(TWO_IN)), *conclusions(run_of(TWO_IN))])


def test_a_run_without_a_trial_says_so() -> None:
    assert "; no trial a case, seed 7" in heading(run_of(REFUSED, trials=0))


PRIVATE = replace(DAMAGED, backing="private", shares=False, expected="damaged")


def test_a_heading_names_the_backings_that_were_asked_for() -> None:
    assert "backing" not in heading(run_of(CLEAN))
    assert heading(run_of(CLEAN, backings=["sysv"])).endswith("; backing sysv")
    assert heading(run_of(CLEAN, backings=["mapped", "sysv"])).endswith("; backings mapped, sysv")


def test_a_lock_is_told_backing_by_backing_where_there_are_several() -> None:
    told = list(conclusions(run_of(UNLOCKED, CLEAN, replace(UNLOCKED, backing="sysv"), replace(CLEAN, backing="sysv"))))
    assert [sentence.partition(":")[0] for sentence in told] == [
        "none in mapped", "fcntl in mapped", "none in sysv", "fcntl in sysv",
    ]  # fmt: skip
    assert told[2] == "none in sysv: broke 1 of 1 case."
    (alone,) = conclusions(run_of(replace(UNLOCKED, backing="sysv")))
    assert alone == "none: broke 1 of 1 case."


def test_where_stores_are_not_shared_no_lock_is_blamed_and_it_is_said_why() -> None:
    run = run_of(PRIVATE, replace(PRIVATE, lock="none", holds=0), replace(CLEAN, backing="private", shares=False))
    assert list(conclusions(run)) == [
        "private: the stores stay in each worker's own copy and reach nobody, so no lock can help: broke 2 of 2 cases."
    ]
    assert (exit_code(run), list(complaints(run))) == (0, [])


def test_where_a_check_misses_nothing_of_what_was_not_shared_that_is_all_that_is_said() -> None:
    (sentence,) = conclusions(run_of(replace(CLEAN, backing="private", shares=False)))
    assert sentence.endswith("so no lock can help.")


def test_a_counterexample_about_a_backing_tells_it_itself() -> None:
    (sentence,) = conclusions(run_of(replace(PRIVATE, why="MAP_PRIVATE copies.", counterexample=True)))
    assert sentence == "counter: MAP_PRIVATE copies."


def test_damage_that_stayed_away_without_sharing_is_not_made_likelier_by_a_window() -> None:
    _, sentence = conclusions(run_of(replace(CLEAN, backing="private", shares=False, expected="damaged")))
    assert sentence.startswith("counter under fcntl in backing private was expected to break and did not this time")
    assert "--window" not in sentence


def test_a_complaint_names_the_backing_that_is_not_the_usual_one() -> None:
    usual, other = (next(complaints(run_of(replace(DAMAGED, backing=backing)))) for backing in ("mapped", "sysv"))
    assert usual.startswith("counter under fcntl, 2 workers: ")
    assert other.startswith("counter under fcntl in backing sysv, 2 workers: ")
