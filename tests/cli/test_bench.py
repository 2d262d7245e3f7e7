import json
import signal
from pathlib import Path

import pytest

from lab import results
from tests.cli.commands import start_lab
from tests.helpers import PATIENCE_S, run_lab, wait_until

QUICK = ("--seconds", "0.05", "--repeats", "5")


def test_the_cost_of_copying_is_a_row_for_each_region_and_access(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    ended = run_lab("bench", "--region", "--dir", place, "--format", "csv", *QUICK)
    assert (ended.returncode, ended.stderr) == (0, "")
    head, *rows = (line.split(",") for line in ended.stdout.splitlines())
    assert head == ["region", "access", "64 B", "x", "4 KiB", "x", "1 MiB", "x"]
    regions = ["mapped", "private", "stream", "reopened", "sysv", "posix", "anonymous"]
    assert [(region, access) for region, access, *_ in rows] == [
        (region, access) for region in regions for access in ("load", "store")
    ]
    assert [row[3::2] for row in rows if row[0] == "mapped"] == [["1.0"] * 3] * 2
    assert list(place.iterdir()) == []


def test_the_regions_and_sizes_can_be_chosen_and_every_sample_is_kept(tmp_path: Path) -> None:
    chosen = ("--region", "mapped", "--region", "stream", "--sizes", "64,1000")
    ended = run_lab("bench", *chosen, "--dir", tmp_path, "--json", "-", *QUICK)
    found = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert [row["region"] for row in found["copying"]] == ["call"] * 2 + ["mapped"] * 4 + ["stream"] * 4
    assert {row["bytes"] for row in found["copying"]} == {0, 64, 1000}
    for row in found["copying"]:
        low, high = row["interval_95"]
        assert len(row["samples_ns"]) == 5
        assert min(row["samples_ns"]) <= low <= row["median_ns"] <= high <= max(row["samples_ns"])


def test_its_document_is_printed_again_by_report(tmp_path: Path) -> None:
    document = tmp_path / "bench.json"
    printed = run_lab("bench", "--region", "mapped", "--dir", tmp_path, "--json", document, *QUICK)
    again = run_lab("report", document)
    assert again.stdout.strip() == printed.stdout.replace(f"written to {document}", "").strip()
    assert isinstance(results.load_any(document), results.Bench)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "required: --region"),
        (["--region", "maped"], 2, "unknown region 'maped'; did you mean mapped?"),
        (["--region", "mapped", "--repeats", "4"], 2, "4 is too few: at least 5"),
        (["--region", "mapped", "--sizes", "0"], 2, "0 is too few: at least 1"),
        (["--region", "mapped", "--dir", ""], 2, "an empty name; give a directory"),
        (["--region", "mapped", "--sizes", "99999999999999"], 3, "no memory for 99,999,999,999,999 bytes at once"),
        (["--region", "mapped", "--save", ""], 2, "an empty name; give a directory"),
        (["--region", "mapped", "--dir", "missing"], 3, "--dir missing: does not exist"),
        (["--region", "mapped", "--json", "missing/b.json"], 3, "missing/b.json: cannot be written"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], code: int, told: str, tmp_path: Path) -> None:
    ended = run_lab("bench", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
    assert told in ended.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_leaves_nothing_behind(stop: signal.Signals, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    lab = start_lab("bench", "--region", "mapped", "--dir", place, "--seconds", "600")
    try:
        wait_until(lambda: bool(list(place.glob("lab-*/*"))) or lab.poll() is not None, "it measures")
        lab.send_signal(stop)
        assert lab.communicate(timeout=PATIENCE_S) == ("", "lab: interrupted\n")
    finally:
        lab.kill()
        lab.communicate()
    assert (lab.returncode, list(place.iterdir())) == (130, [])
