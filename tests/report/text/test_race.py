from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace

import pytest
from tabulate import tabulate_formats

from lab.records import Case, Cpu, Quantiles, Run, Switches
from lab.report.format import DATA_FORMATS, Style
from lab.report.text.race import BROKE, COST, USED, what_broke, what_it_cost, what_it_used
from tests.report.explored_records import BROKEN_WHEN_EXPLORED
from tests.report.records import CLEAN, DAMAGED, DIED, HUNG, LOST, REFUSED, TRIAL, TWO_IN, UNLOCKED, run_of

MakeTable = Callable[..., str]
TABLES: list[tuple[MakeTable, tuple[str, ...]]] = [(what_broke, BROKE), (what_it_cost, COST), (what_it_used, USED)]


def broke(case: Case, *others: Case) -> dict[str, str]:
    """The first row of the table of what broke, by its headings."""
    return dict(zip(BROKE, cells(what_broke(run_of(case, *others), Style("csv")))[1], strict=True))


def cost(*cases: Case) -> list[list[str]]:
    """The rows of the table of costs."""
    return cells(what_it_cost(run_of(*cases), Style("csv")))[1:]


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


@pytest.mark.parametrize(("table", "head"), TABLES)
@pytest.mark.parametrize("style", [*tabulate_formats, *DATA_FORMATS])
def test_every_table_comes_in_every_format(table: MakeTable, head: tuple[str, ...], style: str) -> None:
    assert "counter" in table(run_of(UNLOCKED, CLEAN), Style(style))


@pytest.mark.parametrize(("table", "head"), TABLES)
@pytest.mark.parametrize("run", [run_of(), run_of(REFUSED)], ids=["no case", "a case that did not run"])
def test_a_table_without_figures_is_still_a_table(table: MakeTable, head: tuple[str, ...], run: Run) -> None:
    assert cells(table(run, Style("csv")))[0] == list(head)
    assert isinstance(table(run), str)


def test_values_that_hold_the_separator_are_quoted() -> None:
    big = replace(CLEAN, operations=1_000_000, operations_per_s=2_000_000.0, holds=1_000_000)
    for table, head in TABLES:
        assert [len(row) for row in cells(table(run_of(big), Style("csv")))] == [len(head)] * 2


def test_a_damaged_case_tells_operations_rate_trials_and_interval() -> None:
    row = broke(DAMAGED)
    assert row["corrupted"] == "3 of 1,000"
    assert row["rate"] == "0.30 %"
    assert row["trials"] == "1 of 2"
    assert row["95 % interval"] == "1 to 99 %"


def test_a_clean_race_that_breaks_when_explored_says_both() -> None:
    row = broke(BROKEN_WHEN_EXPLORED)
    assert (row["corrupted"], row["verdict"]) == (
        "0 of 1,000",
        "DAMAGED when explored, in 1 preemption: lost update",
    )


def test_a_clean_case_has_the_upper_bound_of_its_rate_and_what_it_would_have_noticed() -> None:
    row = broke(CLEAN)
    assert (row["rate"], row["95 % interval"]) == ("0 %", "0 to 84 %")
    assert (row["overlaps"], row["detects"]) == ("0", "1 in 33")


def test_trials_that_were_not_completed_are_not_counted_as_judged() -> None:
    row = broke(replace(DIED, trial_samples=[TRIAL, replace(TRIAL, completed=False)]))
    assert row["trials"] == "0 of 1"


def test_a_case_of_which_no_trial_was_completed_has_no_interval() -> None:
    row = broke(replace(DIED, trial_samples=[replace(TRIAL, completed=False)]))
    assert (row["trials"], row["95 % interval"]) == ("-", "-")


def test_a_case_without_holds_says_nothing_of_two_in() -> None:
    assert broke(UNLOCKED)["overlaps"] == "-"


def test_a_case_that_did_not_run_has_no_figures() -> None:
    assert list(broke(REFUSED).values()) == ["counter", "fcntl", "2", *6 * ["-"], "UNSUPPORTED"]


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (CLEAN, "clean"),
        (DAMAGED, "DAMAGED: lost update"),
        (UNLOCKED, "damaged: lost update"),
        (TWO_IN, "DAMAGED: overlaps"),
        (DIED, "DIED"),
        (HUNG, "TIMEOUT"),
        (replace(HUNG, expected="timeout"), "timeout"),
        (replace(CLEAN, expected="damaged"), "clean this time"),
        (replace(DAMAGED, damage=[LOST, replace(LOST, kind="torn", count=4)]), "DAMAGED: torn +1"),
    ],
)
def test_a_verdict_is_in_capitals_where_it_was_not_announced(case: Case, verdict: str) -> None:
    assert broke(case)["verdict"] == verdict


def test_the_price_of_a_lock_is_told_against_the_same_race_without() -> None:
    other = replace(UNLOCKED, workers=4, operations_per_s=1_000.0)
    rows = cost(replace(UNLOCKED, operations_per_s=1_000_000.0), CLEAN, other)
    assert [row[COST.index("slowdown")] for row in rows] == ["-", "x 2.0", "-"]


def test_without_the_unlocked_race_there_is_no_price() -> None:
    assert cost(CLEAN)[0][COST.index("slowdown")] == "-"


def test_costs_are_speed_waits_holds_and_overtaking() -> None:
    case = replace(CLEAN, wait_ns=Quantiles(p50=100, p99=2000, max=3_000_000), hold_ns=Quantiles(p50=1, p99=2, max=3))
    (row,) = cost(case)
    assert row[3:] == ["500,000", "-", "100 ns", "2.0 us", "3.0 ms", "1 ns", "2 ns", "3 ns", "1,234"]


def test_a_case_that_did_not_run_has_no_costs() -> None:
    assert cost(REFUSED, CLEAN) == cost(CLEAN)


def test_use_is_processor_switches_faults_and_memory() -> None:
    case = replace(
        CLEAN,
        cpu_s=Cpu(user=1.234, system=0.5),
        context_switches=Switches(voluntary=1200, involuntary=3),
        minor_faults=45_678,
        private_bytes=2 << 20,
        peak_rss_bytes=None,
    )
    _, row = cells(what_it_used(run_of(case), Style("csv")))
    assert row[3:] == ["1.23", "0.50", "1,200", "3", "45,678", "2,048", "-"]


def test_names_stand_to_the_left_and_figures_to_the_right() -> None:
    head, _, row = what_broke(run_of(DAMAGED)).splitlines()
    assert head.startswith("scenario ")
    assert row.startswith("counter ")
    assert row.index("3 of 1,000") + len("3 of 1,000") == head.index("corrupted") + len("corrupted")


@pytest.mark.parametrize(("table", "head"), TABLES)
def test_the_backing_is_a_column_where_not_all_have_the_usual_one(table: MakeTable, head: tuple[str, ...]) -> None:
    run = run_of(CLEAN, replace(CLEAN, backing="sysv"), CLEAN)
    told, *rows = cells(table(run, Style("csv")))
    assert told == [*head[:2], "backing", *head[2:]]
    assert [row[2] for row in rows] == ["mapped", "sysv", "mapped"]
    assert {len(row) for row in rows} == {len(told)}


@pytest.mark.parametrize(("table", "head"), TABLES)
def test_the_usual_backing_is_no_column(table: MakeTable, head: tuple[str, ...]) -> None:
    assert cells(table(run_of(CLEAN), Style("csv")))[0] == list(head)


def test_the_price_of_a_lock_is_told_against_the_same_backing() -> None:
    unlocked = [
        replace(UNLOCKED, operations_per_s=1_000_000.0),
        replace(UNLOCKED, operations_per_s=5_000_000.0, backing="sysv"),
    ]
    rows = cost(*unlocked, CLEAN, replace(CLEAN, backing="sysv"), replace(CLEAN, backing="posix"))
    assert [row[COST.index("slowdown") + 1] for row in rows] == ["-", "-", "x 2.0", "x 10.0", "-"]
