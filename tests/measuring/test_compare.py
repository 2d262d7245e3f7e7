"""Two runs held against each other; each verdict with runs that deserve it, and runs that just do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.errors import UsageError
from lab.measuring.compare import MARGIN, compare, judge
from lab.records import (
    Bench,
    BenchOptions,
    Case,
    CaseComparison,
    CompareOptions,
    Comparison,
    Copying,
    Document,
    HarnessCost,
    Noise,
)
from tests.report.plots_records import alone, bench_of, queue
from tests.report.records import CLEAN, DAMAGED, TRIAL, run_of
from tests.report.toured_records import tour_of

OPTIONS = CompareOptions(before="old.json", after="new.json", margin=MARGIN)
STEADY = [0.98, 0.99, 1.0, 1.01, 1.02]


def loop(name: str, ns: float) -> HarnessCost:
    return HarnessCost(name=name, samples_ns=[ns * each for each in STEADY], median_ns=ns)


def measured(ns: float, shape: list[float] = STEADY, **facts: Any) -> Bench:
    """A benchmark of one lock, its samples spread like this around so many ns, on a machine that stays as it is."""
    samples = [ns * each for each in shape]
    return replace(bench_of(alone("fcntl", ns, samples_ns=samples, **facts)), harness=[loop("C loop", 500)])


def compared(before: Document, after: Document, **options: Any) -> Comparison:
    return compare(before, after, replace(OPTIONS, **options))


def elsewhere(run: Bench, field: str) -> Bench:
    changed: dict[str, Any] = {field: "other"}
    return replace(run, environment=replace(run.environment, **changed))


def only(before: Document, after: Document, **options: Any) -> CaseComparison:
    (case,) = compared(before, after, **options).cases
    return case


@pytest.mark.parametrize(
    ("after_ns", "verdict"),
    [(1000, "same"), (1040, "same"), (960, "same"), (1200, "worse"), (800, "better"), (1090, "cannot tell")],
)
def test_a_change_is_judged_by_its_ratio_and_interval(after_ns: float, verdict: str) -> None:
    case = only(measured(1000), replace(measured(after_ns), wall_s=2.0))
    assert (case.verdict, case.before_ns, case.after_ns) == (verdict, 1000, after_ns)
    assert case.ratio == pytest.approx(after_ns / 1000)
    low, high = case.interval_95
    assert low < case.ratio < high


@pytest.mark.parametrize(
    ("ratio", "interval", "margin", "verdict"),
    [
        (1.0, (0.92, 1.09), 0.1, "same"),
        (1.0, (0.90, 1.09), 0.1, "cannot tell"),
        (1.0, (0.92, 1.11), 0.1, "cannot tell"),
        (1.2, (1.01, 1.4), 0.1, "worse"),
        (1.2, (0.99, 1.4), 0.1, "cannot tell"),
        (1.08, (1.01, 1.2), 0.1, "cannot tell"),
        (1.08, (1.01, 1.2), 0.05, "worse"),
        (1.08, (1.07, 1.09), 0.1, "same"),
        (0.8, (0.7, 0.99), 0.1, "better"),
        (0.8, (0.7, 1.01), 0.1, "cannot tell"),
        (0.95, (0.8, 0.99), 0.1, "cannot tell"),
    ],
)
def test_the_limits_of_each_verdict(ratio: float, interval: tuple[float, float], margin: float, verdict: str) -> None:
    assert judge(ratio, interval, margin) == verdict


def test_samples_that_are_far_apart_leave_it_open() -> None:
    assert only(measured(1000), measured(1200, [0.5, 0.7, 1.0, 1.4, 1.9])).verdict == "cannot tell"


def test_fewer_than_five_samples_leave_it_open() -> None:
    case = only(measured(1000), measured(2000, [1.0] * 4))
    assert (case.verdict, case.note) == ("cannot tell", "fewer than 5 samples")


def test_cases_are_paired_by_name_and_what_one_run_lacks_is_left_out_with_the_reason() -> None:
    before = bench_of(alone("fcntl", 1000), queue("ofd", 2, 3000), alone("flock", 500))
    after = bench_of(
        queue("ofd", 2, 3000, samples_ns=[], reason="refused on /mnt"), alone("fcntl", 2000), alone("mine", 1)
    )
    done = compared(before, after)
    assert [(case.name, case.ratio) for case in done.cases] == [("fcntl uncontended", 2)]
    assert [(each.name, each.reason) for each in done.left_out] == [
        ("ofd queue, 2 workers", "not measured after: refused on /mnt"),
        ("flock uncontended", "there is none after"),
        ("mine uncontended", "there is none before"),
    ]


@pytest.mark.parametrize("after", [bench_of(alone("ofd", 1000)), bench_of(alone("fcntl", 0, samples_ns=[]))])
def test_runs_without_a_case_in_common_are_refused(after: Bench) -> None:
    with pytest.raises(UsageError, match=r"old.json and new.json have no case in common that both measured: 'fcntl"):
        compared(measured(1000), after)


def test_a_run_is_not_compared_with_itself() -> None:
    with pytest.raises(UsageError, match=r"new.json: is the same run as old.json"):
        compared(measured(1000), measured(1000))


def test_a_document_that_tells_no_costs_is_refused_by_the_name_of_its_file() -> None:
    with pytest.raises(UsageError, match=r"new.json: is a document of `tour`; give those of `bench`"):
        compared(measured(1000), tour_of())


@pytest.mark.parametrize("field", ["kernel", "machine", "cpu", "cpus_allowed", "filesystem", "python", "recorder"])
def test_unlike_environments_are_refused_unless_told(field: str) -> None:
    before, after = measured(1000), measured(1200)
    after = elsewhere(after, field)
    was = str(getattr(before.environment, field))
    with pytest.raises(UsageError, match=rf"not measured alike \({field}: {was} before, other after\).*--anyway"):
        compared(before, after)
    done = compared(before, after, anyway=True)
    assert [(each.field, each.before, each.after) for each in done.unlike] == [(field, was, "other")]
    assert done.cases[0].verdict == "worse"


@pytest.mark.parametrize("field", ["lab", "load_at_start", "mount_options"])
def test_another_lab_on_the_same_machine_is_what_it_is_for(field: str) -> None:
    before, after = measured(1000), measured(1200)
    after = elsewhere(after, field)
    assert compared(before, after).unlike == []


def test_a_lock_that_does_not_exclude_is_told_beside_its_price() -> None:
    assert only(measured(1000), measured(500, overlapping=3)).note == "exclusive before, NOT EXCLUSIVE after"
    assert only(measured(1000, overlapping=1), measured(500, overlapping=3)).note == "NOT EXCLUSIVE"
    assert only(measured(1000), measured(500)).note == ""


def test_the_loops_of_the_harness_are_compared_beside_the_cases() -> None:
    before, after = (replace(measured(ns), harness=[loop("C loop", ns)]) for ns in (1000.0, 1500.0))
    assert [(loop.name, loop.ratio, loop.verdict) for loop in compared(before, after).harness] == [
        ("C loop", 1.5, "worse")
    ]


def handed_over(ns: float, wake_up_ns: float) -> Bench:
    case = queue(
        "fcntl", 2, ns, name="fcntl hand-off, 2 workers", price="hand-off", samples_ns=[ns * x for x in STEADY]
    )
    loops = [loop("C loop", 500), loop("wake-up", wake_up_ns)]
    return replace(bench_of(case, alone("fcntl", ns, samples_ns=[ns * x for x in STEADY])), harness=loops)


def test_what_the_machine_s_own_wake_up_changed_by_is_taken_out_of_a_hand_off_and_of_nothing_else() -> None:
    before, after = handed_over(20_000, 15_000), handed_over(26_000, 19_500)
    hand_off, single = compared(before, after).cases
    assert (hand_off.ratio, hand_off.machine, hand_off.verdict) == (1.0, 1.3, "same")
    assert (hand_off.before_ns, hand_off.after_ns) == (20_000, 26_000)
    assert (single.ratio, single.machine, single.verdict) == (1.3, 1.0, "worse")
    slower = compared(before, handed_over(32_000, 19_500)).cases[0]
    assert (slower.machine, slower.verdict) == (1.3, "worse")


def test_between_unlike_machines_nothing_is_taken_out() -> None:
    before, after = handed_over(20_000, 15_000), elsewhere(handed_over(26_000, 19_500), "kernel")
    assert [case.ratio for case in compared(before, after, anyway=True).cases] == [1.3, 1.3]


def test_how_busy_others_were_is_kept() -> None:
    done = compared(replace(measured(1000), noise=Noise([0.0, 0.5, 0.25], 1, 20.0)), measured(1001))
    assert (done.before.others_cores, done.after.others_cores) == (0.25, 0.0)


def test_copying_is_compared_by_backing_access_and_size() -> None:
    def copied(ns: float) -> Bench:
        rows = [
            Copying(backing="call", samples_ns=[10.0] * 5),
            Copying(backing="call", access="store", samples_ns=[10.0] * 5),
            Copying(backing="mapped", access="store", bytes=4096, samples_ns=[ns * each for each in STEADY]),
        ]
        return replace(bench_of(), options=BenchOptions(["mapped"], [4096], ".", 1.0, 5), copying=rows)

    done = compared(copied(100), copied(150))
    assert [(case.name, case.verdict) for case in done.cases] == [
        ("call load", "same"),
        ("call store", "same"),
        ("mapped store, 4,096 B", "worse"),
    ]


def raced_case(wall_ns: float, **facts: Any) -> Case:
    return replace(CLEAN, trial_samples=[replace(TRIAL, wall_ns=round(wall_ns * each)) for each in STEADY], **facts)


def raced(wall_ns: float, **facts: Any) -> Document:
    return run_of(raced_case(wall_ns, **facts))


def test_races_are_compared_by_the_time_of_an_operation_in_each_trial() -> None:
    case = only(raced(1e6), raced(1.01e6))
    assert (case.name, case.before_ns, case.verdict) == ("counter, fcntl, 2 x 250 rounds", 2000.0, "same")
    assert case.note == ""


SLOW = 1.3


def slowed(run: Bench, *, lock: float, machine: float) -> Bench:
    """The same run with its locks, and the bare loops beside them, so many times as slow."""
    return replace(
        run,
        wall_s=run.wall_s * 2,
        locks=[replace(cost, samples_ns=[ns * lock for ns in cost.samples_ns]) for cost in run.locks],
        copying=[
            replace(row, samples_ns=[ns * (machine if row.backing == "call" else lock) for ns in row.samples_ns])
            for row in run.copying
        ],
        harness=[replace(each, samples_ns=[ns * machine for ns in each.samples_ns]) for each in run.harness],
    )


BENCHED = replace(
    handed_over(20_000, 15_000),
    copying=[
        Copying(backing="call", access="store", samples_ns=[10 * each for each in STEADY]),
        Copying(backing="mapped", access="store", bytes=64, samples_ns=[100 * each for each in STEADY]),
    ],
)
ONE_LOOP = replace(measured(1000), harness=[loop("CPython loop", 900)])


@pytest.mark.parametrize("run", [BENCHED, ONE_LOOP], ids=["all loops", "one loop"])
@pytest.mark.parametrize(
    ("lock", "machine", "verdict"),
    [
        (SLOW, SLOW, "same"),
        (1 / SLOW, 1 / SLOW, "same"),
        (SLOW, 1, "worse"),
        (1 / SLOW, 1, "better"),
        (SLOW * SLOW, SLOW, "worse"),
        (1, 1 / SLOW, "cannot tell"),
        (1, SLOW, "cannot tell"),
        (SLOW, 1 / SLOW, "worse"),
    ],
)
def test_what_the_machine_itself_changed_by_is_not_the_lock_s(
    run: Bench, lock: float, machine: float, verdict: str
) -> None:
    done = compared(run, slowed(run, lock=lock, machine=machine))
    verdicts = {case.name: case.verdict for case in done.cases if not case.name.startswith("call")}
    assert verdicts == dict.fromkeys(verdicts, verdict)
    assert len(verdicts) == len(run.locks) + len(run.copying[1:])


def test_a_lock_that_is_slower_beside_a_machine_that_is_faster_was_not_measured_to_be_slower() -> None:
    case = only(measured(1000), slowed(measured(1000), lock=1, machine=1 / SLOW))
    assert (case.control, case.note) == ("C loop", "worse beside the C loop, not by itself")


@pytest.mark.parametrize(("times", "verdict"), [(SLOW, "cannot tell"), (1 / SLOW, "cannot tell"), (1.0, "same")])
def test_without_a_control_in_both_runs_a_change_cannot_be_told_from_the_machine_s(times: float, verdict: str) -> None:
    bare = replace(measured(1000), harness=[])
    few = replace(measured(1000), harness=[HarnessCost(name="C loop", samples_ns=[500.0] * 4)])
    for before in (bare, few, measured(1000)):
        after = slowed(bare, lock=times, machine=1)
        case = only(before, after)
        assert (case.verdict, case.control) == (verdict, "")
        assert case.note == ("no control loop in both runs" if times != 1 else "")
    race = only(raced(1e6), raced(times * 1.001e6))
    assert (race.verdict, race.control) == (verdict, "")


@pytest.mark.parametrize(("lock", "machine", "verdict"), [(SLOW, SLOW, "same"), (SLOW, 1, "worse"), (1, 1, "same")])
def test_the_control_of_a_race_is_the_same_race_without_a_lock(lock: float, machine: float, verdict: str) -> None:
    before, after = (
        run_of(raced_case(1e6 * free, lock="none"), raced_case(1e6 * held))
        for held, free in ((1.0, 1.0), (lock * 1.001, machine))
    )
    locked = compared(before, after).cases[1]
    assert (locked.control, locked.verdict) == ("counter, none, 2 x 250 rounds", verdict)


def test_a_race_of_another_length_backing_or_window_is_another_case() -> None:
    for changed in ({"rounds": 9}, {"backing": "stream"}, {"window_ns": 5}, {"workers": 3}):
        with pytest.raises(UsageError, match="no case in common"):
            compared(raced(1e6), raced(1e6, **changed))


def test_a_race_that_broke_since_says_so() -> None:
    assert only(raced(1e6), raced(1e6, verdict=DAMAGED.verdict)).note == "clean before, damaged after"


def test_trials_that_were_not_completed_are_no_samples() -> None:
    broken = run_of(
        replace(CLEAN, verdict="died", reason="it was killed", trial_samples=[replace(TRIAL, completed=False)])
    )
    with pytest.raises(UsageError, match="no case in common that both measured"):
        compared(raced(1e6), broken)
