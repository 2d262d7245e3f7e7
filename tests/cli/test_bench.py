import csv
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Terminal, ended, refusal, start_lab, working_lab
from tests.helpers import PATIENCE_S, has_made, run_lab
from tests.report.trace_form import of_kind, problems

QUICK = ("--seconds", "0.05", "--repeats", "5")


def test_the_cost_of_copying_is_a_row_for_each_backing_and_access(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    ended = run_lab("bench", "--backing", "--dir", place, "--format", "csv", *QUICK)
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = list(csv.DictReader(ended.stdout.splitlines()))
    backings = ["mapped", "private", "stream", "remapped", "remapped_stream", "sysv", "posix", "anonymous"]
    assert [(row["backing"], row["access"], row["size_bytes"]) for row in rows] == [
        (backing, access, size)
        for backing in backings
        for access in ("load", "store")
        for size in ("64", "4096", "1048576")
    ]
    assert [row["times_mapped"] for row in rows if row["backing"] == "mapped"] == ["1.0"] * 6
    assert list(place.iterdir()) == []


def test_the_backings_and_sizes_can_be_chosen_and_every_sample_is_kept(tmp_path: Path) -> None:
    chosen = ("--backing", "mapped", "--backing", "stream", "--sizes", "64,1000")
    ended = run_lab("bench", *chosen, "--dir", tmp_path, "--json", "-", *QUICK)
    found = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert [row["backing"] for row in found["copying"]] == ["call"] * 2 + ["mapped"] * 4 + ["stream"] * 4
    assert {row["bytes"] for row in found["copying"]} == {0, 64, 1000}
    for row in found["copying"]:
        low, high = row["interval_95"]
        assert len(row["samples_ns"]) == 5
        assert min(row["samples_ns"]) <= low <= row["median_ns"] <= high <= max(row["samples_ns"])


WRONG_LOCKS = """
import os

class Wrong:
    name, summary, has_ranges, excludes = "wrong", "goes wrong", True, True

    def __init__(self):
        self.calls = 0

    def actions(self, descriptor, start, length, *, write):
        return self.acquire, lambda: None


class LetsIn(Wrong):
    def acquire(self):
        pass


class Dies(Wrong):
    def acquire(self):
        self.calls += 1
        if self.calls > 20:
            os._exit(9)


class Refuses(Wrong):
    def acquire(self):
        raise OSError(38, "Function not implemented")


class Fcntl(Wrong):
    name = "fcntl"
    acquire = LetsIn.acquire
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A current directory with locks of one's own, and an empty one to measure in."""
    (tmp_path / "wrong.py").write_text(WRONG_LOCKS)
    (tmp_path / "place").mkdir()
    return tmp_path


def priced(here: Path, *args: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code, the rows, and what was complained of; nothing is left in the place."""
    done = run_lab("bench", *args, "--dir", "place", "--json", "-", *QUICK, cwd=here)
    assert list((here / "place").iterdir()) == []
    return done.returncode, json.loads(done.stdout)["locks"], done.stderr


def test_without_options_three_locks_are_priced_in_three_ways(here: Path) -> None:
    code, rows, complaint = priced(here)
    assert (code, complaint) == (0, "")
    assert [row["name"] for row in rows] == [
        f"{lock} {price}"
        for lock in ("fcntl", "ofd", "flock")
        for price in ("uncontended", "hand-off, 2 workers", "queue, 2 workers")
    ]
    for row in rows:
        low, high = row["interval_95"]
        assert len(row["samples_ns"]) == 5
        assert min(row["samples_ns"]) <= low <= row["median_ns"] <= high <= max(row["samples_ns"])
        assert sum(worker["pairs"] for worker in row["by_worker"]) == row["pairs"] > 0
        assert sum(row["distribution"]["count"]) == row["latency"]["count"] > 0
        assert (row["overlapping"], row["lost"]) == (0, 0)
        assert row["price"] != "hand-off" or row["handed_over"] == 1


@pytest.mark.parametrize(("price", "beside"), [("uncontended", []), ("hand-off", ["wake-up"])])
def test_its_document_has_what_the_harness_costs_and_what_else_went_on(
    price: str, beside: list[str], here: Path
) -> None:
    chosen = ("--lock", "fcntl", "--price", price, "--dir", "place", *QUICK)
    document = json.loads(run_lab("bench", *chosen, "--json", "-", cwd=here).stdout)
    assert [each["name"] for each in document["harness"]] == ["C loop", "CPython loop", "the lab", *beside]
    assert all(len(each["samples_ns"]) == 5 or each["reason"] for each in document["harness"])
    assert len(document["noise"]["others_cores"]) == 5
    assert document["environment"]["recorder"] in ("compiled", "python")
    assert document["copying"] == []


def test_a_bench_of_locks_is_kept_where_results_are_and_report_prints_it_again(here: Path) -> None:
    (here / "results").mkdir()
    chosen = ("--lock", "flock", "--price", "queue", "--dir", "place", *QUICK)
    printed = run_lab("bench", *chosen, cwd=here)
    (kept,) = (here / "results").iterdir()
    assert printed.stdout.endswith(f"written to {kept.relative_to(here)}\n")
    again = run_lab("report", kept, cwd=here)
    assert again.stdout.strip() == printed.stdout.replace(f"written to {kept.relative_to(here)}", "").strip()
    csv_and_markdown = ("--format", "csv", "--export-markdown", "kept.md")
    (row,) = csv.DictReader(run_lab("report", kept, *csv_and_markdown, cwd=here).stdout.splitlines())
    assert (row["lock"], row["price"], float(row["low_ns"]) <= float(row["median_ns"])) == ("flock", "queue", True)
    assert (here / "kept.md").read_text() == run_lab("report", kept, "--format", "github", cwd=here).stdout


def test_every_axis_is_measured_and_additions_in_a_backing_are_counted(here: Path) -> None:
    axes = ("--ranges", "same,disjoint", "--held", "0,5", "--backing", "mapped,stream")
    code, rows, _ = priced(here, "--lock", "fcntl", *axes, "--hold", "2", "--think", "1", "--pin", "one")
    assert code == 0
    assert len({row["name"] for row in rows}) == len(rows) == 2 * 2 * (1 + 1 + 2)
    assert [row["name"] for row in rows if row["samples_ns"] == []] == []
    assert {row["lost"] for row in rows} == {0}
    assert {(row["hold_ns"], row["think_ns"]) for row in rows if row["price"] == "queue"} == {(2000, 1000)}


@pytest.mark.needs("compiled")
def test_native_loops_are_recorded_as_all_others_and_their_additions_count(here: Path) -> None:
    code, rows, _ = priced(here, "--native", "--lock", "fcntl,flock")
    assert code == 0
    assert [row["name"] for row in rows] == [
        f"{lock} {price}, native"
        for lock in ("fcntl", "flock")
        for price in ("uncontended", "hand-off, 2 workers", "queue, 2 workers")
    ]
    for row in rows:
        assert (row["native"], row["lost"], row["overlapping"]) == (True, 0, 0)
        assert sum(row["distribution"]["count"]) == row["latency"]["count"] > 0
        assert row["price"] != "hand-off" or row["handed_over"] == 1


@pytest.mark.parametrize(
    ("more", "pure", "code", "reason"),
    [
        (("--lock", "lockf"), "", 2, "only the kernel's locks have a loop in C: fcntl, ofd, flock"),
        (("--think", "1"), "", 2, "leave out --hold and --think"),
        (("--backing", "stream"), "", 2, "leave out --backing"),
        ((), "1", 3, "install again with a C compiler and Python.h, without LAB_PURE"),
    ],
)
def test_native_is_refused_for_what_has_no_loop_in_c(
    more: tuple[str, ...], pure: str, code: int, reason: str, here: Path
) -> None:
    done = run_lab("bench", "--native", *more, cwd=here, env={"LAB_PURE": pure})
    assert done.returncode == code
    assert done.stderr.strip().endswith(reason)


def test_additions_that_nobody_else_sees_are_told_as_lost(here: Path) -> None:
    code, rows, complaint = priced(here, "--lock", "fcntl", "--backing", "private", "--price", "hand-off")
    assert code == 1
    assert rows[0]["lost"] == rows[0]["pairs"]
    assert "additions inside the lock are lost" in complaint


def test_a_lock_that_does_not_exclude_is_told_and_the_others_are_priced(here: Path) -> None:
    code, rows, complaint = priced(
        here, "--lock", "wrong:LetsIn,fcntl", "--price", "uncontended,queue", "--hold", "1000"
    )
    assert code == 1
    assert [(row["name"], row["overlapping"] > 0) for row in rows] == [
        ("wrong uncontended", False),
        ("wrong queue, 2 workers, hold 1000 us", True),
        ("fcntl uncontended", False),
        ("fcntl queue, 2 workers, hold 1000 us", False),
    ]
    assert "wrong queue, 2 workers, hold 1000 us: NOT EXCLUSIVE" in complaint


def test_a_worker_that_dies_leaves_the_other_cases(here: Path) -> None:
    code, rows, complaint = priced(here, "--lock", "wrong:Dies,fcntl", "--price", "uncontended")
    assert code == 4
    assert [len(row["samples_ns"]) for row in rows] == [0, 5]
    assert complaint == "lab: wrong uncontended: not measured: worker 0 ended with 9\n"


def test_a_lock_that_is_refused_here_is_told_with_the_next_step(here: Path) -> None:
    code, rows, complaint = priced(here, "--lock", "wrong:Refuses,fcntl", "--price", "uncontended")
    assert (code, [len(row["samples_ns"]) for row in rows]) == (3, [0, 5])
    assert "lock wrong: refused on" in complaint
    assert "try another --lock or another --dir" in complaint


@pytest.mark.parametrize(("price", "code"), [("uncontended,queue", 0), ("queue", 3)])
def test_a_lock_of_whole_files_has_no_ranges_apart(price: str, code: int, here: Path) -> None:
    returned, rows, complaint = priced(here, "--lock", "flock", "--price", price, "--ranges", "disjoint")
    assert (returned, rows[-1]["reason"]) == (code, "flock locks the whole file: it has no ranges apart")
    assert complaint.count("\n") == 1


def test_too_few_files_are_told_with_the_limit(here: Path) -> None:
    command = [sys.executable, "-m", "lab", "bench", "--lock", "flock", "--price", "uncontended,hand-off", *QUICK]
    limited = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh", *command, "--workers", "50", "--dir", str(here / "place")]
    done = ended(limited)
    assert done.returncode == 3
    assert (
        "no more files can be open (Too many open files); lower --workers or raise the limit (ulimit -n)" in done.stderr
    )
    assert "flock uncontended" in done.stdout


def stopped(here: Path, after: str, seconds: str) -> tuple[int, str]:
    """The exit code and the document on stdout of a bench that is interrupted once it says this."""
    slow = ("bench", "--lock", "fcntl", "--price", "uncontended,queue", "--held", "10", "--json", "-")
    terminal = Terminal()
    lab = start_lab(*slow, "--seconds", seconds, "--repeats", "50", "--dir", "place", cwd=here, stderr=terminal.end)
    terminal.hand_over()
    try:
        terminal.read(lambda seen: after in seen)
        lab.send_signal(signal.SIGINT)
        printed, _ = lab.communicate(timeout=PATIENCE_S)
    finally:
        lab.kill()
        lab.communicate()
        terminal.close()
    assert list((here / "place").iterdir()) == []
    return lab.returncode, printed


def test_a_stop_keeps_the_repeats_that_were_finished(here: Path) -> None:
    code, printed = stopped(here, "repeat 3 of 50", seconds="5")
    made = json.loads(printed)
    assert (code, made["interrupted"]) == (130, True)
    assert all(2 <= len(row["samples_ns"]) < 50 for row in made["locks"])


def test_a_stop_before_anything_was_finished_leaves_nothing(here: Path) -> None:
    assert stopped(here, "warming up", seconds="5000") == (130, "")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--sizes", "64"], 2, "--sizes is about copying; give --backing alone"),
        (["--lock", "fnctl"], 2, "unknown lock 'fnctl'; did you mean fcntl?"),
        (["--lock", "none"], 2, "--lock none: excludes nobody, so there is no cost"),
        (["--price", "cheap"], 2, "'cheap' is none of uncontended, hand-off, queue"),
        (["--price", "hand-off", "--workers", "1"], 2, "one worker has nobody to hand over to"),
        (["--ranges", "other"], 2, "'other' is none of same, disjoint"),
        (["--held", "10001"], 2, "--held 10001 is too many: at most 10,000"),
        (["--hold", "-1"], 2, "-1 is no such time: from 0 us"),
        (["--lock", "fcntl,ofb"], 2, "unknown lock 'ofb'; did you mean ofd?"),
        (["--pin", "two"], 2, "choose from"),
        (["--lock", "fcntl", "--backing", "maped"], 2, "unknown backing 'maped'; did you mean mapped?"),
        (["--backing", "maped"], 2, "unknown backing 'maped'; did you mean mapped?"),
        (["--backing", "mapped", "--repeats", "4"], 2, "4 is too few: at least 5"),
        (["--backing", "mapped", "--sizes", "999999999999"], 3, "no memory for 999,999,999,999 bytes at once"),
        (
            ["--trace", "missing/t.json"],
            3,
            "missing/t.json: cannot be written (No such file or directory); give another",
        ),
        (["--backing", "mapped", "--trace", "t.json"], 2, "--trace is about locks: copying takes none"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], code: int, told: str, tmp_path: Path) -> None:
    assert told in refusal(code, "bench", *arguments, cwd=tmp_path)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_leaves_nothing_behind(stop: signal.Signals, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    how = ("--backing", "mapped", "--dir", place, "--seconds", "600")
    with working_lab("bench", *how, until=lambda: has_made(place, "lab-*/*")) as lab:
        lab.send_signal(stop)
        assert lab.communicate(timeout=PATIENCE_S) == ("", "lab: interrupted\n")
    assert (lab.returncode, list(place.iterdir())) == (130, [])


def test_a_trace_has_some_holds_of_each_case(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    ended = run_lab("bench", "--lock", "fcntl", "--trace", out, *QUICK, cwd=tmp_path)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == f"written to {out}"
    trace = json.loads(out.read_text())
    assert problems(trace) == []
    names = [event["args"]["name"] for event in of_kind(trace, "M") if event["name"] == "process_name"]
    assert names == ["fcntl uncontended", "fcntl hand-off, 2 workers", "fcntl queue, 2 workers"]
    assert {event["name"] for event in of_kind(trace, "X")} == {"waiting", "holding"}
