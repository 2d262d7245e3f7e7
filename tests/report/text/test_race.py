from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from tabulate import tabulate_formats

from lab.records import ITS_OWN, Case, Cpu, Quantiles, Run, Switches, load
from lab.report.format import DATA_FORMATS, Style
from lab.report.text.race import REPORT, cost_columns, names_of, table_of, tables_of, text_of, use_columns, what_broke
from lab.report.text.race_again import NEXT
from tests.helpers import ROOT
from tests.report.explored_records import BROKEN_WHEN_EXPLORED
from tests.report.records import (
    BROKEN_BY_FAULT,
    CLEAN,
    COUNTEREXAMPLE,
    DAMAGED,
    DEADLY,
    DIED,
    HUNG,
    LOST,
    MINE,
    NOT_TRIED,
    REFUSED,
    TOO_WEAK,
    TRIAL,
    TWO_IN,
    UNLOCKED,
    run_of,
)

WIDE = Style(wide=True)


def cells(case: Case, *others: Case, table: str = "broken") -> dict[str, str]:
    """The cells of the first row for people, by their titles: all columns of what is judged, of the cost or the use."""
    shown = tables_of(run_of(case, *others))[table]
    return {column.title: column.text(case) for column in shown.columns if column.title}


def plain(*cases: Case) -> list[dict[str, str]]:
    return list(csv.DictReader(what_broke(run_of(*cases), Style("csv")).splitlines()))


@pytest.mark.parametrize("style", [*tabulate_formats, *DATA_FORMATS])
@pytest.mark.parametrize("run", [run_of(), run_of(REFUSED), run_of(UNLOCKED, CLEAN)], ids=["none", "refused", "two"])
def test_the_table_comes_in_every_format(style: str, run: Run) -> None:
    for kind in (Style(style), Style(style, wide=True), Style(style, cost=True)):
        assert text_of(run, kind).count("fcntl") >= bool(run.cases)


def test_a_race_is_one_table_of_eighty_columns_and_the_verdict_stands_early() -> None:
    unlocked = replace(UNLOCKED, scenario="readers_writers", damaged=115_341, corruption_rate=0.384)
    slow = replace(CLEAN, scenario="readers_writers", detection_limit=1 / 33_000, operations_per_s=100.0)
    lines = what_broke(run_of(unlocked, slow)).splitlines()
    assert lines[0].split() == ["scenario", "lock", "verdict", "corrupted", "rate", "detects", "slowdown"]
    assert max(map(len, lines)) == 80
    assert [len(line.split("  ")) > 1 for line in lines] == [True] * 4


def test_a_wider_terminal_shows_more_columns_and_wide_shows_all_within_the_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert {"kind", "overlaps", "trials"} <= {*what_broke(run_of(UNLOCKED, CLEAN)).splitlines()[0].split()}
    monkeypatch.setenv("COLUMNS", "80")
    parts = what_broke(run_of(UNLOCKED, CLEAN), WIDE).split("\n\n")
    assert {part.split()[0] for part in parts} == {"scenario"}
    assert all(f" {name}" in "\n".join(parts) for name in ("95 % interval", "hold max", "minor faults"))


@pytest.mark.parametrize(
    ("cases", "titles"),
    [
        ([CLEAN], ["scenario", "lock", "verdict", "corrupted", "rate", "detects"]),
        ([UNLOCKED], ["scenario", "lock", "verdict", "corrupted", "rate"]),
        (
            [CLEAN, replace(CLEAN, workers=4)],
            ["scenario", "lock", "workers", "verdict", "corrupted", "rate", "detects"],
        ),
        ([MINE, DEADLY], ["scenario", "lock", "fault", "verdict", "corrupted", "rate", "detects"]),
    ],
    ids=["one lock", "no lock", "workers", "faults"],
)
def test_columns_are_shown_where_they_tell_something(cases: list[Case], titles: list[str]) -> None:
    shown = [column.title for column in table_of(run_of(*cases)).shown(Style("github"))]
    assert shown[: len(titles)] == titles


def test_a_backing_that_was_chosen_stands_beside_the_lock() -> None:
    cases = [CLEAN, replace(CLEAN, backing="sysv"), replace(CLEAN, backing=ITS_OWN, lock=ITS_OWN)]
    chosen, own = run_of(*cases, backings=["mapped", "sysv"]), run_of(*cases)
    shown = [[table_of(run).columns[1].text(case) for case in cases] for run in (chosen, own)]
    assert shown == [["fcntl", "fcntl in sysv", "its own"], ["fcntl", "fcntl", "its own"]]
    assert [row["backing"] for row in plain(*cases)] == ["mapped", "sysv", "its own"]


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (CLEAN, "clean"),
        (DAMAGED, "FAILED: broke"),
        (UNLOCKED, "expected break"),
        (COUNTEREXAMPLE, "expected break"),
        (TWO_IN, "FAILED: overlap"),
        (replace(TWO_IN, expected="damaged"), "FAILED: overlap"),
        (BROKEN_WHEN_EXPLORED, "FAILED: explored"),
        (DIED, "FAILED: died"),
        (HUNG, "FAILED: hung"),
        (replace(HUNG, expected="timeout"), "expected hang"),
        (replace(CLEAN, expected="damaged"), "did not break"),
        (TOO_WEAK, "inconclusive"),
        (REFUSED, "not available"),
        (NOT_TRIED, "not tried"),
    ],
)
def test_expected_and_unexpected_verdicts_differ_by_their_words(case: Case, verdict: str) -> None:
    assert cells(case)["verdict"] == verdict


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        (DAMAGED, {"corrupted": "3", "rate": "0.30 %", "trials": "1 of 2", "95 % interval": "1 to 99 %"}),
        (CLEAN, {"rate": "0 %", "95 % interval": "0 to 84 %", "overlaps": "0", "detects": "1 in 33"}),
        (DAMAGED, {"kind": "lost update"}),
        (replace(DAMAGED, damage=[LOST, replace(LOST, kind="torn", count=4)]), {"kind": "torn +1"}),
        (BROKEN_WHEN_EXPLORED, {"corrupted": "0", "kind": "explored: in 1 preemption: lost update"}),
        (replace(DIED, trial_samples=[TRIAL, replace(TRIAL, completed=False)]), {"trials": "0 of 1"}),
        (replace(DIED, trial_samples=[replace(TRIAL, completed=False)]), {"trials": "-", "95 % interval": "-"}),
        (UNLOCKED, {"overlaps": "-"}),
        (DEADLY, {"corrupted": "-", "rate": "-"}),
        (REFUSED, {"corrupted": "-", "rate": "-", "overlaps": "-", "trials": "-", "95 % interval": "-"}),
    ],
)
def test_figures_of_what_broke(case: Case, shown: dict[str, str]) -> None:
    assert {title: cells(case)[title] for title in shown} == shown


def test_the_slowdown_is_that_against_the_same_race_without_a_lock() -> None:
    bases = [replace(UNLOCKED, operations_per_s=1e6), replace(UNLOCKED, operations_per_s=5e6, backing="sysv")]
    locked = [CLEAN, replace(CLEAN, backing="sysv"), replace(CLEAN, backing="posix"), replace(CLEAN, workers=4)]
    run = run_of(*bases, *locked)
    (column,) = [column for column in table_of(run).columns if column.title == "slowdown"]
    assert [column.text(case) for case in run.cases] == ["-", "-", "x 2.0", "x 10.0", "-", "-"]


def test_costs_are_speed_waits_holds_and_overtaking() -> None:
    waits, holds = Quantiles(p50=100, p99=2000, max=3_000_000), Quantiles(p50=1, p99=2, max=3)
    shown = cells(replace(CLEAN, wait_ns=waits, hold_ns=holds), table="cost")
    assert shown == {
        "scenario": "counter", "lock": "fcntl", "ops/s": "500,000", "wait p50": "100 ns", "wait p99": "2.0 us",
        "wait max": "3.0 ms", "hold p50": "1 ns", "hold p99": "2 ns", "hold max": "3 ns", "overtaken": "1,234",
    }  # fmt: skip
    assert cells(replace(CLEAN, gave_up=1000), table="cost")["gave up"] == "1,000"


def test_use_is_processor_switches_faults_and_memory() -> None:
    cpu, switches = Cpu(user=1.234, system=0.5), Switches(voluntary=1200, involuntary=3)
    case = replace(CLEAN, cpu_s=cpu, context_switches=switches, minor_faults=45_678, private_bytes=2 << 20)
    assert list(cells(case, table="used").values())[2:] == ["1.23", "0.50", "1,200", "3", "-", "2,048", "45,678"]


def test_costs_are_asked_for_and_leave_out_what_did_not_run_or_was_disturbed() -> None:
    run = run_of(UNLOCKED, CLEAN, REFUSED, BROKEN_BY_FAULT)
    tables = text_of(run, Style("github", cost=True)).split("\n\n")
    assert [table.split("|")[3].strip() for table in tables] == ["fault", "ops/s", "user s"]
    assert [len(table.split("\n")) - 2 for table in tables] == [4, 2, 2]
    assert "ops/s" not in text_of(run)
    assert list(tables_of(run_of(REFUSED))) == ["broken"]


def test_for_programs_a_race_is_one_table_of_plain_values() -> None:
    first, second, third = plain(replace(UNLOCKED, operations_per_s=1e6), DAMAGED, REFUSED)
    assert {name: second[name] for name in ("damaged", "damaged_of", "operations", "corruption_rate")} == {
        "damaged": "3", "damaged_of": "0", "operations": "1000", "corruption_rate": "0.003",
    }  # fmt: skip
    assert (second["slowdown"], first["slowdown"], third["slowdown"]) == ("2.0", "", "")
    assert (first["expected"], first["as_expected"], second["as_expected"]) == ("damaged", "True", "False")
    assert (second["interval_95_low"], second["wait_p50_ns"], second["kinds"]) == ("0.013", "", "lost update")
    assert all(" of " not in value and "%" not in value for row in (first, second) for value in row.values())
    assert what_broke(run_of(CLEAN), Style("csv", cost=True)) == text_of(run_of(CLEAN), Style("csv"))


def test_no_title_is_there_twice() -> None:
    run = run_of(replace(CLEAN, gave_up=1), DEADLY)
    for columns in (table_of(run).columns, [*names_of(run, run.cases), *cost_columns(run), *use_columns()]):
        titles = [column.title for column in columns if column.title]
        assert len(titles) == len({*titles})
    names = table_of(run).names()
    assert len(names) == len({*names})


CASES = [
    CLEAN, DAMAGED, UNLOCKED, TWO_IN, DIED, HUNG, REFUSED, TOO_WEAK, COUNTEREXAMPLE, MINE, DEADLY, BROKEN_BY_FAULT,
    NOT_TRIED, BROKEN_WHEN_EXPLORED, replace(MINE, lock="my_package.my_module:my_lock", scenario="a_name_of_my_own"),
    replace(UNLOCKED, backing="sysv"), replace(CLEAN, expected="damaged", rounds=10**9, workers=512),
]  # fmt: skip


@pytest.mark.parametrize("style", [Style(), Style(cost=True), WIDE])
@pytest.mark.parametrize("run", [run_of(*CASES, window_ns=1500, detects=1e-3), *(run_of(case) for case in CASES)])
def test_no_line_is_longer_than_eighty_columns_but_one_to_paste(run: Run, style: Style) -> None:
    long = [line for line in text_of(run, style).splitlines() if len(line) > 80]
    assert [line for line in long if not line.startswith(NEXT)] == []


def test_the_reference_run_fits_eighty_columns() -> None:
    run = load(ROOT / "results" / "reference.json")
    for style in (Style(), WIDE):
        assert max(map(len, text_of(run, style).splitlines())) <= 80


def test_a_verdict_has_its_colour() -> None:
    import re

    found = {verdict: [colour for pattern, colour in REPORT.colours.items() if re.search(pattern, verdict)]
             for verdict in ("clean", "expected break", "FAILED: overlap", "inconclusive", "counter")}  # fmt: skip
    assert found == {
        "clean": ["green"], "expected break": ["yellow"], "FAILED: overlap": ["bold red"],
        "inconclusive": ["bold red"], "counter": [],
    }  # fmt: skip
