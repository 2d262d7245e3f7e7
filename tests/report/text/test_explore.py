from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from tabulate import tabulate_formats

from lab.records import ExploredCase, SmallestShape
from lab.report.format import DATA_FORMATS, Style
from lab.report.text.explore import complaints, covered, exit_code, explanation, failure, heading, text_of, verdicts
from lab.report.text.schedule import columns
from tests.report.explored_records import BROKEN, HOLDS, LOST, TOKEN, UNEXPECTED, UNKNOWN, exploration_of

EXPECTED_UNKNOWN = replace(UNKNOWN, expected="broken")


def row(case: ExploredCase) -> dict[str, str]:
    """The row of one case by its headings."""
    head, _, cells = verdicts(exploration_of(case)).render(Style("pipe", wide=True)).splitlines()
    return dict(zip(*([cell.strip() for cell in line.split("|")[1:-1]] for line in (head, cells)), strict=True))


@pytest.mark.parametrize("style", [*tabulate_formats, *DATA_FORMATS])
def test_the_table_comes_in_every_format(style: str) -> None:
    assert "counter" in text_of(exploration_of(BROKEN, HOLDS), Style(style))


def test_a_row_is_scenario_lock_verdict_runs_and_shape() -> None:
    found = row(replace(BROKEN, schedules=1_234))
    assert [found[title] for title in ("scenario", "lock", "verdict", "runs", "preemptions")] == [
        "counter", "none", "broken (expected): lost update", "1,234", "1",
    ]  # fmt: skip


def test_for_a_program_a_row_has_plain_values() -> None:
    run = exploration_of(replace(BROKEN, schedules=1_234), HOLDS)
    broken, holds = csv.DictReader(text_of(run, Style("csv")).splitlines())
    names = ("verdict", "expected", "as_expected", "corruption", "preemptions", "runs", "exhausted")
    assert [broken[name] for name in names] == ["broken", "broken", "True", "lost update", "1", "1234", "False"]
    assert [holds[name] for name in names] == ["holds", "holds", "True", "", "", "6", "True"]


def test_workers_and_rounds_are_columns_where_they_differ_else_in_the_heading() -> None:
    for run, in_table in (
        (exploration_of(BROKEN, HOLDS), False),
        (exploration_of(BROKEN, replace(HOLDS, rounds=3)), True),
    ):
        assert ("| rounds" in text_of(run, Style("github")).replace("|   rounds", "| rounds")) is in_table
        assert heading(run).startswith("2 workers x 2 rounds, simulated") is not in_table


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([BROKEN, HOLDS], "2 cases: 1 breaks, as expected; 1 holds, in every interleaving."),
        ([UNEXPECTED, BROKEN], "2 cases: 1 breaks and should hold: counter under fcntl; 1 more as expected."),
        (
            [replace(HOLDS, exhausted=False), HOLDS, UNKNOWN],
            "3 cases: 2 hold, 1 of them in every interleaving; 1 inconclusive.",
        ),
    ],
)
def test_the_last_sentence_says_what_holds_and_what_breaks(cases: list[ExploredCase], said: str) -> None:
    assert text_of(exploration_of(*cases)).endswith(f"\n\n{said}")
    assert not text_of(exploration_of(HOLDS)).endswith("every interleaving.")


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (HOLDS, "holds in every interleaving"),
        (replace(HOLDS, exhausted=False), "holds"),
        (BROKEN, "broken (expected): lost update"),
        (UNEXPECTED, "broken: lost update"),
        (replace(BROKEN, damage=[LOST, replace(LOST, kind="torn")]), "broken (expected): lost update +1"),
        (UNKNOWN, "inconclusive"),
        (EXPECTED_UNKNOWN, "inconclusive"),
    ],
)
def test_a_verdict_says_in_words_whether_it_was_expected(case: ExploredCase, verdict: str) -> None:
    assert row(case)["verdict"] == verdict


@pytest.mark.parametrize(
    ("cases", "code"),
    [
        ([HOLDS, BROKEN], 0),
        ([replace(HOLDS, expected="broken")], 0),
        ([UNEXPECTED], 1),
        ([UNKNOWN], 3),
        ([EXPECTED_UNKNOWN], 3),
        ([UNKNOWN, UNEXPECTED], 1),
        ([], 0),
    ],
)
def test_the_exit_code_tells_what_was_not_as_expected_unless_it_was_interrupted(
    cases: list[ExploredCase], code: int
) -> None:
    assert exit_code(exploration_of(*cases)) == code
    assert exit_code(exploration_of(*cases, interrupted=True)) == 130


@pytest.mark.parametrize(
    ("line", "hypothetical"), [(1, True), (8, True), (15, True), (16, False), (64, False), (4096, False)]
)
def test_the_heading_says_what_is_simulated_and_which_cut_is_hypothetical(line: int, hypothetical: bool) -> None:
    said = heading(exploration_of(HOLDS, line_bytes=line))
    assert f"{line:,} byte" in said or f"{line} byte" in said
    assert ("hypothetical" in said) is hypothetical
    assert "simulated" in said
    assert "model" in said


def test_each_case_that_holds_says_what_it_rests_on() -> None:
    text = text_of(exploration_of(HOLDS, replace(HOLDS, lock="ofd")))
    for lock in ("fcntl", "ofd"):
        said = f"counter under {lock} holds in all 6 schedules of 2 workers x 2 rounds, under sequential consistency."
        assert covered(replace(HOLDS, lock=lock)) == said
        assert said in " ".join(text.split())


def test_what_is_unknown_says_what_was_covered_and_what_to_do() -> None:
    said = covered(UNKNOWN)
    assert said.startswith("bank under fcntl: nothing broke in 7,000 states of 2 workers x 9 rounds, which is not all")
    assert "raise --time-limit" in said


def test_what_is_broken_says_how_many_of_how_many_where_its_search_went_on_to_the_end() -> None:
    whole = replace(BROKEN, exhausted=True, schedules=70, broken_schedules=68, covered="all 70 schedules of 2 workers")
    assert covered(whole) == "counter under none: 68 of 70 runs break; covered were all 70 schedules of 2 workers."
    assert covered(whole) in " ".join(text_of(exploration_of(whole)).split())


def test_a_failure_is_told_in_order_headline_steps_reasons_how_and_replay() -> None:
    told = failure(BROKEN)
    parts = [
        BROKEN.headline,
        columns(BROKEN.steps),
        "because\n  worker 0 stored 1 because it had loaded 0",
        "found: 1 preemption, after 3 runs",
        f"replay: lab replay {TOKEN}",
    ]
    assert all(part in told for part in parts)
    assert sorted(map(told.index, parts)) == list(map(told.index, parts))


def test_the_reasons_of_a_failure_are_one_sentence_and_it_says_from_what_it_was_shrunk() -> None:
    assert (
        "  worker 0 stored 1 because it had loaded 0;\n  it loaded 0 because of that;\n  so an addition is lost.\n"
    ) in failure(BROKEN)
    told = " ".join(failure(BROKEN).split())
    assert "shrunk from 2 workers x 2 rounds (8 steps) to 2 x 1 (4 steps) in 3 runs more" in told
    assert "shrunk" not in failure(
        replace(BROKEN, shrunk=SmallestShape(workers=2, rounds=2, schedules=9, steps_before=8))
    )


def test_the_only_failure_of_one_or_several_cases_is_told_in_full_and_makes_no_claim_about_the_rest() -> None:
    alone = text_of(exploration_of(BROKEN))
    assert failure(BROKEN) in alone
    assert covered(BROKEN) not in alone
    assert failure(BROKEN) in text_of(exploration_of(BROKEN, HOLDS))


def test_of_several_failures_each_has_its_headline_and_the_line_that_replays_it() -> None:
    other = replace(BROKEN, scenario="bank", headline="balance off: so", token="L1,bank")  # noqa: S106
    text = text_of(exploration_of(BROKEN, other))
    assert f"\n    lab replay {TOKEN}\n" in text
    assert f"counter under none: {BROKEN.headline} lab replay" in " ".join(text.split())
    assert "bank under none: balance off: so\n    lab replay L1,bank\n" in text
    assert "lab explore counter --lock none" in text
    assert columns(BROKEN.steps) not in text


def test_the_schedules_that_were_asked_for_are_listed_with_their_numbers() -> None:
    shown = text_of(exploration_of(replace(HOLDS, schedules_shown=["0x4 1x4", "1x4 0x4"])))
    assert [line.split(maxsplit=1) for line in shown.splitlines()[-2:]] == [["1", "0x4 1x4"], ["2", "1x4 0x4"]]


def test_what_broke_unexpected_or_is_inconclusive_is_a_complaint() -> None:
    broke, unknown = complaints(exploration_of(HOLDS, BROKEN, UNEXPECTED, UNKNOWN))
    assert broke == f"counter under fcntl: broken where it should hold: {UNEXPECTED.headline}"
    assert unknown.startswith("bank under fcntl: inconclusive")


def test_a_race_is_explained_by_the_failure_or_by_what_is_not_modelled() -> None:
    said = explanation(BROKEN)
    assert said.startswith("why counter under none broke, the shortest interleaving:")
    assert failure(BROKEN) in said
    for text in (
        "the model has no reason for it",
        "holds in all 6 schedules of 2 workers x 2 rounds",
        "the lock, the mapping or the filesystem",
    ):
        assert text in explanation(HOLDS)
    assert "holds in" not in explanation(UNKNOWN)


def test_a_case_that_was_interrupted_before_its_failure_was_told_has_no_failure_to_show() -> None:
    bare = replace(BROKEN, damage=[], steps=[], reasons=[], headline="", shrunk=None, token=None, preemptions=None)
    assert row(bare)["verdict"] == "broken (expected): interrupted"
    assert "replay" not in text_of(exploration_of(bare, interrupted=True))
