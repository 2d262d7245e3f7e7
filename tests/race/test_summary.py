from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from lab.analysis.holds import Exclusion, Hold, Overlap, Overtaking, Row, Span, sweep
from lab.analysis.statistics import clopper_pearson, detection_limit
from lab.locks import find_lock
from lab.processes import Exit
from lab.race.summary import SAMPLES, SHOWN, summarise
from lab.race.trial import Result
from lab.race.worker import Setting
from lab.records import Case, Cpu, Failure, Quantiles, Switches, Trial
from lab.scenario import Damage, Found, Scenario

WRITE = Span(0, 8, write=True).pack()
S = 1_000_000_000


class Counted(Scenario):
    """A scenario that breaks without a lock only."""


class Counterexample(Counted):
    """One that breaks under fcntl too."""

    expects: ClassVar[dict[str, str]] = {"none": "damaged", "fcntl": "damaged"}
    why = "because"


class Fixed(Counterexample):
    """Its fix, which fcntl alone does not bring about either."""


class Worse(Counterexample):
    """A variant that says for itself why it breaks."""

    why = "for another reason"


class Apart(Counted):
    """One whose stores never meet, lock or none."""

    backing = "private"
    why = "because"


SETTING = Setting(
    scenario=Counted(),
    lock=find_lock("fcntl"),
    backing="mapped",
    workers=2,
    rounds=10,
    pin="one",
    window_ns=0,
    leak=0.0,
    time_limit_s=30.0,
    seed="0",
)
CLEAN = Result(
    wall_ns=2 * S,
    rounds_done=[10, 10],
    running_ns=[2 * S, 2 * S],
    exits=[Exit(0, 0), Exit(1, 0)],
    holds=[],
    unrecorded=0,
    exclusion=Exclusion([], 0),
    private_bytes=0,
)
LOST = Damage("lost update", 3, 20, ["value is 17"])
LATE = Failure(trial=1, worker=0, round=7, how="late", reason="still at work after 30 s")
KILLED = Failure(trial=1, worker=1, round=4, how="killed", reason="was killed by SIGKILL")


def row(*results: Result, setting: Setting = SETTING) -> Case:
    kind = type(setting.scenario)
    return summarise(Found("counted", kind, ""), setting, results)


def with_holds(*holds: Hold) -> Result:
    return replace(CLEAN, holds=list(holds), exclusion=sweep(holds))


def hold(requested: int, granted: int, released: int, worker: int = 0, word: int = WRITE) -> Hold:
    return Hold(granted, released, requested, worker, word)


def test_a_row_says_what_was_raced() -> None:
    found = row(
        CLEAN,
        replace(CLEAN, rounds_done=[10, 9]),
        setting=replace(SETTING, scenario=Counterexample(), backing="private"),
    )
    assert (found.scenario, found.lock, found.backing, found.pin) == ("counted", "fcntl", "private", "one")
    assert (found.workers, found.rounds, found.trials, found.operations) == (2, 10, 2, 39)


def test_operations_per_second_are_those_of_all_trials_by_their_time() -> None:
    found = row(CLEAN, replace(CLEAN, wall_ns=3 * S))
    assert (found.wall_s, found.operations_per_s) == (5.0, 8.0)


def test_a_clean_case_has_the_strength_of_its_trials() -> None:
    found = row(*[CLEAN] * 10)
    assert (found.verdict, found.damaged_trials, found.corruption_rate, found.reason) == ("clean", 0, 0.0, "")
    assert found.interval_95 == clopper_pearson(0, 10)


def test_damage_is_added_up_by_kind_with_the_first_evidence() -> None:
    results = [
        replace(CLEAN, damage=[Damage("lost update", 1, 20, [f"first {trial}", f"second {trial}"]), LOST])
        for trial in range(2)
    ]
    found = row(*results, replace(CLEAN, damage=[Damage("cycle", 1, 20)]))
    assert [(each.kind, each.count, each.of) for each in found.damage] == [("lost update", 8, 60), ("cycle", 1, 60)]
    assert found.damage[0].evidence == ["first 0", "second 0", "value is 17"]
    assert (found.damaged, found.corruption_rate) == (9, 9 / 60)
    assert (found.damaged_trials, found.interval_95) == (3, clopper_pearson(3, 3))


def test_evidence_of_one_trial_is_cut_to_what_is_shown() -> None:
    found = row(replace(CLEAN, damage=[Damage("torn", 9, 20, [str(number) for number in range(9)])]))
    assert found.damage[0].evidence == [str(number) for number in range(SHOWN)]


def test_the_rate_is_of_what_the_check_counts_against() -> None:
    """One of 8 rules in the one trial, none in the other, whether its check says so or says nothing."""
    broken = replace(CLEAN, damage=[Damage("rule lost", 1, 8)])
    for fine in (CLEAN, replace(CLEAN, zeros=[Damage("rule lost", 0, 8)])):
        found = row(broken, fine)
        assert (found.damaged, found.damaged_of, found.corruption_rate, found.operations) == (1, 16, 1 / 16, 40)
        assert [(each.count, each.of) for each in found.damage] == [(1, 16)]
        assert [(each.damaged, each.damaged_of) for each in found.trial_samples[:1]] == [(1, 8)]


def test_of_kinds_that_are_counted_apart_the_rate_is_the_worst_ones() -> None:
    found = row(replace(CLEAN, damage=[Damage("lost update", 3, 20), Damage("rule lost", 7, 8), Damage("torn", 2, 20)]))
    assert (found.damaged, found.damaged_of, found.corruption_rate) == (7, 8, 7 / 8)
    found = row(replace(CLEAN, damage=[Damage("lost update", 13, 20), Damage("rule lost", 1, 8)]))
    assert (found.damaged, found.damaged_of) == (13, 20)


def test_a_trial_cannot_damage_more_operations_than_it_did() -> None:
    found = row(replace(CLEAN, damage=[Damage("lost", 15, 20), Damage("torn", 15, 20)]), CLEAN)
    assert (found.damaged, found.corruption_rate) == (20, 0.5)


@pytest.mark.parametrize(
    ("lock", "reason"),
    [("none", "nothing kept the workers apart"), ("fcntl", "the lock held and the data broke anyway")],
)
def test_damage_without_an_overlap_is_told_from_damage_without_a_lock(lock: str, reason: str) -> None:
    found = row(replace(CLEAN, damage=[LOST]), setting=replace(SETTING, lock=find_lock(lock)))
    assert (found.verdict, found.reason) == ("damaged", reason)


OVERLAP = with_holds(hold(1, 10, 30, 0), hold(5, 20, 40, 1))


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([OVERLAP], "conflicting holds overlapped, 1 time, though no data broke this time"),
        ([OVERLAP, OVERLAP], "conflicting holds overlapped, 2 times, though no data broke this time"),
        ([replace(OVERLAP, damage=[LOST])], "conflicting holds overlapped, 1 time, and the data broke"),
    ],
)
def test_an_overlap_is_damage_and_says_whether_data_broke(results: list[Result], reason: str) -> None:
    found = row(*results)
    assert (found.verdict, found.reason, found.overlapping_holds > 0) == ("damaged", reason, True)
    assert (found.overlapping_holds, found.damaged_trials) == (len(results), len(results))


def test_overlaps_that_were_not_kept_are_counted() -> None:
    crowded = replace(OVERLAP, exclusion=replace(OVERLAP.exclusion, unkept=4999))
    found = row(crowded)
    assert (found.overlapping_holds, found.trial_samples[0].overlapping_holds) == (5000, 5000)
    assert found.reason == "conflicting holds overlapped, 5,000 times, though no data broke this time"


def test_the_first_overlaps_are_told_with_both_holders_and_their_bytes() -> None:
    reader, writer = Span(4, 4, write=False).pack(), Span(0, 0, write=True).pack()
    overlap = Overlap(hold(1, 10, 30, 0, reader), hold(5, 20, 1_040, 1, writer))
    result = replace(CLEAN, exclusion=Exclusion([overlap] * (SHOWN + 1), 0))
    assert (
        row(result).overlaps
        == ["worker 1 was granted write 0-end while worker 0 held read 4-7: 10 ns together"] * SHOWN
    )


def test_a_second_owner_in_a_worker_is_told_as_that() -> None:
    overlap = Overlap(hold(1, 10, 30, 2), hold(5, 20, 25, 3))
    (told,) = row(replace(CLEAN, exclusion=Exclusion([overlap], 0))).overlaps
    assert told.startswith("the second owner in worker 1 was granted write 0-7 while the second owner in worker 0 held")


def test_contended_requests_of_all_trials_make_the_detection_power() -> None:
    contended = with_holds(hold(1, 10, 30, 0), hold(20, 30, 40, 1))
    found = row(contended, contended, CLEAN)
    assert (found.contended_requests, found.detection_limit) == (2, detection_limit(2))


def test_waits_and_holds_are_told_in_quantiles_by_nearest_rank() -> None:
    holds: list[Row] = [hold(0, number, number + 1000 * number) for number in range(1, 101)]
    found = row(replace(CLEAN, holds=holds[:50]), replace(CLEAN, holds=holds[50:]))
    assert found.wait_ns == Quantiles(p50=50, p99=99, max=100)
    assert found.hold_ns == Quantiles(p50=50_000, p99=99_000, max=100_000)
    assert found.holds == 100


def test_without_holds_there_are_no_quantiles() -> None:
    found = row(CLEAN)
    assert (found.holds, found.wait_ns, found.hold_ns, found.detection_limit) == (0, None, None, None)


def test_a_hold_that_was_not_given_back_has_a_wait_and_no_length() -> None:
    found = row(replace(CLEAN, holds=[hold(1, 10, 10), hold(20, 21, 25)]))
    assert (found.holds, found.wait_samples_ns, found.hold_samples_ns) == (2, [9, 1], [4])


@pytest.mark.parametrize(("holds", "kept"), [(SAMPLES, 1000), (SAMPLES + 1, 501), (10 * SAMPLES, 1000)])
def test_every_nth_hold_is_kept_as_a_sample_and_at_most_a_thousand(holds: int, kept: int) -> None:
    found = row(replace(CLEAN, holds=[hold(0, number, 2 * number) for number in range(1, holds + 1)]))
    step = -(-holds // SAMPLES)
    assert found.wait_samples_ns == list(range(1, holds + 1, step))
    assert len(found.wait_samples_ns) == len(found.hold_samples_ns) == kept


def test_unrecorded_holds_are_added_up() -> None:
    assert row(replace(CLEAN, unrecorded=3), replace(CLEAN, unrecorded=4)).unrecorded_holds == 7


@pytest.mark.parametrize(
    ("running", "index"), [([2 * S, 2 * S], 1.0), ([1 * S, 3 * S], (1 + 1 / 3) ** 2 / (2 * (1 + 1 / 9)))]
)
def test_fairness_is_that_of_the_workers_own_rates(running: list[int], index: float) -> None:
    assert row(replace(CLEAN, running_ns=running)).fairness == pytest.approx(index)


def test_fairness_is_the_mean_of_the_trials() -> None:
    unfair = replace(CLEAN, running_ns=[1, 10**12])
    assert row(CLEAN, unfair).fairness == pytest.approx(0.75, abs=1e-6)


def test_a_worker_that_took_no_time_does_no_harm() -> None:
    assert row(replace(CLEAN, running_ns=[0, 0])).fairness == 1.0


def test_what_the_workers_used_is_added_up_and_their_peaks_compared() -> None:
    used = Exit(0, 0, False, 0.5, 0.25, 3, 4, 5, 6000)
    found = row(replace(CLEAN, exits=[used, replace(used, index=1, peak_rss_bytes=7000)], private_bytes=100), CLEAN)
    assert found.cpu_s == Cpu(user=1.0, system=0.5)
    assert found.context_switches == Switches(voluntary=6, involuntary=8)
    assert (found.minor_faults, found.peak_rss_bytes, found.private_bytes) == (10, 7000, 100)


def test_memory_that_nobody_read_is_not_told_as_none_used() -> None:
    assert (row(CLEAN).private_bytes, row(CLEAN).peak_rss_bytes) == (None, None)


@pytest.mark.parametrize(
    ("failures", "verdict"), [([LATE], "timeout"), ([KILLED], "died"), ([LATE, KILLED], "died"), ([], "clean")]
)
def test_a_worker_that_failed_is_never_clean(failures: list[Failure], verdict: str) -> None:
    assert row(CLEAN, replace(CLEAN, failures=failures)).verdict == verdict


def test_a_failure_weighs_more_than_damage() -> None:
    found = row(replace(OVERLAP, damage=[LOST]), replace(CLEAN, failures=[KILLED]))
    assert found.verdict == "died"
    assert found.reason == "worker 1 was killed by SIGKILL, in round 4 of trial 1"
    assert (found.damaged, found.overlapping_holds) == (3, 1)


def test_several_failures_are_told_by_the_first_and_their_number() -> None:
    found = row(replace(CLEAN, failures=[LATE, KILLED, KILLED]))
    assert found.reason == "worker 0 still at work after 30 s, in round 7 of trial 1; 2 more workers failed"
    assert found.failures == [LATE, KILLED, KILLED]


@pytest.mark.parametrize(("others", "told"), [(1, "likewise 1 more worker"), (2, "likewise 2 more workers")])
def test_failures_that_are_all_the_same_are_told_as_that(others: int, told: str) -> None:
    found = row(replace(CLEAN, failures=[KILLED] * (1 + others)))
    assert found.reason == f"worker 1 was killed by SIGKILL, in round 4 of trial 1; {told}"


def test_a_failed_trial_is_no_trial_of_the_interval_nor_of_fairness() -> None:
    failed = replace(CLEAN, failures=[LATE], running_ns=[1, 10**12])
    found = row(CLEAN, CLEAN, failed)
    assert (found.trials, found.interval_95, found.fairness) == (3, clopper_pearson(0, 2), 1.0)


def test_a_case_of_failed_trials_only_claims_nothing() -> None:
    found = row(replace(CLEAN, failures=[LATE]))
    assert (found.interval_95, found.fairness, found.damaged_trials) == ((0.0, 1.0), None, 0)


def test_every_trial_is_kept_as_a_sample() -> None:
    damaged = replace(OVERLAP, wall_ns=5, damage=[LOST])
    assert row(damaged, replace(CLEAN, failures=[LATE])).trial_samples == [
        Trial(5, 20, damaged=3, holds=2, contended=0, overlapping_holds=1, completed=True, damaged_of=20),
        Trial(2 * S, 20, damaged=0, holds=0, contended=0, overlapping_holds=0, completed=False, damaged_of=20),
    ]


@pytest.mark.parametrize(
    ("scenario", "lock", "expected", "why"),
    [
        (Counted(), "none", "damaged", ""),
        (Counted(), "fcntl", "clean", ""),
        (Counterexample(), "fcntl", "damaged", "because"),
        (Counterexample(), "ofd", "clean", ""),
        (Worse(), "fcntl", "damaged", "for another reason"),
    ],
)
def test_a_row_says_what_was_announced_and_why(scenario: Any, lock: str, expected: str, why: str) -> None:
    found = row(CLEAN, setting=replace(SETTING, scenario=scenario, lock=find_lock(lock)))
    assert (found.expected, found.why, found.counterexample) == (expected, why, isinstance(scenario, Counterexample))


@pytest.mark.parametrize(("scenario", "lock"), [(Counterexample(), "none"), (Fixed(), "none"), (Fixed(), "fcntl")])
def test_a_counterexample_is_not_the_reason_where_there_is_no_lock_nor_that_of_its_fix(
    scenario: Any, lock: str
) -> None:
    found = row(replace(CLEAN, damage=[LOST]), setting=replace(SETTING, scenario=scenario, lock=find_lock(lock)))
    assert (found.expected, found.verdict, found.why) == ("damaged", "damaged", "")
    assert found.reason


@pytest.mark.parametrize("lock", ["none", "fcntl"])
def test_a_counterexample_about_stores_that_never_meet_is_the_reason_with_and_without_a_lock(lock: str) -> None:
    found = row(CLEAN, setting=replace(SETTING, scenario=Apart(), lock=find_lock(lock), backing="private"))
    assert (found.expected, found.why) == ("damaged", "because")


def test_no_trial_at_all_is_a_row_without_a_rate() -> None:
    found = row()
    assert (found.trials, found.corruption_rate, found.operations_per_s) == (0, 0.0, 0.0)
    assert found.interval_95 == (0.0, 1.0)


def test_a_trial_with_a_failed_worker_is_not_judged() -> None:
    failed = replace(CLEAN, failures=[Failure(trial=1, worker=0, round=3, how="raised", reason="raised")])
    found = row(CLEAN, failed)
    assert (found.trials, found.operations, found.verdict) == (2, 20, "died")
    assert found.operations_per_s == pytest.approx(row(CLEAN).operations_per_s)


def test_refusals_count_for_the_detection_power_where_they_are_more_than_the_contended() -> None:
    polled = replace(CLEAN, exclusion=Exclusion([], 100), refused=3_000, deadlocks=2)
    found = row(polled, replace(polled, refused=1_000))
    assert (found.contended_requests, found.refused_requests, found.false_deadlocks) == (200, 4_000, 4)
    assert found.detection_limit == detection_limit(4_000)
    assert row(replace(polled, refused=0)).detection_limit == detection_limit(100)


def test_the_window_of_the_setting_is_told() -> None:
    assert row(CLEAN, setting=replace(SETTING, window_ns=700)).window_ns == 700


def test_a_lock_that_gave_up_in_every_round_shows_nothing() -> None:
    found = row(replace(CLEAN, rounds_done=[0, 0], gave_up=20))
    assert (found.verdict, found.gave_up, found.operations, found.as_expected) == ("inconclusive", 20, 0, False)
    assert "gave up in every round" in found.reason
    assert row(replace(CLEAN, rounds_done=[9, 10], gave_up=1)).verdict == "clean"


def test_what_requests_met_is_the_worst_of_the_trials() -> None:
    held = with_holds(hold(0, 1, 2))
    found = row(
        replace(held, overtaking=Overtaking(5, 1, None, 70)), replace(held, overtaking=Overtaking(9, 2, 30, 60))
    )
    assert (found.overtaken, found.starved) == (9, 3)
    assert (found.read_wait_max_ns, found.write_wait_max_ns) == (30, 70)
    assert (row(CLEAN).overtaken, row(CLEAN).read_wait_max_ns) == (None, None)
