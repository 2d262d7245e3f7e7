"""The whole report of one document of each command, held against golden files."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.records import Document
from lab.report.documents import report_of
from tests.golden import Golden
from tests.report import checked_records, chosen_records, explored_records, plots_records, records, toured_records

DOCUMENTS: dict[str, Document] = {
    "race": records.run_of(records.CLEAN, records.DAMAGED, records.DIED),
    "explore": explored_records.exploration_of(explored_records.BROKEN, explored_records.HOLDS),
    "replay": explored_records.REPRODUCED,
    "check": checked_records.BROKEN,
    "bench": plots_records.bench_of(plots_records.alone("fcntl", 1200.0), plots_records.queue("flock", 2, 900.0)),
    "tour": toured_records.tour_of(toured_records.GRID),
    "locks": chosen_records.compared(chosen_records.cells("fcntl", close="no"), trouble="not available here"),
}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_the_report_of_each_command(command: str, golden: Golden) -> None:
    document = DOCUMENTS[command]
    report = report_of(document)
    complaints = "".join(f"! {line}\n" for line in report.beside(document))
    text = f"{report.text(document)}\n{complaints}exit code {int(report.exit_code(document))}\n"
    golden(Path(__file__).parent / "golden" / f"{command}.txt", text)
