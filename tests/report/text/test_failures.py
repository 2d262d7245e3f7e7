from __future__ import annotations

from dataclasses import replace

import pytest

from lab.records import ITS_OWN, Case, Failure, LockFile, SampledLocks
from lab.records.race import CRASHED
from lab.report.format import Style
from lab.report.text.race import what_broke
from lab.report.text.race_verdict import complaints, conclusions, exit_code
from tests.report.records import CLEAN, DAMAGED, TWO_IN
from tests.report.records import run_of as run

SAMPLED = SampledLocks(
    source="/proc/locks", samples=412, held=300, waiting=200, holders=8, inside=40, overlapping=0, evidence=[]
)
ALONE = replace(
    CLEAN, scenario="add", lock=ITS_OWN, backing=ITS_OWN, holds=0, program="add", programs=2, sampled=SAMPLED
)
BESIDE = replace(CLEAN, program="add", programs=1, sampled=SAMPLED)
SEEN = replace(SAMPLED, overlapping=3, evidence=["process 7 of the program held FLOCK write 0-end"])
SEEN_IN = replace(BESIDE, verdict="damaged", sampled=SEEN, reason="its lock and that of add")


def sentences(*cases: Case) -> list[str]:
    return list(conclusions(run(*cases)))


def test_a_program_alone_is_told_by_its_name_and_by_what_was_seen() -> None:
    assert sentences(ALONE) == [
        "add: clean in 1 case.",
        "add: its locks are seen from outside (/proc/locks), in samples: in 300 of 412 it held one, by 8 processes, "
        "in 200 it waited. What happens between two samples is not seen.",
    ]


def test_lock_files_beside_the_data_and_who_keeps_one_are_named() -> None:
    files = [LockFile(f"data.{name}", 300, 200, ["process 7 (sleep 40)"] if name == "a" else []) for name in "abcd"]
    told = sentences(replace(ALONE, sampled=replace(SAMPLED, beside=files)))[1]
    assert told.endswith(
        "What happens between two samples is not seen. Files beside it that it locks: data.a (held in 300, waited "
        "for in 200), data.b (held in 300, waited for in 200), data.c (held in 300, waited for in 200) and 1 more. "
        "When one was last seen to wait, these had the lock: process 7 (sleep 40)."
    )


def test_no_lock_in_any_sample_is_a_hint() -> None:
    nothing = replace(ALONE, sampled=replace(SAMPLED, held=0, waiting=0, holders=0))
    assert sentences(nothing)[1] == (
        "add: no lock of the program was seen in 412 samples: it takes none on this file or on one beside it, or "
        "holds it too shortly."
    )


def test_without_a_sample_nothing_is_claimed() -> None:
    none = replace(ALONE, sampled=replace(SAMPLED, samples=0, held=0))
    assert "it was over before its locks could be looked at" in sentences(none)[1]


def test_beside_the_labs_workers_it_is_said_what_could_have_shown_two_in() -> None:
    assert sentences(BESIDE)[0] == (
        "fcntl beside add: clean in 1 case; of 1,000 holds of the lab's workers none overlapped another. In 40 samples "
        "a worker was inside from beginning to end, and in none of them the program: only those could have shown an "
        "overlap."
    )
    blind = replace(BESIDE, sampled=replace(SAMPLED, inside=0))
    assert sentences(blind)[0].endswith("so it rests on the data; --window makes them more.")


def test_two_seen_in_together_are_damage_that_nobody_announced() -> None:
    assert not SEEN_IN.as_expected
    assert exit_code(run(SEEN_IN)) == 1
    told = list(complaints(run(SEEN_IN)))
    assert told[0].startswith("counter under fcntl beside add, 2 workers: damaged: its lock and that of add")
    assert "  process 7 of the program held FLOCK write 0-end" in told


def test_two_seen_in_together_fail_also_where_damage_was_announced() -> None:
    announced = replace(SEEN_IN, expected="damaged")
    assert not announced.as_expected
    assert exit_code(run(announced)) == 1
    assert exit_code(run(replace(announced, allows_overlaps=True))) == 0


@pytest.mark.parametrize(
    ("case", "cells"),
    [(ALONE, ["its own", "-"]), (BESIDE, ["fcntl beside add", "0, sampled 0"]), (SEEN_IN, ["0, sampled 3"])],
)
def test_the_table_names_the_program_and_what_was_sampled(case: Case, cells: list[str]) -> None:
    row = [cell.strip() for cell in what_broke(run(case), Style("pipe", wide=True)).splitlines()[2].split("|")]
    assert set(cells) <= set(row)
    assert "backing" not in what_broke(run(case), Style("pipe"))


def test_a_program_alone_that_is_damaged_is_not_said_to_be_under_a_lock() -> None:
    damaged = replace(
        DAMAGED, scenario="add", lock=ITS_OWN, backing=ITS_OWN, program="add", programs=2, sampled=SAMPLED
    )
    assert next(iter(complaints(run(damaged)))).startswith("add, 2 workers: damaged: ")
    assert sentences(damaged)[0] == "add, its lock its own: NOT CLEAN in 1 of 1 case."


def test_records_without_programs_are_told_as_ever() -> None:
    assert not any("sampled" in text or "beside" in text for text in sentences(CLEAN, TWO_IN))


def test_faults_after_which_a_file_is_wrong_as_announced_are_not_counted_as_clean() -> None:
    crashed = replace(CLEAN, fault=CRASHED, faults_made=9, kills_inside=9)
    broke = replace(crashed, verdict="damaged", expected="damaged")
    told = [each for each in sentences(CLEAN, crashed, broke, broke) if each.startswith("fcntl, with faults: ")]
    assert told == ["fcntl, with faults: clean in 1 case, broke as announced in 2: killed, recovered 27 times."]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("data.new: No such file or directory (ENOENT)", "had made or removed that name"),
        ("data.new: File exists (EEXIST)", "had made or removed that name"),
        ("data.new: Too many open files (EMFILE)", "raise the limit"),
    ],
)
def test_a_name_that_another_worker_made_or_removed_is_no_limit_of_the_system(error: str, told: str) -> None:
    failure = Failure(0, 1, 3, "refused", f"stopped: a system call was refused: {error}")
    died = replace(CLEAN, verdict="died", reason=f"worker 1 {failure.reason}", failures=[failure])
    assert told in next(iter(complaints(run(died))))
