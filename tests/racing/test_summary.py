from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from lab.analysis.between_hosts import judge
from lab.analysis.holds import Exclusion, Hold, Overlap, Overtaking, Row, Span, sweep
from lab.analysis.statistics import clopper_pearson, detection_limit
from lab.locking import find_lock
from lab.processes import Exit
from lab.racing.summary import SAMPLES, SHOWN, summarise
from lab.racing.trial import Result
from lab.racing.worker import Setting
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


def row(*results: Result, **changed: Any) -> Case:
    """The row of these results; `changed` are fields of its setting."""
    setting = replace(SETTING, **changed)
    return summarise(Found("counted", type(setting.scenario), ""), setting, results)


def with_holds(*holds: Hold) -> Result:
    return replace(CLEAN, holds=list(holds), exclusion=sweep(holds))


def hold(requested: int, granted: int, released: int, worker: int = 0, word: int = WRITE) -> Hold:
    return Hold(granted, released, requested, worker, word)


def test_a_row_says_what_was_raced_and_how_fast() -> None:
    slower = replace(CLEAN, rounds_done=[10, 9], wall_ns=3 * S)
    found = row(CLEAN, slower, scenario=Counterexample(), backing="private", window_ns=700)
    assert (found.scenario, found.lock, found.backing, found.pin) == ("counted", "fcntl", "private", "one")
    assert (found.workers, found.rounds, found.trials, found.operations, found.window_ns) == (2, 10, 2, 39, 700)
    assert (found.wall_s, found.operations_per_s) == (5.0, 39 / 5)


def test_a_clean_case_has_the_strength_of_its_trials() -> None:
    found = row(*[CLEAN] * 10)
    assert (found.verdict, found.damaged_trials, found.corruption_rate, found.reason) == ("clean", 0, 0.0, "")
    assert found.interval_95 == clopper_pearson(0, 10)


@pytest.mark.parametrize(
    ("ticketed", "reason"),
    [(10, "the lock held and the data broke anyway"), (9, "whether the lock held is not known"), (0, "draw tickets")],
)
def test_over_hosts_tickets_alone_say_that_the_lock_held(ticketed: int, reason: str) -> None:
    _, between = judge([])
    found = row(replace(CLEAN, damage=[LOST], between=replace(between, holds=10, ticketed=ticketed)))
    assert (found.verdict, reason in found.reason) == ("damaged", True)


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


@pytest.mark.parametrize(
    ("damage", "damaged", "of"),
    [
        ([Damage("lost update", 3, 20), Damage("rule lost", 7, 8), Damage("torn", 2, 20)], 7, 8),
        ([Damage("lost update", 13, 20), Damage("rule lost", 1, 8)], 13, 20),
        ([Damage("lost", 15, 20), Damage("torn", 15, 20)], 20, 20),
    ],
    ids=["counted apart", "the worst counts", "no more than it did"],
)
def test_of_kinds_counted_apart_the_rate_is_the_worst_ones(damage: list[Damage], damaged: int, of: int) -> None:
    found = row(replace(CLEAN, damage=damage))
    assert (found.damaged, found.damaged_of, found.corruption_rate) == (damaged, of, damaged / of)


@pytest.mark.parametrize(
    ("lock", "reason"),
    [("none", "nothing kept the workers apart"), ("fcntl", "the lock held and the data broke anyway")],
)
def test_damage_without_an_overlap_is_told_from_damage_without_a_lock(lock: str, reason: str) -> None:
    found = row(replace(CLEAN, damage=[LOST]), lock=find_lock(lock))
    assert (found.verdict, found.reason) == ("damaged", reason)


OVERLAP = with_holds(hold(1, 10, 30, 0), hold(5, 20, 40, 1))
CROWDED = replace(OVERLAP, exclusion=OVERLAP.exclusion._replace(unkept=4999))


@pytest.mark.parametrize(
    ("results", "overlaps", "reason"),
    [
        ([OVERLAP], 1, "conflicting holds overlapped, 1 time, though no data broke this time"),
        ([OVERLAP, OVERLAP], 2, "conflicting holds overlapped, 2 times, though no data broke this time"),
        ([replace(OVERLAP, damage=[LOST])], 1, "conflicting holds overlapped, 1 time, and the data broke"),
        ([CROWDED], 5000, "conflicting holds overlapped, 5,000 times, though no data broke this time"),
    ],
)
def test_an_overlap_is_damage_and_says_whether_data_broke(results: list[Result], overlaps: int, reason: str) -> None:
    found = row(*results)
    assert (found.verdict, found.reason, found.overlapping_holds) == ("damaged", reason, overlaps)
    assert found.damaged_trials == len(results)
    assert sum(trial.overlapping_holds for trial in found.trial_samples) == overlaps


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


def test_waits_and_holds_are_told_in_quantiles_by_nearest_rank() -> None:
    holds: list[Row] = [hold(0, number, number + 1000 * number) for number in range(1, 101)]
    found = row(replace(CLEAN, holds=holds[:50]), replace(CLEAN, holds=holds[50:]))
    assert found.wait_ns == Quantiles(p50=50, p99=99, max=100)
    assert found.hold_ns == Quantiles(p50=50_000, p99=99_000, max=100_000)
    assert found.holds == 100


def test_what_was_not_measured_is_not_told_as_none() -> None:
    found = row(CLEAN)
    assert (found.holds, found.wait_ns, found.hold_ns, found.detection_limit) == (0, None, None, None)
    assert (found.private_bytes, found.peak_rss_bytes) == (None, None)
    assert (found.overtaken, found.read_wait_max_ns) == (None, None)


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


UNFAIR = replace(CLEAN, running_ns=[1, 10**12])


@pytest.mark.parametrize(
    ("results", "index"),
    [
        ([CLEAN], 1.0),
        ([replace(CLEAN, running_ns=[1 * S, 3 * S])], (1 + 1 / 3) ** 2 / (2 * (1 + 1 / 9))),
        ([CLEAN, UNFAIR], 0.75),
        ([replace(CLEAN, running_ns=[0, 0])], 1.0),
        ([CLEAN, CLEAN, replace(UNFAIR, failures=[LATE])], 1.0),
        ([replace(CLEAN, failures=[LATE])], None),
    ],
    ids=["equal", "unequal", "the mean of trials", "no time", "no failed trial", "failed trials only"],
)
def test_fairness_is_that_of_the_workers_own_rates(results: list[Result], index: float | None) -> None:
    assert row(*results).fairness == pytest.approx(index, abs=1e-6)


def test_what_the_workers_used_is_added_up_and_their_peaks_compared() -> None:
    used = Exit(0, 0, False, 0.5, 0.25, 3, 4, 5, 6000)
    found = row(replace(CLEAN, exits=[used, replace(used, index=1, peak_rss_bytes=7000)], private_bytes=100), CLEAN)
    assert found.cpu_s == Cpu(user=1.0, system=0.5)
    assert found.context_switches == Switches(voluntary=6, involuntary=8)
    assert (found.minor_faults, found.peak_rss_bytes, found.private_bytes) == (10, 7000, 100)


@pytest.mark.parametrize(
    ("failures", "verdict", "reason"),
    [
        ([], "clean", ""),
        ([LATE], "timeout", "worker 0 still at work after 30 s, in round 7 of trial 1"),
        ([KILLED], "died", "worker 1 was killed by SIGKILL, in round 4 of trial 1"),
        ([LATE, KILLED, KILLED], "died",
         "worker 0 still at work after 30 s, in round 7 of trial 1; 2 more workers failed"),
        ([KILLED] * 2, "died", "worker 1 was killed by SIGKILL, in round 4 of trial 1; likewise 1 more worker"),
        ([KILLED] * 3, "died", "worker 1 was killed by SIGKILL, in round 4 of trial 1; likewise 2 more workers"),
    ],
)  # fmt: skip
def test_a_worker_that_failed_is_never_clean_and_the_first_is_told(
    failures: list[Failure], verdict: str, reason: str
) -> None:
    found = row(CLEAN, replace(CLEAN, failures=failures))
    assert (found.verdict, found.reason, found.failures) == (verdict, reason, failures)


def test_a_failure_weighs_more_than_damage() -> None:
    found = row(replace(OVERLAP, damage=[LOST]), replace(CLEAN, failures=[KILLED]))
    assert (found.verdict, found.reason) == ("died", "worker 1 was killed by SIGKILL, in round 4 of trial 1")
    assert (found.damaged, found.overlapping_holds) == (3, 1)


def test_a_failed_trial_is_not_judged() -> None:
    failed = replace(UNFAIR, failures=[LATE])
    found = row(CLEAN, CLEAN, failed)
    assert (found.trials, found.operations, found.interval_95) == (3, 40, clopper_pearson(0, 2))
    assert found.operations_per_s == pytest.approx(row(CLEAN).operations_per_s)
    assert (row(failed).interval_95, row(failed).damaged_trials) == ((0.0, 1.0), 0)


def test_every_trial_is_kept_as_a_sample() -> None:
    damaged = replace(OVERLAP, wall_ns=5, damage=[LOST])
    assert row(damaged, replace(CLEAN, failures=[LATE])).trial_samples == [
        Trial(5, 20, damaged=3, holds=2, contended=0, overlapping_holds=1, completed=True, damaged_of=20),
        Trial(2 * S, 20, damaged=0, holds=0, contended=0, overlapping_holds=0, completed=False, damaged_of=20),
    ]


BROKEN = replace(CLEAN, damage=[LOST])


@pytest.mark.parametrize(
    ("scenario", "lock", "result", "expected", "why"),
    [
        (Counted(), "none", CLEAN, "damaged", ""),
        (Counted(), "fcntl", CLEAN, "clean", ""),
        (Counterexample(), "fcntl", CLEAN, "damaged", "because"),
        (Counterexample(), "ofd", CLEAN, "clean", ""),
        (Worse(), "fcntl", CLEAN, "damaged", "for another reason"),
        # A counterexample is not the reason where there is no lock, nor is that of its fix.
        (Counterexample(), "none", BROKEN, "damaged", ""),
        (Fixed(), "none", BROKEN, "damaged", ""),
        (Fixed(), "fcntl", BROKEN, "damaged", ""),
        # Where stores never meet that is the reason, with a lock and without.
        (Apart(), "none", CLEAN, "damaged", "because"),
        (Apart(), "fcntl", CLEAN, "damaged", "because"),
    ],
)
def test_a_row_says_what_was_announced_and_why(
    scenario: Any, lock: str, result: Result, expected: str, why: str
) -> None:
    backing = "private" if isinstance(scenario, Apart) else "mapped"
    found = row(result, scenario=scenario, lock=find_lock(lock), backing=backing)
    assert (found.expected, found.why) == (expected, why)
    assert found.counterexample is isinstance(scenario, Counterexample) or found.why
    assert found.reason or result is CLEAN


def test_no_trial_at_all_is_a_row_without_a_rate() -> None:
    found = row()
    assert (found.trials, found.corruption_rate, found.operations_per_s) == (0, 0.0, 0.0)
    assert found.interval_95 == (0.0, 1.0)


MET = with_holds(hold(1, 10, 30, 0), hold(20, 30, 40, 1))
POLLED = replace(CLEAN, exclusion=Exclusion([], 100), refused=3_000, deadlocks=2)


@pytest.mark.parametrize(
    ("results", "contended", "refused", "deadlocks", "strength"),
    [
        ([MET, MET, CLEAN], 2, 0, 0, 2),
        ([POLLED, replace(POLLED, refused=1_000)], 200, 4_000, 4, 4_000),
        ([replace(POLLED, refused=0)], 100, 0, 2, 100),
    ],
    ids=["contended", "more refusals", "fewer refusals"],
)
def test_the_contended_or_the_refusals_of_all_trials_make_the_detection_power(
    results: list[Result], contended: int, refused: int, deadlocks: int, strength: int
) -> None:
    found = row(*results)
    assert (found.contended_requests, found.refused_requests, found.false_deadlocks) == (contended, refused, deadlocks)
    assert found.detection_limit == detection_limit(strength)


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
