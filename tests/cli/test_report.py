"""`report`: it prints again what each command printed, and refuses what is no document."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import records as results
from lab.exploring.case import Case
from lab.exploring.run import explore
from lab.records import Document, encode
from lab.report.documents import report_of
from lab.scenario import find_scenarios
from tests.cli.commands import QUICK, document, lines, refusal, scenario_file
from tests.helpers import run_lab
from tests.report.checked_records import BROKEN, check_of, guarantee
from tests.report.explored_records import DIVERGED, REPRODUCED, asked
from tests.report.plots_records import alone, bench_of
from tests.report.toured_records import GRID, tour_of

SHORT = ("--seconds", "0.05", "--repeats", "5")
COMMANDS: dict[str, tuple[str, ...]] = {
    "race": ("race", "counter", "bank", *QUICK),
    "race in backings": ("race", "counter", "--backing", "mapped", "--backing", "posix", *QUICK),
    "race, damaged": ("race", "mine.py", *QUICK),
    "check": ("check", ".", "--only", "modes,rules"),
    "explore": ("explore",),
    "replay": ("replay", "TOKEN", "--times", "5"),
    "bench": ("bench", "--lock", "flock", "--price", "queue", *SHORT),
    "bench of copying": ("bench", "--backing", "mapped", *SHORT),
    "compare": ("compare", "old.json", "new.json", "--anyway"),
    "locks": ("locks", "ofd"),
    "tour": ("tour", "--dir", "."),
    "backings": ("backings",),
}
COMPLAINS = {"race, damaged": (1, True), "compare": (0, True)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_report_prints_what_the_command_printed_of_a_document_that_fits_its_schema(
    name: str, elsewhere: Path
) -> None:
    Path("old.json").write_bytes(encode(bench_of(alone("fcntl", 1000))))
    Path("new.json").write_bytes(encode(replace(bench_of(alone("fcntl", 1200)), started="later")))
    scenario_file(elsewhere / "mine.py", check="return Damage('odd', 2, 40)")
    token = explore(Case(find_scenarios(["counter"])[0], "none", 2, 2), asked()).token or ""
    command = [word.replace("TOKEN", token) for word in COMMANDS[name]]
    done = run_lab(*command, "--json", "it.json")
    again = run_lab("report", "it.json")
    assert (again.returncode, again.stderr) == (0, done.stderr)
    assert [*lines(again.stdout), "written to it.json"] == lines(done.stdout)
    assert (done.returncode, bool(done.stderr)) == COMPLAINS.get(name, (0, False))
    made = document(Path("it.json").read_text())
    (kind,) = (type(results.load_any(Path("it.json"))).__name__,)
    assert next(iter(made)) == "schema"
    assert made["command"] == command[0]
    assert made.keys() == results.json_schema(command[0])["$defs"][kind]["properties"].keys()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document of a run."""
    folder = tmp_path_factory.mktemp("ran")
    run_lab("race", "counter", "bank", *QUICK, "--json", "run.json", cwd=folder)
    return folder / "run.json"


def test_a_report_comes_in_any_format_and_writes_nothing(ran: Path, elsewhere: Path) -> None:
    (elsewhere / "results").mkdir()
    done = run_lab("report", ran, "--format", "github")
    assert all(line.startswith("|") for line in lines(done.stdout))
    assert list((elsewhere / "results").iterdir()) == []


def test_a_report_of_an_interrupted_run_has_its_finished_cases(ran: Path) -> None:
    made = json.loads(ran.read_text())
    Path("cut.json").write_text(json.dumps({**made, "interrupted": True, "cases": made["cases"][:1]}))
    done = run_lab("report", "cut.json")
    assert (done.returncode, "counter" in done.stdout, "bank" in done.stdout) == (0, True, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-100], "is cut short; make it again"),
        (
            lambda content: content.replace(b'"schema": 2', b'"schema": 3'),
            "is of schema 3, newer than this lab reads (2); update the lab",
        ),
        (lambda _: b"scenario,lock\ncounter,fcntl\n", "is not JSON ("),
        (None, "cannot be read (No such file or directory); give a results file"),
    ],
    ids=["cut", "newer", "no JSON", "missing"],
)
def test_what_is_no_document_is_told_as_that(change: Any, said: str, ran: Path) -> None:
    if change:
        Path("it.json").write_bytes(change(ran.read_bytes()))
    line = refusal(2, "report", "it.json")
    assert line.startswith("lab: it.json: ")
    assert said in line


@pytest.mark.parametrize("run", [check_of(guarantee("posix", "unsafe")), DIVERGED], ids=lambda run: run.command)
def test_of_each_kind_of_document_what_went_wrong_stands_on_stderr(run: Document) -> None:
    Path("run.json").write_bytes(encode(run))
    done = run_lab("report", "run.json")
    told = [f"lab: {line}" for line in report_of(run).complaints(run)]
    assert (done.returncode, done.stderr.splitlines()) == (0, told)
    assert told


@pytest.mark.parametrize(
    "run", [tour_of(GRID), REPRODUCED, check_of(guarantee("mapping"))], ids=lambda run: run.command
)
def test_a_format_is_refused_for_what_is_no_table(run: Document) -> None:
    Path("run.json").write_bytes(encode(run))
    line = refusal(2, "report", "run.json", "--format", "csv")
    assert line == f"lab: --format csv: the report of `{run.command}` is no table; leave --format out"
    assert run_lab("report", "run.json", "--format", "simple").returncode == 0


def test_verbose_shows_what_the_report_of_a_check_leaves_out_and_is_refused_where_nothing_is_left_out() -> None:
    Path("check.json").write_bytes(encode(BROKEN))
    Path("bench.json").write_bytes(encode(bench_of(alone("fcntl", 1000))))
    brief, full = run_lab("report", "check.json"), run_lab("report", "check.json", "--verbose")
    assert (brief.returncode, full.returncode, brief.stderr) == (0, 0, full.stderr)
    assert "rules that do not hold:" not in brief.stdout
    assert (full.stdout.count("    source    fcntl(2)"), full.stdout.count("random program (ranges)")) == (13, 1)
    assert refusal(2, "report", "bench.json", "--verbose") == (
        "lab: --verbose: the report of `bench` leaves nothing out; leave --verbose out"
    )
    assert "--quiet: not allowed with argument" in refusal(2, "check", ".", "--verbose", "--quiet")
