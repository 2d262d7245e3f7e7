"""`race --record`, `--html` and `--trace`: what is written down, the page of the run, and its trace."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import QUICK, document, scenario_file
from tests.helpers import PATIENCE_S, run_lab, wait_until
from tests.report.trace_form import of_kind, problems

SECTIONS = ("tutorial", "plays", "run", "stories")


def data_of(page: Path, name: str = "run") -> Any:
    """The data of one section of a page."""
    found = re.search(rf'<script type="application/json" id="data-{name}">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_without_record_nothing_is_written_down(elsewhere: Path) -> None:
    made = document(run_lab("race", "counter", "--locked", *QUICK, "--json", "-").stdout)
    assert made["options"]["record"] == 0
    assert made["cases"][0]["recording"] is None


def test_record_writes_down_every_access_and_hold_and_counts_in_no_figure(elsewhere: Path) -> None:
    made = document(run_lab("race", "counter", "--locked", *QUICK, "--record", "10", "--json", "-").stdout)
    (case,) = made["cases"]
    told = case["recording"]
    assert (told["rounds"], told["done"], case["trials"], case["operations"]) == (5, [5, 5], 1, 40)
    assert len(told["holds"]["worker"]) == 10
    assert told["accesses"]["kind"].count(0) == told["accesses"]["kind"].count(1) == 10
    assert told["blocks"] == [{"start": 0, "before": "00" * 8, "after": "0a" + "00" * 7}]


def test_the_report_says_that_the_recorded_trial_does_not_count(elsewhere: Path) -> None:
    text = run_lab("race", "counter", "--locked", *QUICK, "--record").stdout
    assert "it counts in none of these figures" in " ".join(text.split())


@pytest.mark.parametrize("rounds", ["0", "many"])
def test_a_number_of_rounds_that_is_none_is_refused(rounds: str) -> None:
    assert run_lab("race", "counter", "--record", rounds).returncode == 2


def test_html_writes_the_page_with_all_sections_and_says_where(elsewhere: Path) -> None:
    done = run_lab("race", "counter", *QUICK, "--html", "lab.html")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "written to lab.html"
    page = elsewhere / "lab.html"
    assert [case["lock"] for case in data_of(page)["cases"]] == ["none", "fcntl"]
    assert all(case["recording"]["done"] == [20, 20] for case in data_of(page)["cases"])
    assert all(data_of(page, name) is not None for name in SECTIONS)


def test_the_page_carries_no_path_of_this_machine(elsewhere: Path, tmp_path: Path) -> None:
    run_lab("race", "counter", *QUICK, "--dir", tmp_path, "--html", "lab.html")
    text = (elsewhere / "lab.html").read_text()
    assert str(tmp_path) not in text
    assert str(Path.home()) not in json.dumps(data_of(elsewhere / "lab.html"))


@pytest.mark.parametrize("also", [("--quiet",), ("--no-save",), ("--json", "-")], ids=" ".join)
def test_html_goes_with_the_other_outputs(elsewhere: Path, also: tuple[str, ...]) -> None:
    done = run_lab("race", "counter", "--locked", *QUICK, "--html", "lab.html", *also)
    assert done.returncode == 0
    assert len(data_of(elsewhere / "lab.html")["cases"]) == 1
    if "-" in also:
        assert document(done.stdout)["cases"][0]["recording"]
    if "--quiet" in also:
        assert done.stdout == ""


@pytest.mark.parametrize("path", ["nowhere/lab.html", "."])
def test_a_page_that_cannot_be_written_is_told_before_the_race(elsewhere: Path, path: str) -> None:
    done = run_lab("race", "counter", "--html", path)
    assert done.returncode == 3
    assert "give another --html PATH" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("path", ["-", ""])
def test_a_page_has_the_name_of_a_file(path: str) -> None:
    assert run_lab("race", "counter", "--html", path).returncode == 2


def test_an_interrupted_run_leaves_the_page_of_what_was_finished(elsewhere: Path) -> None:
    waits = scenario_file(elsewhere / "waits.py", "(HERE / 'there').touch(); wait_for(lambda: (HERE / 'go').exists())")
    arguments = ["race", "counter", str(waits), "--locked", *QUICK, "--html", "lab.html"]
    with subprocess.Popen(
        [sys.executable, "-m", "lab", *arguments], cwd=elsewhere, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        wait_until((elsewhere / "there").exists, "the second case runs")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert b"1 finished case kept" in said
    told = data_of(elsewhere / "lab.html")
    assert [case["scenario"] for case in told["cases"]] == ["counter"]
    assert told["cases"][0]["recording"]
    assert "INTERRUPTED" in told["heading"]


def test_a_worker_that_dies_leaves_its_case_on_the_page(elsewhere: Path) -> None:
    dies = scenario_file(elsewhere / "dies.py", "w.memory.value = 7; w.die()")
    done = run_lab("race", dies, "--workers", "2", "--trials", "1", "--html", "lab.html")
    assert done.returncode == 4
    (case,) = data_of(elsewhere / "lab.html")["cases"]
    assert case["verdict"] == "died"
    assert "killed by SIGKILL" in case["recording"]["failures"][0]
    assert case["recording"]["accesses"]["kind"] == [1, 1]


def test_markup_in_a_scenarios_name_stays_text(elsewhere: Path) -> None:
    named = scenario_file(elsewhere / "<script>alert(1)<!--.py", "w.memory.value += 1")
    run_lab("race", named, *QUICK, "--html", "lab.html")
    assert "<script>alert(1)" not in (elsewhere / "lab.html").read_text()
    assert data_of(elsewhere / "lab.html")["cases"][0]["scenario"] == "<script>alert(1)<!--"


def test_trace_writes_down_a_trial_of_each_case_for_viewers_of_traces(elsewhere: Path) -> None:
    done = run_lab("race", "counter", *QUICK, "--trace", "out.json")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "written to out.json"
    trace = document((elsewhere / "out.json").read_text())
    assert problems(trace) == []
    names = [event["args"]["name"] for event in of_kind(trace, "M") if event["name"] == "process_name"]
    assert names == ["counter, none, 2 workers", "counter, fcntl, 2 workers"]
    assert [event["name"] for event in of_kind(trace, "X")].count("holding") == 40


def test_a_trace_that_cannot_be_written_is_known_before_the_race(elsewhere: Path) -> None:
    done = run_lab("race", "counter", *QUICK, "--trace", "missing/out.json", "--html", "lab.html")
    assert (done.returncode, done.stdout) == (3, "")
    assert "missing/out.json: cannot be written" in done.stderr
    assert list(elsewhere.iterdir()) == []
