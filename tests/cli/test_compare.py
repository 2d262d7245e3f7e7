"""`lab compare`: two documents in, verdicts and an exit code out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab.records import Bench, Document, HarnessCost, encode
from tests.cli.commands import refusal
from tests.helpers import run_lab
from tests.report.plots_records import alone, bench_of
from tests.report.toured_records import tour_of

STEADY = (0.98, 0.99, 1.0, 1.01, 1.02)


def written(path: Path, content: Document) -> str:
    path.write_bytes(encode(content))
    return str(path)


def measured(ns: float, loop_ns: float = 500) -> Bench:
    loop = HarnessCost(name="C loop", samples_ns=[loop_ns * each for each in STEADY])
    return replace(bench_of(alone("fcntl", ns, samples_ns=[ns * each for each in STEADY])), harness=[loop])


@pytest.fixture
def old(tmp_path: Path) -> str:
    return written(tmp_path / "old.json", measured(1000))


@pytest.fixture
def slower(tmp_path: Path) -> str:
    return written(tmp_path / "new.json", measured(1200))


def test_what_changed_is_printed_and_is_no_failure_by_itself(old: str, slower: str) -> None:
    done = run_lab("compare", old, slower)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("fcntl uncontended")]
    assert row.split()[2:4] == ["worse", "1.20"]
    assert "1 case: 1 worse." in done.stdout


@pytest.mark.parametrize(("limit", "code"), [("10%", 1), ("15 %", 1), ("25%", 0)])
def test_slower_than_was_asked_ends_with_1(old: str, slower: str, limit: str, code: int) -> None:
    done = run_lab("compare", old, slower, "--fail-slower", limit)
    assert done.returncode == code
    assert ("fcntl uncontended: slower by 20.0 %" in done.stderr) is (code == 1)


def test_a_machine_that_became_slower_is_no_failure(old: str, tmp_path: Path) -> None:
    done = run_lab("compare", old, written(tmp_path / "slow.json", measured(1300, loop_ns=650)), "--fail-slower", "10%")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 case: 1 same." in done.stdout
    assert "The machine itself changed: C loop 1.30 x." in done.stdout
    done = run_lab(
        "compare", old, written(tmp_path / "bare.json", replace(measured(1300), harness=[])), "--fail-slower", "10%"
    )
    assert (done.returncode, done.stderr) == (0, "lab: fcntl uncontended: no control loop in both runs\n")
    assert "1 case: 1 cannot tell." in done.stdout


def test_for_a_pull_request_it_is_markdown(old: str, slower: str) -> None:
    lines = run_lab("compare", old, slower, "--format", "github").stdout.splitlines()
    assert lines[0] == "**1 case: 1 worse**"
    assert sum(line.startswith("|") for line in lines) == 3


def test_unlike_environments_are_refused_and_compared_when_told(old: str, tmp_path: Path) -> None:
    run = measured(1200)
    other = written(tmp_path / "other.json", replace(run, environment=replace(run.environment, filesystem="tmpfs")))
    assert refusal(2, "compare", old, other) == (
        "lab: the runs were not measured alike (filesystem: ext4 before, tmpfs after); measure again, or give --anyway"
    )
    done = run_lab("compare", old, other, "--anyway")
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["lab: not measured alike: filesystem: ext4 before, tmpfs after"]


def test_two_races_are_compared_too(tmp_path: Path) -> None:
    race = ("race", "counter", "--locked", "--rounds", "200", "--trials", "5", "--workers", "2", "--no-save", "--json")
    for name in ("a.json", "b.json"):
        assert run_lab(*race, tmp_path / name).returncode == 0
    done = run_lab("compare", tmp_path / "a.json", tmp_path / "b.json", "--format", "csv")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].startswith('"counter, fcntl, 2 x 200 rounds",')


def test_faster_is_no_failure_and_the_document_says_what_changed(old: str, slower: str) -> None:
    done = run_lab("compare", slower, old, "--fail-slower", "10%", "--json", "-")
    assert (done.returncode, done.stderr) == (0, "")
    made = json.loads(done.stdout)
    assert (made["options"]["margin"], made["cases"][0]["verdict"]) == (0.1, "better")


def test_wrong_files_are_one_line_each(old: str, tmp_path: Path) -> None:
    cases = {
        "missing.json": "cannot be read (No such file or directory)",
        written(tmp_path / "tour.json", tour_of()): "is a document of `tour`; give those of `bench`, or of `race`",
        written(tmp_path / "ofd.json", bench_of(alone("ofd", 1))): "have no case in common that both measured",
        written(tmp_path / "again.json", measured(1000)): "is the same run as",
    }
    for path, why in cases.items():
        assert why in refusal(2, "compare", old, path)
