from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.records import Document, encode
from lab.report.documents import report_of
from tests.cli.commands import QUICK, lines, scenario_file
from tests.helpers import run_lab
from tests.report.checked_records import check_of, guarantee
from tests.report.explored_records import DIVERGED, REPRODUCED
from tests.report.toured_records import GRID, tour_of


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The document of a run and what the run printed."""
    folder = tmp_path_factory.mktemp("ran")
    done = run_lab("race", "counter", "bank", *QUICK, "--json", "run.json", cwd=folder)
    return folder / "run.json", done.stdout


def refused(path: Path) -> str:
    """The one line about a file that is no document."""
    done = run_lab("report", path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lab: {path}: ")
    return line


def test_a_report_prints_what_the_run_printed(ran: tuple[Path, str]) -> None:
    path, printed = ran
    done = run_lab("report", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(printed)[:-1] == lines(done.stdout)
    assert lines(printed)[-1] == "written to run.json"


def test_a_report_comes_in_any_format(ran: tuple[Path, str]) -> None:
    done = run_lab("report", ran[0], "--format", "github")
    assert all(line.startswith("|") for line in lines(done.stdout))


def test_a_report_writes_nothing(ran: tuple[Path, str], elsewhere: Path) -> None:
    (elsewhere / "results").mkdir()
    run_lab("report", ran[0])
    assert list((elsewhere / "results").iterdir()) == []


def test_a_report_of_an_interrupted_run_has_its_finished_cases(ran: tuple[Path, str], elsewhere: Path) -> None:
    made = json.loads(ran[0].read_text())
    path = elsewhere / "interrupted.json"
    path.write_text(json.dumps({**made, "interrupted": True, "cases": made["cases"][:1]}))
    done = run_lab("report", path)
    assert done.returncode == 0
    assert "counter" in done.stdout


def test_a_truncated_document_is_told_as_that(ran: tuple[Path, str], elsewhere: Path) -> None:
    path = elsewhere / "cut.json"
    path.write_bytes(ran[0].read_bytes()[:-100])
    assert "is cut short; make it again" in refused(path)


def test_a_document_of_a_newer_schema_is_told_as_that(ran: tuple[Path, str], elsewhere: Path) -> None:
    path = elsewhere / "newer.json"
    path.write_text(json.dumps({**json.loads(ran[0].read_text()), "schema": 3}))
    assert "is of schema 3, newer than this lab reads (2); update the lab" in refused(path)


def test_what_is_not_json_is_told_as_that(elsewhere: Path) -> None:
    path = elsewhere / "table.csv"
    path.write_text("scenario,lock\ncounter,fcntl\n")
    assert "is not JSON (" in refused(path)


def test_a_missing_document_is_told_as_that(elsewhere: Path) -> None:
    assert "cannot be read (No such file or directory); give a results file" in refused(elsewhere / "missing.json")


def test_what_went_wrong_is_told_again_and_the_exit_code_is_of_the_report(elsewhere: Path) -> None:
    mine = scenario_file(elsewhere / "mine.py", check="return Damage('odd', 2, 40)")
    ran = run_lab("race", mine, *QUICK, "--json", "mine.json")
    assert ran.returncode == 1
    done = run_lab("report", "mine.json")
    assert (done.returncode, done.stderr) == (0, ran.stderr)
    assert "damaged" in done.stderr


@pytest.mark.parametrize("run", [DIVERGED, check_of(guarantee("mapping", "unsafe", "evidence"))])
def test_of_every_kind_of_document_what_went_wrong_stands_on_stderr(run: Document, elsewhere: Path) -> None:
    (elsewhere / "run.json").write_bytes(encode(run))
    done = run_lab("report", "run.json")
    told = [f"lab: {line}" for line in report_of(run).complaints(run)]
    assert (done.returncode, done.stderr.splitlines()) == (0, told)
    assert told


@pytest.mark.parametrize(
    "run", [tour_of(GRID), REPRODUCED, check_of(guarantee("mapping"))], ids=lambda run: run.command
)
def test_a_format_is_refused_for_what_is_no_table(run: Document, elsewhere: Path) -> None:
    (elsewhere / "run.json").write_bytes(encode(run))
    done = run_lab("report", "run.json", "--format", "csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"lab: --format csv: the report of `{run.command}` is no table; leave --format out\n"
    assert run_lab("report", "run.json", "--format", "simple").returncode == 0


def test_an_unknown_format_gives_the_nearest(ran: tuple[Path, str]) -> None:
    done = run_lab("report", ran[0], "--format", "gthub")
    assert done.returncode == 2
    assert done.stderr == "lab: unknown format 'gthub'; did you mean github?\n"
