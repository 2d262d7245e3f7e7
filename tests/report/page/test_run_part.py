from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lab.records import Block, Case, Damage, Field, Holds
from lab.report.page.build import run_part
from tests.report.page.recordings import LOAD, LOST, LOST_ROWS, REPORT, STORE, Row, counted, held, word
from tests.report.records import CLEAN, DIED, ENVIRONMENT, REFUSED, UNLOCKED, run_of


def part_of(*cases: Case, **changed: Any) -> dict[str, Any]:
    run = replace(run_of(*cases), **changed)
    told: dict[str, Any] = json.loads(run_part(run))
    return told


def recording_of(*cases: Case) -> dict[str, Any]:
    told: dict[str, Any] = part_of(*cases)["cases"][0]["recording"]
    return told


def sentences(rows: list[Row], left: int = 1, **changed: Any) -> list[str]:
    recording = replace(counted(rows, left), **changed)
    return [each[7] for each in recording_of(replace(UNLOCKED, workers=3, recording=recording))["problems"]]


def test_the_three_tables_carry_the_cells_of_the_report_and_what_their_columns_mean() -> None:
    broke, cost, used = part_of(UNLOCKED, CLEAN)["tables"]
    assert [table["title"] for table in (broke, cost, used)] == ["What broke", "What it cost", "What it used"]
    assert broke["rows"][0][:4] == ["counter", "none", "expected break", "3"]
    assert broke["rows"][1][2] == "clean"
    assert len(cost["rows"]) == len(used["rows"]) == 2
    assert ["overlaps", "pairs of holds that overlapped and may not"] in broke["head"]
    assert all(len(row) == len(table["head"]) for table in (broke, cost, used) for row in table["rows"])


def test_a_run_without_a_case_has_its_environment_and_empty_tables() -> None:
    told = part_of()
    assert [table["rows"] for table in told["tables"]] == [[]]
    assert ["kernel", "Linux 6.18"] in told["environment"]
    assert told["cases"] == []


def test_cases_carry_their_verdict_and_none_has_a_recording_that_was_not_made() -> None:
    died, refused = part_of(DIED, REFUSED)["cases"]
    assert (died["verdict"], died["expected"], died["recording"]) == ("died", False, None)
    assert (refused["verdict"], refused["recording"]) == ("unsupported", None)


def test_no_absolute_path_is_on_the_page() -> None:
    told = part_of(
        replace(REFUSED, reason="lock fcntl: refused on /mnt/user/x (No locks available); try 1/4"),
        environment=replace(ENVIRONMENT, mount_options="rw,lowerdir=/a/b:/c/d,upperdir=/e/f"),
    )
    assert told["cases"][0]["reason"] == "lock fcntl: refused on x (No locks available); try 1/4"
    assert "/" not in dict(told["environment"])["mount options"]
    assert "directory" not in dict(told["options"])


def test_a_home_directory_with_spaces_is_not_told_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jo doe")
    told = part_of(replace(DIED, reason="worker 0 raised (/home/jo doe/my work/x.py:3); see ~/a/b.py"))
    assert told["cases"][0]["reason"] == "worker 0 raised (my work/x.py:3); see b.py"


def test_a_lost_update_is_told_with_the_writer_whose_value_was_overwritten_and_what_was_seen() -> None:
    (event,) = recording_of(LOST)["problems"]
    assert event == [
        "lost update", 3000, 1200, 3100, 0, 8, [1, 0],
        "Worker 1 stored 1 to value (round 1, 3.00 us) over the 1 of worker 0 (round 1, 2.00 us), which it had not "
        "seen: it had loaded 0 at 1.20 us.",
        [1, 2, 3],
    ]  # fmt: skip


def test_two_stores_at_once_are_told_in_this_or_the_other_order() -> None:
    rows = [*LOST_ROWS[:2], (0, 0, STORE, 2000, 3050, word(1)), (1, 0, STORE, 3000, 3100, word(1))]
    (sentence,) = sentences(rows)
    assert "in this or the other order" in sentence
    assert "2.00 us to 3.05 us" in sentence


def test_what_has_no_words_has_its_moment_its_kind_and_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.report.page.build.MOST_SENTENCES", 1)
    rows = [
        *LOST_ROWS,
        (1, 1, LOAD, 4500, 4600, word(1)),
        (1, 1, STORE, 6000, 6100, word(2)),
        (0, 1, REPORT, 7000, 7000, b"odd"),
    ]
    told = recording_of(replace(UNLOCKED, recording=counted(rows, 2)))
    assert len(told["problems"]) == 1
    assert told["marked"] == {
        "kinds": ["lost update", "reported"], "kind": [0, 1], "at": [6000, 1000], "start": [0, 0], "end": [8, 8],
    }  # fmt: skip
    assert told["count"] == 3
    assert told["cut"] == ["2 of the moments marked below are not described in words"]


def test_every_byte_has_its_writer_and_what_it_overwrote() -> None:
    assert recording_of(LOST)["origins"] == [[0, 8, 5, 3, 1, 1, word(1).hex()]]


def test_bytes_that_no_store_left_are_nobodys_and_keep_what_was_there() -> None:
    assert recording_of(replace(UNLOCKED, recording=counted([], 5)))["origins"] == [[0, 1, -1, -1, 1, 0, "00"]]


def test_what_a_worker_reported_comes_first_where_it_told_of_damage() -> None:
    told = recording_of(
        replace(UNLOCKED, recording=counted([*LOST_ROWS, (1, 1, REPORT, 9000, 9000, b"torn: odd bytes")], 2))
    )
    assert told["first"] == 1
    assert told["problems"][1][7] == "Worker 1 saw in round 2: torn: odd bytes."


def test_a_report_whose_words_found_no_room_is_told_without_them() -> None:
    (sentence,) = sentences([(0, 3, REPORT, 4000, 4000, b"")], 0)
    assert sentence == "Worker 0 saw in round 4: damage, of whose words none found room."


def test_holds_that_overlap_are_told_with_both_workers() -> None:
    holds = Holds([0, 1], [0, 50], [10, 60], [100, 200], [0, 0], [8, 8], [1, 1])
    (event,) = recording_of(replace(CLEAN, recording=counted([], 0, holds)))["problems"]
    assert event[:7] == ["overlap", 60, 10, 100, 0, 8, [1, 0]]
    assert event[7].startswith("Worker 1 was granted the write lock on bytes 0 to 7 at 0.06 us, while worker 0 held")


def test_a_worker_that_ended_inside_and_one_that_was_stuck_are_told() -> None:
    inside = Holds([0], [0], [10], [-1], [0], [8], [1])
    assert "ended while it held the lock on value" in sentences([], 0, holds=inside)[0]
    stuck = Holds([0, 0], [0, 20], [10, -1], [-1, -1], [0, 0], [8, 8], [1, 1])
    assert "and waited for the one on value when it was ended" in sentences([], 0, holds=stuck)[0]


def test_locks_that_take_turns_bring_no_event() -> None:
    told = recording_of(held(50))
    assert told["problems"] == []
    assert told["first"] is None
    assert len(told["holds"]["worker"]) == 50


def test_what_found_no_room_is_told() -> None:
    recording = replace(counted([], 0), unrecorded_accesses=7, blocks_left_out=1200)
    cut = recording_of(replace(CLEAN, recording=recording))["cut"]
    assert cut == ["7 accesses were not written down", "1,200 further blocks of the file are not shown"]


def test_damage_of_the_recorded_trial_is_told_beside_that_of_the_case() -> None:
    recording = replace(counted([], 0), damage=[Damage("lost update", 1, 4, [])])
    assert recording_of(replace(CLEAN, recording=recording))["damage"] == ["lost update: 1 of 4"]


def test_a_torn_record_names_the_elements_of_its_field() -> None:
    field = Field(name="record[]", start=0, size=1, kind="unsigned", dimensions=[(16, 1)])
    rows: list[Row] = [
        (0, 0, STORE, 100, 200, b"a" * 16),
        (1, 0, STORE, 300, 600, b"b" * 16),
        (2, 0, LOAD, 400, 500, b"a" * 10 + b"b" * 6),
    ]
    block = Block(0, "00" * 16, (b"b" * 16).hex())
    (sentence,) = sentences(rows, fields=[field], size=16, blocks=[block])
    assert sentence == (
        "Worker 2 loaded record (round 1, 0.40 us) and met bytes of worker 0 (round 1, stored 0.10 us) at record[0] "
        "and bytes of worker 1 (round 1, stored 0.30 us) at record[10]."
    )
