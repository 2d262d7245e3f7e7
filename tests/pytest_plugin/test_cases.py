"""Races and explorations as tests: what passes, what fails and how, what is skipped."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.helpers import run_lab
from tests.pytest_plugin.cases import CASES
from tests.pytest_plugin.writing import Ran, run_modules

pytestmark = pytest.mark.timeout(400)  # the first test waits for all of the runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pytest is started."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def run(folder: Path) -> tuple[dict[str, Ran], str]:
    """All cases in one run, with warnings as errors, and its terminal."""
    return run_modules(folder, {name: case.tests for name, case in CASES.items()}, "--lab-seconds", "0.5")


@pytest.mark.parametrize("name", CASES)
def test_tests_with_the_fixture_end_and_say_as_they_should(name: str, run: tuple[dict[str, Ran], str]) -> None:
    ran = run[0][name]
    assert ran.outcomes == CASES[name].outcomes, "\n".join(ran.lines)
    lines = pytest.LineMatcher(ran.lines)
    lines.fnmatch_lines(CASES[name].lines)
    lines.no_fnmatch_line(CASES[name].absent)


def test_the_lines_to_paste_replay_and_race_again(run: tuple[dict[str, Ran], str], folder: Path) -> None:
    replayed, raced = (shlex.split(line.split(": ", 1)[1])[3:] for line in run[0]["damage"].to_paste())
    assert run_lab(*replayed, cwd=folder).returncode == 0
    assert run_lab(*raced, "--quiet", cwd=folder).returncode == 1
    explored = [line for line in run[0]["not_so"].to_paste() if line.startswith("replay: ")]
    assert len(explored) == 2
    assert run_lab(*shlex.split(explored[0])[4:], cwd=folder).returncode == 0
    assert len(run[0]["state"].to_paste()) == 1


def test_a_lock_that_polls_meets_enough_where_workers_wait_inside_which_is_told(
    run: tuple[dict[str, Ran], str],
) -> None:
    pytest.LineMatcher(run[1].splitlines()).fnmatch_lines_random(
        [
            "*lab: races with a wider window*",
            "*inside the lock*: else they met too seldom",
            "*test_it[[]name[]]: test_polls:my_scenario under filelock",
            "*test_it[[]object[]]: test_polls:my_scenario under my_lock",
        ]
    )


def test_the_junit_file_tells_the_verdict_and_what_would_have_been_noticed(run: tuple[dict[str, Ran], str]) -> None:
    noted = run[0]["recorded"].properties
    assert noted["lab bank under fcntl: verdict"] == "clean"
    assert int(noted["lab bank under fcntl: contended_requests"]) > 0
    assert 0 < float(noted["lab bank under fcntl: detection_limit"]) < 1
    assert noted["lab test_recorded under fcntl: verdict"] == "holds"


def test_the_result_is_the_document_that_the_command_writes(run: tuple[dict[str, Ran], str], folder: Path) -> None:
    assert run[0]["recorded"].outcomes == {"passed": 1}
    assert json.loads((folder / "run.json").read_text())["options"]["trials"] == 2
    assert "bank" in run_lab("report", folder / "run.json").stdout
