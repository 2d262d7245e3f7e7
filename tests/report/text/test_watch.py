"""Each cause has its words, in the report and in the docs; the report fits 80 columns whatever was found."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from lab.analysis.lock_faults import NOTES, Cause
from lab.records import Environment, LockedFile, Outcome, Quantiles, Watch, WatchedCall, WatchFinding, WatchOptions
from lab.report.text.watch import CAUSES, REPORT
from tests.helpers import ROOT

HERE = Environment("0", "CPython 3", "none", "Linux 6", "x86_64", "cpu", 2, 2, "ext4", "rw", 0.0)
LONG = "a_rather_long_name_of_a_source_file.cpp:12345 and_a_function_with_a_long_name"


def call(process: int, text: str) -> WatchedCall:
    return WatchedCall(process, process, text, LONG, [LONG, "main.c:1 main"], 1234.5)


def found(cause: str, file: str = "/data/shared.bin") -> WatchFinding:
    calls = [call(100, "fcntl, exclusive, bytes 1073741826 to 1073742335"), call(200, "writes bytes 0 to 4095")]
    return WatchFinding(cause, cause in NOTES, file, 12345, calls)


def watched(*findings: WatchFinding) -> Watch:
    times = Quantiles(1_000, 20_000_000, 3_000_000_000)
    return Watch(
        schema=2, started="2026-01-01T00:00:00Z", wall_s=1.0, environment=HERE,
        options=WatchOptions(["./prog"], 2, [], [], [], 30.0, ""),
        outcomes=[Outcome(0, 0, 0, False)], programs=["prog"], processes=2, events=100_000, accesses=50_000,
        suppressed=0, files=3, findings=list(findings),
        locked=[LockedFile("/data/shared.bin", "fcntl", 1_000_000, 999_999, 12, times, times)],
        not_seen=["loads and stores through mappings of /data/shared.bin-shm"],
    )  # fmt: skip


def test_each_cause_is_explained_and_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "watch.md").read_text()
    assert set(CAUSES) == set(get_args(Cause))
    assert {cause for cause in CAUSES if cause not in NOTES and f"| {cause} |" not in page} == set()


@pytest.mark.parametrize("cause", get_args(Cause))
def test_a_report_fits_the_width(cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = REPORT.text(watched(found(cause), found(cause)), full=False)
    whole = [line for line in text.splitlines() if len(line) > 80 and LONG not in line]
    assert whole == []
    assert CAUSES[cause].title in " ".join(text.split())


def test_what_is_said_first() -> None:
    wrong = watched(found("no lock"), found("no lock", "/data/other"), found("converted"))
    assert REPORT.text(wrong).startswith("locking is WRONG: 2 faults in shared.bin, other\n")
    assert REPORT.text(watched(found("converted"))).startswith("no fault was found, 1 note\n")
    assert REPORT.text(replace(watched(), locked=[], accesses=0)).startswith("nothing to judge")


@pytest.mark.parametrize(
    ("findings", "outcome", "code"),
    [
        ([], Outcome(0, 0, 0, False), 0),
        (["converted"], Outcome(0, 0, 0, False), 0),
        (["no lock"], Outcome(0, 0, 0, False), 1),
        (["no lock"], Outcome(0, 0, 9, False), 1),
        ([], Outcome(0, 3, 0, False), 4),
        ([], Outcome(0, 0, 15, True), 4),
    ],
)
def test_exit_codes(findings: list[str], outcome: Outcome, code: int) -> None:
    assert REPORT.exit_code(replace(watched(*map(found, findings)), outcomes=[outcome])) == code


def test_a_copy_that_hung_is_named_once_beside_the_report() -> None:
    run = replace(watched(found("no lock")), outcomes=[Outcome(1, 0, 15, True)])
    assert list(REPORT.beside(run)) == ["copy 1 did not end within 30 s and was ended"]
    assert len(list(REPORT.complaints(run))) == 2
