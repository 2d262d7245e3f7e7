"""Two runs compared, as it is printed."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import pytest

from lab.records import (
    SCHEMA,
    CaseComparison,
    CompareOptions,
    Comparison,
    EnvironmentDifference,
    LeftOutCase,
    MeasuredRun,
)
from lab.report.documents import report_of
from lab.report.format import PLAIN, Style
from lab.report.text.compare import COLOURS, complaints, exit_code, text_of
from tests.report.records import ENVIRONMENT

SLOWER = CaseComparison("fcntl uncontended", 1200.0, 1440.0, 1.2, (1.19, 1.22), "worse")
SAME = CaseComparison("fcntl queue, 2 workers", 1740.0, 1750.0, 1.0057, (0.98, 1.03), "same")
UNSURE = CaseComparison("ofd hand-off, 2 workers", 21_400.0, 24_000.0, 1.1215, (0.95, 1.31), "cannot tell")
FASTER = CaseComparison("flock uncontended", 900.0, 720.0, 0.8, (0.79, 0.82), "better")
OPTIONS = CompareOptions(before="old.json", after="new.json", margin=0.1)


def comparison(*cases: CaseComparison, fail_slower: bool = False, **changed: Any) -> Comparison:
    done = Comparison(
        schema=SCHEMA,
        options=replace(OPTIONS, fail_slower=fail_slower),
        before=MeasuredRun("2026-01-02T03:04:05Z", ENVIRONMENT),
        after=MeasuredRun("2026-02-03T04:05:06Z", replace(ENVIRONMENT, lab="0.2.0")),
        unlike=[],
        cases=list(cases),
        harness=[],
        left_out=[],
    )
    return replace(done, **changed)


ALL = comparison(SLOWER, SAME, UNSURE, FASTER)


def told(run: Comparison, style: Style = PLAIN) -> str:
    """All that is printed, unfolded."""
    return " ".join(text_of(run, style).split())


def test_the_table_has_a_row_a_case_with_both_times_their_ratio_and_its_interval() -> None:
    head, *rows = csv.reader(text_of(ALL, Style("csv")).splitlines())
    assert head == ["case", "verdict", "ratio", "low", "high", "before_ns", "after_ns", "machine", "control", "note"]
    assert [row[:7] for row in rows] == [
        ["fcntl uncontended", "worse", "1.2", "1.19", "1.22", "1200.0", "1440.0"],
        ["fcntl queue, 2 workers", "same", "1.0057", "0.98", "1.03", "1740.0", "1750.0"],
        ["ofd hand-off, 2 workers", "cannot tell", "1.1215", "0.95", "1.31", "21400.0", "24000.0"],
        ["flock uncontended", "better", "0.8", "0.79", "0.82", "900.0", "720.0"],
    ]
    shown = text_of(ALL, Style("pipe")).splitlines()
    assert [cell.strip() for cell in shown[2].split("|")[1:-1]] == [
        "fcntl uncontended", "worse", "1.20", "1.19 to 1.22", "1.20 us", "1.44 us",
    ]  # fmt: skip


def test_the_heading_tells_both_runs_and_where_they_were_measured() -> None:
    assert told(ALL).startswith(
        "from old.json (2026-01-02 03:04:05 UTC, lab 0.1.0) to new.json (2026-02-03 04:05:06 UTC, lab 0.2.0): ext4, "
        "Linux 6.18, 1 CPU, CPython 3.11.7, recorder compiled"
    )


def test_the_verdicts_are_counted_the_worst_first() -> None:
    assert "4 cases: 1 cannot tell, 1 worse, 1 same, 1 better. " in told(ALL)
    assert "2 cases: 2 same. " in told(comparison(SAME, SAME))


def test_what_same_means_is_told_with_the_margin_that_was_asked_for() -> None:
    assert "same: the interval is within 10 % of 1" in told(ALL)
    finer = comparison(SAME, options=replace(OPTIONS, margin=0.025))
    assert "the change is larger than 2.5 %" in told(finer)


def test_what_to_do_is_told_only_where_nothing_can_be_told() -> None:
    assert "the interval of 1 case is too wide. Measure both again with more samples" in told(ALL)
    assert "too wide" not in told(comparison(SLOWER, SAME, FASTER))


def test_the_machine_s_part_is_a_column_where_there_is_one() -> None:
    run = comparison(replace(UNSURE, machine=1.31, control="wake-up"), SAME)
    first, second = csv.DictReader(text_of(run, Style("csv")).splitlines())
    assert [(row["machine"], row["control"]) for row in (first, second)] == [("1.31", "wake-up"), ("", "")]
    assert " machine |" in text_of(run, Style("github", wide=True))
    assert "machine: how many times as long a control took, which has no code of the lab in it (wake-up)" in told(run)
    assert "machine" not in told(comparison(SAME))


@pytest.mark.parametrize(("ratio", "is_told"), [(1.02, False), (1.03, True), (0.98, False), (0.96, True)])
def test_a_machine_that_changed_is_told_by_the_bare_loops(ratio: float, is_told: bool) -> None:
    loops = [replace(SAME, name="C loop", ratio=ratio), replace(SAME, name="the lab", ratio=2.0)]
    text = told(comparison(SAME, harness=loops))
    assert (f"The machine itself changed: C loop {ratio:.2f} x. These" in text) is is_told


@pytest.mark.parametrize(("cores", "is_told"), [(0.12, False), (0.13, True)])
def test_a_run_that_was_not_alone_is_told(cores: float, is_told: bool) -> None:
    busy = MeasuredRun("2026-01-02T03:04:05Z", ENVIRONMENT, cores)
    assert ("The run before was not alone" in told(comparison(SAME, before=busy))) is is_told
    assert ("The run after was not alone" in told(comparison(SAME, after=busy))) is is_told


def test_a_comment_for_a_pull_request_begins_with_the_verdict_and_has_a_markdown_table() -> None:
    lines = text_of(ALL, Style("github")).splitlines()
    assert lines[0] == "**4 cases: 1 cannot tell, 1 worse, 1 same, 1 better**"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 4
    assert table[2].split("|")[1].strip() == "fcntl uncontended"
    assert "same: the interval is within 10 % of 1" in lines[-3]


def test_worse_is_a_failure_only_where_that_was_asked_for() -> None:
    assert exit_code(ALL) == 0
    assert exit_code(comparison(SLOWER, SAME, fail_slower=True)) == 1
    assert exit_code(comparison(UNSURE, SAME, FASTER, fail_slower=True)) == 0
    assert list(complaints(comparison(SLOWER, SAME))) == []
    assert list(complaints(comparison(SLOWER, SAME, fail_slower=True))) == [
        "fcntl uncontended: slower by 20.0 %; at most 10 % was asked"
    ]


def test_what_is_unlike_left_out_or_no_cost_is_a_complaint() -> None:
    run = comparison(
        replace(SAME, note="clean before, damaged after"),
        unlike=[EnvironmentDifference("filesystem", "ext4", "tmpfs")],
        left_out=[LeftOutCase("flock uncontended", "there is none after")],
    )
    assert list(complaints(run)) == [
        "not measured alike: filesystem: ext4 before, tmpfs after",
        "flock uncontended: not compared: there is none after",
        "fcntl queue, 2 workers: clean before, damaged after",
    ]


def test_a_terminal_colours_the_verdicts_at_the_ends_of_the_rows() -> None:
    import re

    found = [match[0] for pattern in COLOURS for match in re.finditer(pattern, text_of(ALL))]
    assert sorted(each.strip() for each in found) == ["better", "cannot tell", "same", "worse"]
    assert report_of(ALL).colours is COLOURS
