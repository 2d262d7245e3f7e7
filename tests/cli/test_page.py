from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import QUICK, scenario_file
from tests.helpers import run_lab


def part(page: str, name: str) -> Any:
    """The data of a section."""
    (text,) = re.findall(rf'<script type="application/json" id="data-{name}">(.*?)</script>', page)
    return json.loads(text)


def scenarios(page: str) -> list[str]:
    return list(dict.fromkeys(play["scenario"] for play in part(page, "plays")["plays"]))


@pytest.fixture(scope="module")
def printed() -> str:
    done = run_lab("page", "-o", "-")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_page_is_written_where_it_is_wanted_and_the_program_says_so(elsewhere: Path, printed: str) -> None:
    done = run_lab("page")
    assert (done.returncode, done.stdout) == (0, "written to lab.html; open it in a browser\n")
    assert (elsewhere / "lab.html").read_text() == printed
    assert run_lab("page", "-o", "other.html").stdout.startswith("written to other.html")
    assert sorted(path.name for path in elsewhere.iterdir()) == ["lab.html", "other.html"]


def test_a_dash_prints_the_page_and_nothing_else(printed: str) -> None:
    assert printed.startswith("<!doctype html>")
    assert printed.endswith("</html>\n")


def test_it_has_what_can_be_scheduled_and_the_stories_and_no_run(printed: str) -> None:
    assert {"counter", "torn_record", "bank", "short_range"} <= set(scenarios(printed))
    assert len(part(printed, "stories")) == 9
    assert part(printed, "run") is None


def test_a_scenario_of_one_s_own_comes_first_and_replaces_one_of_its_name(elsewhere: Path) -> None:
    scenario_file(elsewhere / "mine.py", "with w.write_lock(): w.memory.value += 1")
    counter = scenario_file(elsewhere / "counter.py", "with w.write_lock(): w.memory.value += 2")
    page = run_lab("page", "-o", "-", "--scenario", "mine.py", "--scenario", str(counter)).stdout
    assert scenarios(page)[:2] == ["mine", "counter"]
    plays = [play for play in part(page, "plays")["plays"] if play["scenario"] == "counter"]
    assert {play["summary"] for play in plays} == {"A scripted scenario."}


def test_a_scenario_that_cannot_be_scheduled_is_told_and_the_page_made_all_the_same(elsewhere: Path) -> None:
    done = run_lab("page", "--scenario", "private_mapping")
    assert done.returncode == 0
    assert all(line.startswith("lab: not on the page to be played: ") for line in done.stderr.splitlines())
    assert "scenario private_mapping: runs only in race" in done.stderr
    assert (elsewhere / "lab.html").exists()


def test_what_a_race_wrote_is_shown_and_what_explore_wrote_is_refused(elsewhere: Path) -> None:
    run_lab("race", "counter", *QUICK, "--json", "run.json")
    assert run_lab("page", "run.json").returncode == 0
    run_lab("explore", "counter", "--json", "explored.json")
    (elsewhere / "lab.html").unlink()
    done = run_lab("page", "explored.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lab: explored.json: is a document of `explore`, not of `race`; give another\n"
    assert sorted(path.name for path in elsewhere.iterdir()) == ["explored.json", "run.json"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["missing.json"], 2, "missing.json: cannot be read"),
        (["--scenario", "countr"], 2, "unknown scenario 'countr'; did you mean counter?"),
        (["-o", "no/such/folder.html"], 3, "no/such/folder.html: cannot be written"),
        (["-o", "."], 3, ".: cannot be written (is a directory); give another -o PATH"),
        (["-o", ""], 2, "an empty path"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_leaves_nothing(
    arguments: list[str], code: int, told: str, elsewhere: Path
) -> None:
    done = run_lab("page", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert told in line
    assert list(elsewhere.iterdir()) == []


def test_a_bad_target_fails_before_the_work(elsewhere: Path) -> None:
    done = run_lab("page", "missing.json", "-o", "no/folder.html")
    assert done.returncode == 3
    assert "no/folder.html" in done.stderr


def test_an_old_page_stays_when_the_new_one_fails(elsewhere: Path) -> None:
    (elsewhere / "lab.html").write_text("old")
    assert run_lab("page", "missing.json").returncode == 2
    assert (elsewhere / "lab.html").read_text() == "old"
