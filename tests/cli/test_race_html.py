"""`race --record`, `--html` and `--trace`: what is written down, the page of the run, and its trace."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import QUICK, document, refusal, scenario_file, working_lab
from tests.helpers import PATIENCE_S, run_lab
from tests.report.trace_form import of_kind, problems

SECTIONS = ("tutorial", "plays", "run", "stories", "plug")


def data_of(page: Path, name: str = "run") -> Any:
    """The data of one section of a page."""
    found = re.search(rf'<script type="application/json" id="data-{name}">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_worker_that_dies_leaves_its_case_on_the_page(elsewhere: Path) -> None:
    dies = scenario_file(elsewhere / "dies.py", "w.memory.value = 7; w.die()")
    done = run_lab("race", dies, "--workers", "2", "--trials", "1", "--html", "lab.html")
    assert done.returncode == 4
    (case,) = data_of(elsewhere / "lab.html")["cases"]
    assert case["verdict"] == "died"
    assert "killed by SIGKILL" in case["recording"]["failures"][0]
    assert case["recording"]["accesses"]["kind"] == [1, 1]


def test_trace_writes_down_a_trial_of_each_case_for_viewers_of_traces(elsewhere: Path) -> None:
    done = run_lab("race", "counter", *QUICK, "--trace", "out.json")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "written to out.json"
    trace = document((elsewhere / "out.json").read_text())
    assert problems(trace) == []
    names = [event["args"]["name"] for event in of_kind(trace, "M") if event["name"] == "process_name"]
    assert names == ["counter, none, 2 workers", "counter, fcntl, 2 workers"]
    assert [event["name"] for event in of_kind(trace, "X")].count("holding") == 40


def test_record_writes_down_every_access_and_hold_and_counts_in_no_figure(elsewhere: Path) -> None:
    race = ("race", "counter", "--locked", *QUICK, "--json", "it.json")
    run_lab(*race)
    made = document((elsewhere / "it.json").read_text())
    assert (made["options"]["record"], made["cases"][0]["recording"]) == (0, None)
    printed = run_lab(*race, "--record", "10").stdout
    assert "it counts in none of these figures" in " ".join(printed.split())
    (case,) = document((elsewhere / "it.json").read_text())["cases"]
    told = case["recording"]
    assert (told["rounds"], told["done"], case["trials"], case["operations"]) == (5, [5, 5], 1, 40)
    assert len(told["holds"]["worker"]) == 10
    assert told["accesses"]["kind"].count(0) == told["accesses"]["kind"].count(1) == 10
    assert told["blocks"] == [{"start": 0, "before": "00" * 8, "after": "0a" + "00" * 7}]


def test_html_writes_the_page_with_all_sections_and_says_where(elsewhere: Path, tmp_path: Path) -> None:
    done = run_lab("race", "counter", *QUICK, "--dir", tmp_path, "--html", "lab.html")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "written to lab.html"
    page = elsewhere / "lab.html"
    assert [case["lock"] for case in data_of(page)["cases"]] == ["none", "fcntl"]
    assert all(case["recording"]["done"] == [20, 20] for case in data_of(page)["cases"])
    assert all(data_of(page, name) is not None for name in SECTIONS)
    assert str(tmp_path) not in page.read_text()
    assert str(Path.home()) not in json.dumps(data_of(page))


def test_html_goes_with_the_other_outputs_and_markup_in_a_name_stays_text(elsewhere: Path) -> None:
    named = scenario_file(elsewhere / "<script>alert(1)<!--.py", "w.memory.value += 1")
    done = run_lab("race", named, "--locked", *QUICK, "--html", "lab.html", "--no-save", "--json", "-")
    assert done.returncode == 0
    assert document(done.stdout)["cases"][0]["recording"]
    assert "<script>alert(1)" not in (elsewhere / "lab.html").read_text()
    (case,) = data_of(elsewhere / "lab.html")["cases"]
    assert case["scenario"] == "<script>alert(1)<!--"
    assert run_lab("race", "counter", "--locked", *QUICK, "--html", "lab.html", "--quiet").stdout == ""
    assert [case["scenario"] for case in data_of(elsewhere / "lab.html")["cases"]] == ["counter"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--html nowhere/lab.html", 3, "give another --html PATH"),
        ("--html .", 3, "give another --html PATH"),
        ("--html -", 2, "--html"),
        ("--html=", 2, "--html"),
        ("--record 0", 2, "--record"),
        ("--record many", 2, "--record"),
        ("--trace missing/out.json --html lab.html", 3, "missing/out.json: cannot be written"),
    ],
)
def test_what_cannot_be_written_or_recorded_is_told_before_the_race(
    options: str, code: int, said: str, elsewhere: Path
) -> None:
    assert said in refusal(code, "race", "counter", *options.split())
    assert list(elsewhere.iterdir()) == []


def test_an_interrupted_run_leaves_the_page_of_what_was_finished(elsewhere: Path) -> None:
    waits = scenario_file(elsewhere / "waits.py", "(HERE / 'there').touch(); wait_for(lambda: (HERE / 'go').exists())")
    how = ("race", "counter", waits, "--locked", *QUICK, "--html", "lab.html")
    with working_lab(*how, until=(elsewhere / "there").exists) as lab:
        lab.send_signal(signal.SIGINT)
        _, said = lab.communicate(timeout=PATIENCE_S)
    assert lab.returncode == 130
    assert "1 finished case kept" in said
    told = data_of(elsewhere / "lab.html")
    assert [case["scenario"] for case in told["cases"]] == ["counter"]
    assert told["cases"][0]["recording"]
    assert "INTERRUPTED" in told["heading"]
