from __future__ import annotations

from dataclasses import replace

import pytest

from lab.records import Replay
from lab.report.text.replay import complaints, conclusions, exit_code, text_of
from lab.report.text.schedule import columns
from tests.report.explored_records import DIVERGED, LOST, REPRODUCED

STOPPED = replace(REPRODUCED, times=40, reproduced=40, interrupted=True)
DIFFERENT = replace(REPRODUCED, reproduced=97)


def test_how_often_it_was_reproduced_is_said_in_the_words_of_the_contract() -> None:
    assert "reproduced 100 of 100" in text_of(REPRODUCED).splitlines()


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (REPRODUCED, 0),
        (DIFFERENT, 1),
        (DIVERGED, 1),
        (replace(REPRODUCED, times=40, reproduced=40), 1),
        (STOPPED, 130),
        (replace(DIVERGED, interrupted=True), 130),
    ],
)
def test_only_a_schedule_reproduced_every_time_that_was_asked_for_exits_0(run: Replay, code: int) -> None:
    assert exit_code(run) == code


def test_the_report_tells_where_the_damage_and_the_steps() -> None:
    parts = text_of(REPRODUCED).split("\n\n")
    assert parts[0] == "counter under none, 2 workers x 1 round, real processes on ext4 on Linux 6.18"
    assert parts[1] == "lost update: worker 0 overwrites what worker 1 stored in value"
    assert parts[2] == columns(REPRODUCED.steps)


def test_the_damage_comes_with_its_evidence() -> None:
    assert "lost update: value is 1 after 2 additions" in list(conclusions(REPRODUCED))


def test_damage_without_evidence_comes_with_its_count() -> None:
    assert "lost update: 1 operation" in list(conclusions(replace(REPRODUCED, damage=[replace(LOST, evidence=[])])))


def test_the_report_says_that_it_proves_the_order_and_not_the_likelihood() -> None:
    assert list(conclusions(REPRODUCED))[-1] == (
        "This order of steps is possible on this kernel and file; how likely it is, only a race tells."
    )


@pytest.mark.parametrize(("line", "said"), [(8, True), (15, True), (16, False), (64, False)])
def test_stores_cut_finer_than_a_line_are_owned_up_to(line: int, said: bool) -> None:
    cut = f"Copies were cut into moves of at most {line} bytes by hand; every processor moves 16 at once."
    assert (cut in list(conclusions(replace(REPRODUCED, line_bytes=line)))) is said


def test_a_divergence_is_told_where_it_was_met() -> None:
    said = "the model and the kernel part: worker 1 is granted a lock for which the model lets it wait"
    assert said in list(conclusions(DIVERGED))


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (REPRODUCED, []),
        (STOPPED, ["interrupted; reproduced 40 of 40 by then"]),
        (replace(STOPPED, reproduced=39), ["interrupted; reproduced 39 of 40 by then"]),
    ],
)
def test_what_came_out_the_same_is_no_complaint(run: Replay, said: list[str]) -> None:
    assert list(complaints(run)) == said


def test_a_divergence_is_a_complaint() -> None:
    assert list(complaints(DIVERGED)) == [f"not reproduced: {DIVERGED.divergence}"]


def test_other_bytes_at_the_end_are_a_complaint_with_how_often() -> None:
    (said,) = complaints(DIFFERENT)
    assert said.startswith("3 of 100 ended with other bytes or reports than the model")
