"""The prices of locks as they are printed; each judgement with a run that does not deserve it."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import pytest

from lab.records import Bench, BenchOptions, HarnessCost, Latency, LockCost, Noise
from lab.report.format import Style, fine
from lab.report.text.bench import cheapest, complaints, exit_code, text_of
from tests.report.records import header
from tests.report.toured_records import HERE

SAMPLES = [100.0, 101.0, 102.0, 103.0, 104.0]
LATENCY = Latency(900, 400, 500, 600, 700, 8000)


def cost(price: Any = "uncontended", **changed: Any) -> LockCost:
    """A steady case of fcntl."""
    workers = 1 if price == "uncontended" else 2
    row = LockCost(
        name=f"fcntl {price}",
        lock="fcntl",
        price=price,
        workers=workers,
        samples_ns=SAMPLES,
        median_ns=102.0,
        interval_95=(101.0, 103.0),
        pairs=1000,
        latency=LATENCY,
        fairness=0.75,
        longest_streak=1234,
        cpu_ns=2040.0,
        voluntary_switches=0.9,
        involuntary_switches=0.1,
        handed_over=1.0,
    )
    return replace(row, **changed)


def unmeasured(**changed: Any) -> LockCost:
    return LockCost(name="flock queue", lock="flock", price="queue", workers=2, reason="it does not answer", **changed)


def bench_of(*locks: LockCost, **changed: Any) -> Bench:
    options = BenchOptions([], [], ".", 1.0, 5, locks=["fcntl"])
    run = Bench(**header(HERE), options=options, copying=[], locks=list(locks), noise=Noise([0.02], 1, 20.0))
    return replace(run, **changed)


def told(run: Bench) -> str:
    """All that is printed, unfolded."""
    return " ".join(text_of(run).split())


def cells(run: Bench) -> list[dict[str, str]]:
    return list(csv.DictReader(text_of(run, Style("csv")).splitlines()))


def test_a_row_has_the_price_of_a_pair_its_interval_and_what_it_is_made_of() -> None:
    run = bench_of(cost("queue", median_ns=1_250.0, interval_95=(980.0, 1_300.0)))
    head, _, row = text_of(run, Style("pipe", wide=True)).splitlines()
    assert dict(zip(*([cell.strip() for cell in line.split("|")[1:-1]] for line in (head, row)), strict=True)) == {
        "case": "fcntl queue",
        "a pair": "1.25 us",
        "95 % interval": "0.98 to 1.30 us",
        "pairs/s": "800,000",
        "p50": "400 ns",
        "p90": "500 ns",
        "p99": "600 ns",
        "p99.9": "700 ns",
        "max": "8.00 us",
        "fair": "0.75",
        "streak": "1,234",
        "CPU": "2.04 us",
        "switches": "1.00",
    }


def test_for_a_program_a_row_has_plain_numbers_in_ns() -> None:
    (row,) = cells(bench_of(cost("queue", outliers=[1])))
    assert [row[name] for name in ("case", "price", "workers", "held")] == ["fcntl queue", "queue", "2", "0"]
    assert [row[name] for name in ("median_ns", "low_ns", "high_ns", "max_ns")] == ["102.0", "101.0", "103.0", "8000"]
    assert (row["fairness"], row["longest_streak"], row["switches"], row["outliers"]) == ("0.75", "1234", "1.0", "1")


def test_who_is_alone_is_neither_fair_nor_in_a_streak() -> None:
    (alone, apart) = cells(bench_of(cost(median_ns=2e6), cost("queue", median_ns=2e6, ranges="disjoint")))
    assert (alone["fairness"], alone["longest_streak"]) == ("", "")
    assert (apart["fairness"], apart["longest_streak"]) == ("0.75", "")


def of(lock: str, price: Any, median: float, spread: float = 0.01, workers: int = 2) -> LockCost:
    """A case of this lock, with an interval of so much to both sides."""
    workers = 1 if price == "uncontended" else workers
    interval = (median * (1 - spread), median * (1 + spread))
    name = f"{lock} {price}"
    return cost(price, name=name, lock=lock, workers=workers, median_ns=median, interval_95=interval)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [of("fcntl", "uncontended", 140), of("flock", "uncontended", 100)],
            "Uncontended: flock is 1.4 x cheaper than fcntl.",
        ),
        (
            [of("fcntl", "queue", 140, 0.2), of("flock", "queue", 100, 0.2)],
            "Queue: flock and fcntl cannot be told apart; their intervals overlap.",
        ),
        (
            [of("fcntl", "uncontended", 100), of("fcntl", "hand-off", 900)],
            "The price of fcntl grows 9.0 x from uncontended to hand-off.",
        ),
        (
            [of("ofd", "queue", 100), of("ofd", "queue", 300, workers=8)],
            "The price of ofd grows 3.0 x from 2 to 8 workers in the queue.",
        ),
        ([of("ofd", "queue", 100, 0.5), of("ofd", "queue", 120, 0.5, workers=8)], ""),
        ([of("fcntl", "queue", 140), of("flock", "uncontended", 100)], ""),
        ([of("fcntl", "uncontended", 140), replace(of("flock", "uncontended", 100), overlapping=1)], ""),
    ],
)
def test_at_the_end_stands_which_lock_is_the_cheapest_as_far_as_the_intervals_carry_it(
    rows: list[LockCost], said: str
) -> None:
    assert list(cheapest(rows)) == [said] * bool(said)
    assert said in told(bench_of(*rows))


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (786.4, "786 ns"),
        (999.6, "1.00 us"),
        (1_234, "1.23 us"),
        (9_996, "10.0 us"),
        (27_060, "27.1 us"),
        (99_960, "100 us"),
        (999_600, "1.00 ms"),
        (2.5e9, "2.50 s"),
    ],
)
def test_a_time_has_three_digits(ns: float, text: str) -> None:
    assert fine(ns) == text


def test_each_price_and_each_axis_in_the_table_is_defined_and_no_other() -> None:
    definitions = {
        "uncontended one worker locks and unlocks": cost(),
        "queue N workers lock and unlock in a closed loop": cost("queue"),
        "the lock passes to another worker every time": cost("hand-off"),
        "backing each pair adds 1": cost("queue", backing="mapped"),
        "held so many ranges": cost("queue", held=5),
    }
    for words, case in definitions.items():
        innocent = cost("queue") if case.price == "uncontended" else cost()
        assert words in told(bench_of(case))
        assert words not in told(bench_of(innocent))


def test_the_harness_is_set_against_c_and_where_there_is_none_against_python() -> None:
    python, lab = (
        HarnessCost(name="CPython loop", samples_ns=[1], median_ns=1200.0),
        HarnessCost(name="the lab", samples_ns=[1], median_ns=1500.0),
    )
    c = HarnessCost(name="C loop", samples_ns=[1], median_ns=1000.0)
    assert "C loop 1.00 us, CPython loop 1.20 us (1.20 x), the lab 1.50 us (1.50 x) a pair" in told(
        bench_of(cost(), harness=[c, python, lab])
    )
    without = told(bench_of(cost(), harness=[HarnessCost(name="C loop", reason="no C compiler"), python, lab]))
    assert "CPython loop 1.20 us, the lab 1.50 us (1.25 x) a pair" in without
    assert "The C loop is missing: no C compiler." in without


@pytest.mark.parametrize(
    ("judged", "innocent", "said"),
    [
        (cost(interval_95=(100.0, 110.2)), cost(), "Unsteady: 1 of 1 case spread by 10 % of the median or more"),
        (cost(samples_ns=[90, 95, 102, 106, 109.0]), cost(), "Unsteady: 1 of 1 case"),
        (
            cost(outliers=[3]),
            cost(),
            "* Far from their median, by more than three scaled median absolute deviations: 1 of 5",
        ),
        (cost(outliers=[3]), cost(), "fcntl uncontended *"),
        (cost("hand-off", handed_over=0.5), cost("hand-off"), "only 50 % of the grants came from another worker"),
        (cost("hand-off", voluntary_switches=0.1), cost("hand-off"), "the kernel counted 0.20 context switches"),
        (cost("hand-off", voluntary_switches=0.1), cost("queue", voluntary_switches=0.1), "the kernel counted"),
        (cost(latency=replace(LATENCY, p50=10)), cost(), "The clock's own step of 1 ns shows"),
        (cost(latency=replace(LATENCY, exact=False)), cost(), "Not all samples were kept"),
    ],
)
def test_a_judgement_is_passed_on_those_who_deserve_it(judged: LockCost, innocent: LockCost, said: str) -> None:
    assert said in told(bench_of(judged))
    assert said not in told(bench_of(innocent))


@pytest.mark.parametrize(
    ("cores", "is_said"),
    [([0.0, 0.5, 0.1], True), ([0.12, 0.12], False), ([0.0, 0.3], True), ([0.0, 0.2], False), ([], False)],
)
def test_actor_pool_is_told_with_how_much_it_took(cores: list[float], *, is_said: bool) -> None:
    text = told(bench_of(cost(), noise=Noise(cores, 1, 20.0)))
    most = f"{max(cores, default=0):.2f}"
    assert (f", up to {most} during a repeat. Stop them" in text) is is_said
    assert ("Not alone" in text) is is_said


def test_the_worst_of_the_unsteady_is_named() -> None:
    some = cost(name="a", interval_95=(100, 115.3)), cost(name="b", interval_95=(100, 130.6)), cost(name="c")
    assert "Unsteady: 2 of 3 cases spread by 10 % of the median or more, most b (30 %)." in told(bench_of(*some))


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ([cost()], 0, []),
        ([cost(), unmeasured()], 3, ["flock queue: not measured: it does not answer"]),
        ([cost(), unmeasured(exists=False)], 3, ["flock queue: not measured: it does not answer"]),
        ([cost(lock="flock"), unmeasured(exists=False)], 0, ["flock queue: not measured: it does not answer"]),
        ([cost(reason="worker 0 hung", failed=True)], 4, ["fcntl uncontended: not measured to the end: worker 0 hung"]),
        ([unmeasured(failed=True), unmeasured()], 4, ["flock queue: not measured: it does not answer"] * 2),
    ],
)
def test_what_was_not_measured_is_told_and_ends_with_a_code_of_its_own(
    rows: list[LockCost], code: int, said: list[str]
) -> None:
    assert (exit_code(bench_of(*rows)), list(complaints(bench_of(*rows)))) == (code, said)


def test_a_lock_that_does_not_exclude_is_told_before_all_else_and_lost_additions_too() -> None:
    run = bench_of(cost("queue", overlapping=2), unmeasured(failed=True))
    assert exit_code(run) == 1
    assert next(iter(complaints(run))) == (
        "fcntl queue: NOT EXCLUSIVE: 2 pairs of holds overlapped, so its cost means nothing; see `lab race`"
    )
    lossy = bench_of(cost(backing="private", lost=7))
    assert exit_code(lossy) == 1
    assert list(complaints(lossy)) == ["fcntl uncontended: 7 of 1,000 additions inside the lock are lost"]


def test_a_run_that_was_interrupted_says_how_far_it_came() -> None:
    run = bench_of(cost(), cost("queue", samples_ns=SAMPLES[:2]), unmeasured(), interrupted=True)
    assert exit_code(run) == 130
    assert list(complaints(run))[-1] == "interrupted: 2 repeats of 5 finished"
    assert "interrupted" not in "".join(complaints(bench_of(cost())))


def test_without_any_figure_there_is_no_table_and_nothing_is_judged() -> None:
    text = told(bench_of(unmeasured(), noise=None))
    assert "uncontended" not in text
    assert "95 % interval" not in text
    assert text.endswith("nothing was measured")
