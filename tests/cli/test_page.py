from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import QUICK, refusal, scenario_file
from tests.helpers import run_lab


def part(page: str, name: str) -> Any:
    """The data of a section."""
    (text,) = re.findall(rf'<script type="application/json" id="data-{name}">(.*?)</script>', page)
    return json.loads(text)


def scenarios(page: str) -> list[str]:
    return list(dict.fromkeys(play["scenario"] for play in part(page, "plays")["plays"]))


def test_what_a_race_wrote_is_shown_and_what_explore_wrote_is_refused(elsewhere: Path) -> None:
    run_lab("race", "counter", *QUICK, "--json", "run.json")
    assert run_lab("page", "run.json").returncode == 0
    run_lab("explore", "counter", "--json", "explored.json")
    (elsewhere / "lab.html").unlink()
    assert refusal(2, "page", "explored.json") == (
        "lab: explored.json: is a document of `explore`, not of `race`; give another"
    )
    assert sorted(path.name for path in elsewhere.iterdir()) == ["explored.json", "run.json"]


def test_the_page_has_what_can_be_scheduled_and_is_written_where_it_is_wanted(elsewhere: Path) -> None:
    done = run_lab("page")
    assert (done.returncode, done.stdout, done.stderr) == (0, "written to lab.html; open it in a browser\n", "")
    page = (elsewhere / "lab.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert {"counter", "torn_record", "bank", "short_range"} <= set(scenarios(page))
    assert len(part(page, "stories")) == 9
    assert part(page, "run") is None
    assert run_lab("page", "-o", "-").stdout == page


def test_a_scenario_of_ones_own_comes_first_and_one_that_cannot_be_scheduled_is_told(elsewhere: Path) -> None:
    scenario_file(elsewhere / "mine.py", "with w.write_lock(): w.memory.value += 1")
    scenario_file(elsewhere / "counter.py", "with w.write_lock(): w.memory.value += 2")
    own = ("--scenario", "mine.py", "--scenario", "counter.py", "--scenario", "private_mapping")
    done = run_lab("page", "-o", "other.html", *own)
    assert (done.returncode, done.stdout) == (0, "written to other.html; open it in a browser\n")
    page = (elsewhere / "other.html").read_text()
    assert scenarios(page)[:2] == ["mine", "counter"]
    plays = [play for play in part(page, "plays")["plays"] if play["scenario"] == "counter"]
    assert {play["summary"] for play in plays} == {"A scripted scenario."}
    assert all(line.startswith("lab: not on the page to be played: ") for line in done.stderr.splitlines())
    assert "scenario private_mapping: runs only in race" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("missing.json", 2, "missing.json: cannot be read"),
        ("--scenario countr", 2, "unknown scenario 'countr'; did you mean counter?"),
        ("missing.json -o no/such/folder.html", 3, "no/such/folder.html: cannot be written"),
        ("-o .", 3, ".: cannot be written (is a directory); give another -o PATH"),
        ("--output=", 2, "an empty path"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_leaves_the_old_page(
    arguments: str, code: int, told: str, elsewhere: Path
) -> None:
    (elsewhere / "lab.html").write_text("old")
    assert told in refusal(code, "page", *arguments.split())
    assert [(each.name, each.read_text()) for each in elsewhere.iterdir()] == [("lab.html", "old")]
