"""Where a run's document goes, and what it holds."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from contextlib import suppress
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lab.cli import documents
from lab.cli.documents import Target
from lab.errors import CannotRunError
from lab.records import load
from lab.report.text.race_again import NEXT, race_line
from tests.cli.commands import QUICK, SHORT, document, lines, on_tmpfs, scenario_file
from tests.helpers import run_lab
from tests.report.records import OPTIONS, TWO_IN, run_of

NUMBER = (int, float)
CASE_KEYS: dict[str, tuple[type, ...]] = {
    "scenario": (str,), "lock": (str,), "backing": (str,), "workers": (int,), "rounds": (int,), "trials": (int,),
    "operations": (int,), "damaged": (int,), "damage": (list,), "overlapping_holds": (int,),
    "corruption_rate": NUMBER, "damaged_trials": (int,), "interval_95": (list,),
    "detection_limit": (*NUMBER, type(None)),
    "wall_s": NUMBER, "operations_per_s": NUMBER, "wait_ns": (dict,), "hold_ns": (dict,), "fairness": NUMBER,
    "cpu_s": (dict,), "context_switches": (dict,), "verdict": (str,), "reason": (str,),
}  # fmt: skip
"""What the documentation guarantees of a case that ran under a lock."""

mounts = pytest.mark.needs("private_mounts")


def written(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a real run, under a lock."""
    folder = tmp_path_factory.mktemp("made")
    check = "return Damage('odd', 2, 40, ['this', 'that'])"
    mine = scenario_file(folder / "mine.py", "with w.write_lock(): w.memory.value += 1", check=check)
    return document(run_lab("race", mine, *QUICK, "--seed", "9", "--json", "-", cwd=folder).stdout)


@mounts
def test_a_read_only_results_folder_is_found_out_before_any_worker_runs(elsewhere: Path, tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", "(HERE / 'a-worker-ran').touch()")
    done, _ = on_tmpfs(elsewhere / "results", "ro", "race", mine, *QUICK)
    assert (done.returncode, done.stdout) == (3, "")
    assert "cannot be written (Read-only file system); --no-save keeps nothing" in done.stderr
    assert not (tmp_path / "a-worker-ran").exists()


@mounts
def test_a_results_folder_that_fills_up_on_the_way_costs_the_document_and_not_the_tables(
    elsewhere: Path, tmp_path: Path
) -> None:
    mine = scenario_file(tmp_path / "mine.py", "Path('results/filler').write_bytes(bytes(1 << 15))")
    mine.write_text(mine.read_text().replace("write_bytes(", "open('wb', buffering=0).write("))
    done, left = on_tmpfs(elsewhere / "results", "size=32k", "race", mine, *QUICK, "--json", "mine.json")
    assert done.returncode == 3
    assert re.fullmatch(r"lab: results/race-\S+: not written \(No space left on device\); .*\n", done.stderr)
    assert "written to mine.json" in done.stdout
    assert left == ["filler"]


def test_a_run_that_fails_before_it_starts_leaves_no_empty_document(elsewhere: Path) -> None:
    (elsewhere / "results").mkdir()
    assert run_lab("race", "counter", "--dir", "missing", "--json", "mine.json").returncode == 2
    assert written(elsewhere) == ["results"]
    assert written(elsewhere / "results") == []


def test_a_run_without_contention_claims_no_power(elsewhere: Path) -> None:
    made = document(run_lab("race", "counter", "--locked", *SHORT, "--workers", "1", "--json", "-").stdout)
    assert [case["detection_limit"] for case in made["cases"]] == [None]


def test_the_options_tell_all_that_is_needed_to_run_it_again(made: dict[str, Any], elsewhere: Path) -> None:
    assert {**made["options"], "directory": ""} == {
        "scenarios": ["mine"], "locks": [], "workers": [2], "rounds": 20, "trials": 1, "directory": "", "seed": 9,
        "pin": None, "window_ns": 0, "leak": 0.0, "time_limit_s": 30.0, "backings": [], "record": 0,
        "program": "", "check": "", "program_workers": 0, "detects": None,
        "directories": [], "faults": "", "crash": "", "explore": True, "isolate": "", "ordinary_s": None,
        "raise_rounds": False, "files": {"mine": "mine.py"}, "prepare": "",
        "watch": False, "suppress": [], "ignore": [], "hosts": [], "python": "", "ssh_config": "", "rsh": "",
        "mpi": False, "tickets": True, "leak_on": [], "recover": "", "timeout_s": 10.0,
    }  # fmt: skip


def test_the_environment_names_the_machine_and_not_its_user(elsewhere: Path) -> None:
    home = elsewhere / "home" / "somebody-special"
    home.mkdir(parents=True)
    secret = {"HOME": str(home), "USER": "somebody-special", "LAB_SECRET": "not-to-be-told"}
    done = run_lab("race", "counter", *QUICK, "--dir", home, "--json", "-", env=secret)
    here = document(done.stdout)["environment"]
    assert {"kernel", "machine", "cpu", "cpus", "python", "filesystem", "mount_options", "load_at_start"} <= here.keys()
    assert "somebody-special" not in done.stdout
    assert "not-to-be-told" not in done.stdout


def test_a_scenario_of_ones_own_gets_no_bytecode_beside_it(elsewhere: Path) -> None:
    mine = scenario_file(elsewhere / "mine.py", "pass")
    done = run_lab("race", mine, *QUICK, cwd=elsewhere, env={"PYTHONDONTWRITEBYTECODE": ""})
    assert done.returncode == 0
    assert written(elsewhere) == ["mine.py"]


def test_a_pipe_that_nobody_reads_is_said_at_once_and_one_with_a_reader_works(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CannotRunError, match="pipe: is a pipe that nobody reads; start its reader first"):
        Target.open(pipe, "give another")
    content = os.urandom(1 << 18)
    got: list[bytes] = []
    reader = Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    while True:  # until the reader has opened it
        with suppress(CannotRunError):
            target = Target.open(pipe, "give another")
            break
    target.put(content)
    target.discard()
    reader.join()
    assert got == [content]
    assert pipe.is_fifo()


def test_a_pipe_whose_reader_takes_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "READER_S", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    target = Target.open(pipe, "give another")
    with pytest.raises(TimeoutError, match="its reader took nothing"):
        target.put(bytes(1 << 20))
    target.discard()
    os.close(held)


def test_nobody_who_replaces_the_part_by_a_link_has_another_file_written(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    target = Target.open(tmp_path / "out.json", "give another")
    target.part.unlink()
    target.part.symlink_to(victim)
    target.put(b"ours")
    target.discard()
    assert victim.read_text() == "theirs"


def test_what_a_document_says_is_what_was_run(made: dict[str, Any]) -> None:
    assert (made["schema"], made["command"], made["interrupted"]) == (2, "race", False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["started"])
    (case,) = made["cases"]
    wrong = {key: case.get(key, "missing") for key, types in CASE_KEYS.items() if not isinstance(case.get(key), types)}
    assert wrong == {}
    for quantiles in (case["wait_ns"], case["hold_ns"]):
        assert list(quantiles) == ["p50", "p99", "max"]
        assert 0 <= quantiles["p50"] <= quantiles["p99"] <= quantiles["max"]
    assert case["damage"] == [{"kind": "odd", "count": 2, "of": 40, "evidence": ["this", "that"]}]
    assert (case["damaged"], case["corruption_rate"], case["damaged_trials"]) == (2, 2 / 40, 1)
    assert case["interval_95"] == pytest.approx([0.025, 1.0])


def test_a_document_goes_where_it_is_asked_to_go_and_the_program_says_where(elsewhere: Path, tmp_path: Path) -> None:
    """Nowhere, into results/ where there is one, into another folder, and beside it into a file or on stdout."""
    race = ("race", "counter", "--locked", *QUICK)
    assert "written to" not in run_lab(*race).stdout
    assert written(elsewhere) == []
    results, kept = elsewhere / "results", tmp_path / "kept"
    results.mkdir()
    kept.mkdir()
    run_lab(*race, "--no-save")
    assert written(results) == []
    done = run_lab(*race, "--save", kept)
    assert lines(done.stdout)[-1] == f"written to {kept}/{written(kept)[0]}"
    assert written(results) == []
    (elsewhere / "mine.json").write_text("old")
    done = run_lab(*race, "--json", "mine.json")
    (name,) = written(results)
    assert re.fullmatch(r"race-\d{8}T\d{6}Z-\d+\.json", name)
    assert lines(done.stdout)[-2:] == [f"written to results/{name}", "written to mine.json"]
    assert (elsewhere / "mine.json").read_bytes() == (results / name).read_bytes()
    assert load(results / name).cases[0].scenario == "counter"
    (results / name).unlink()
    done = run_lab(*race, "--json", "-")
    assert (results / written(results)[0]).read_text() == done.stdout


class Screen(StringIO):
    """A standard error that is read, and not searched."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stderr", "is_folded"), [(Screen(), True), (StringIO(), False)], ids=["terminal", "file"])
def test_what_went_wrong_is_folded_on_a_terminal_and_one_line_elsewhere(
    stderr: StringIO, is_folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr)
    with documents.Documents("race", Namespace(json=None, quiet=True)) as target:
        assert target.report(run_of(TWO_IN)) == 1
    first, *_, last = stderr.getvalue().splitlines()
    assert (first.endswith("this time"), len(first) <= 80) == (not is_folded, is_folded)
    assert last == f"lab: {NEXT}{race_line(TWO_IN, OPTIONS, '--explain')}"
