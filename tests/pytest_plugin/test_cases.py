"""Races and explorations as tests: what passes, what fails and how, what is skipped."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers import run_lab
from tests.once import once
from tests.pytest_plugin.cases import CASES
from tests.pytest_plugin.writing import Ran, results_in, run_modules

pytestmark = pytest.mark.timeout(400)  # the first test of a part waits for its run


PARTS = 3
"""The cases are run in so many runs of pytest, so that processes (xdist) wait less for each other."""


class Run(NamedTuple):
    """The folder where pytest was started, its terminal, and the result of each of its cases."""

    folder: Path
    terminal: str
    cases: dict[str, Ran]


RunOf = Callable[[str], Run]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    """Return the run that a case is in, with warnings as errors."""

    @cache
    def part(number: int) -> Run:
        def make() -> list[str]:
            folder = tmp_path_factory.mktemp("project")
            tests = {name: CASES[name].tests for name in list(CASES)[number::PARTS]}
            return [str(folder), run_modules(folder, tests, "--lab-seconds", "0.5")]

        folder, terminal = once(tmp_path_factory, f"plugin-cases-{number}", make)
        return Run(Path(folder), terminal, results_in(Path(folder)))

    return lambda name: part(list(CASES).index(name) % PARTS)


@pytest.mark.parametrize("name", CASES)
def test_tests_with_the_fixture_end_and_say_as_they_should(name: str, run_of: RunOf) -> None:
    ran = run_of(name).cases[name]
    assert ran.outcomes == CASES[name].outcomes, "\n".join(ran.lines)
    lines = pytest.LineMatcher(ran.lines)
    lines.fnmatch_lines(CASES[name].lines)
    lines.no_fnmatch_line(CASES[name].absent)


def test_the_lines_to_paste_replay_and_race_again(run_of: RunOf) -> None:
    run = run_of("damage")
    replayed, raced = (shlex.split(line.split(": ", 1)[1])[1:] for line in run.cases["damage"].to_paste())
    assert run_lab(*replayed, cwd=run.folder).returncode == 0
    assert run_lab(*raced, "--quiet", cwd=run.folder).returncode == 1
    run = run_of("not_so")
    explored = [line for line in run.cases["not_so"].to_paste() if line.startswith("replay: ")]
    assert len(explored) == 2
    assert run_lab(*shlex.split(explored[0])[2:], cwd=run.folder).returncode == 0
    assert len(run_of("state").cases["state"].to_paste()) == 1


def test_a_lock_that_polls_meets_enough_where_workers_wait_inside_which_is_told(run_of: RunOf) -> None:
    pytest.LineMatcher(run_of("polls").terminal.splitlines()).fnmatch_lines_random(
        [
            "*lab: races with a wider window*",
            "*inside the lock*: else they met too seldom",
            "*test_it[[]name[]]: test_polls:my_scenario under filelock",
            "*test_it[[]object[]]: test_polls:my_scenario under my_lock",
        ]
    )


def test_the_junit_file_tells_the_verdict_and_what_would_have_been_noticed(run_of: RunOf) -> None:
    noted = run_of("recorded").cases["recorded"].properties
    assert noted["lab bank under fcntl: verdict"] == "clean"
    assert int(noted["lab bank under fcntl: contended_requests"]) > 0
    assert 0 < float(noted["lab bank under fcntl: detection_limit"]) < 1
    assert noted["lab test_recorded under fcntl: verdict"] == "holds"


def test_the_result_is_the_document_that_the_command_writes(run_of: RunOf) -> None:
    run = run_of("recorded")
    assert run.cases["recorded"].outcomes == {"passed": 1}
    assert json.loads((run.folder / "run.json").read_text())["options"]["trials"] == 2
    assert "bank" in run_lab("report", run.folder / "run.json").stdout
