"""The pictures themselves are tested under tests/report/plots."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.records import Document, encode
from tests.cli.commands import refusal
from tests.helpers import PATIENCE_S, ROOT, run_lab
from tests.report.page.recordings import LOST
from tests.report.plots_records import alone, bench_of, queue
from tests.report.records import CLEAN, run_of

BENCH = bench_of(alone("fcntl", 1000), queue("fcntl", 2, 2000), queue("ofd", 2, 0.0, reason="refused on /mnt"))
NOTHING = "has nothing to draw; make one that has with `lab bench --json PATH` or `lab race "

WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
from lab.cli import main
sys.exit(main(sys.argv[1:]))
"""
BROKEN_MATPLOTLIB = """
import sys
class Broken:
    def find_spec(self, name, *rest):
        if name == "matplotlib":
            raise ImportError("an old numpy")
sys.meta_path.insert(0, Broken())
from lab.cli import main
sys.exit(main(sys.argv[1:]))
"""
COUNTING_FORKS = """
import os, sys
forks = []
os.register_at_fork(before=lambda: forks.append(1))
from lab.cli import main
code = main(sys.argv[1:])
print(code, len(forks))
"""


def document(name: str, content: Document) -> str:
    Path(name).write_bytes(encode(content))
    return name


def python(script: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *args],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


def files() -> set[str]:
    return set(os.listdir())  # noqa: PTH208 - names are enough


def test_a_benchmark_is_drawn_and_what_is_left_out_is_told() -> None:
    done = run_lab("plot", document("bench.json", BENCH), "-o", "cost.svg")
    assert (done.returncode, done.stdout) == (0, "written to cost.svg\n")
    assert done.stderr == "lab: ofd queue, 2 workers: left out: refused on /mnt\n"
    svg = Path("cost.svg").read_text()
    assert ElementTree.fromstring(svg).tag.endswith("svg")  # noqa: S314 - our own
    for heading in ("Pairs of lock and unlock a second", "How long a lock is waited for", "Who held the lock"):
        assert heading in svg
    assert files() == {"bench.json", "cost.svg"}


def test_one_picture_of_a_race_is_drawn_as_its_ending_says_in_a_home_that_cannot_be_written() -> None:
    home = {"HOME": "/proc/none", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""}
    name = document("race.json", run_of(LOST))
    done = run_lab("plot", name, "-o", "race.PNG", "--picture", "bytes", env=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "written to race.PNG\n", "")
    assert Path("race.PNG").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named() -> None:
    done = python(WITHOUT_MATPLOTLIB, "plot", document("run.json", BENCH), "-o", "x.svg")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "lab: plot needs matplotlib: pip install 'lock-race-lab[plot]'\n"
    assert files() == {"run.json"}


def test_a_matplotlib_that_cannot_be_imported_is_told_with_its_cause() -> None:
    done = python(BROKEN_MATPLOTLIB, "plot", document("run.json", BENCH), "-o", "x.svg")
    assert done.returncode == 3
    assert "which cannot be imported (ImportError: an old numpy); reinstall it: pip install --force" in done.stderr


def test_the_process_that_draws_forks_nothing() -> None:
    done = python(COUNTING_FORKS, "plot", document("run.json", run_of(LOST)), "-o", "x.png")
    assert done.stdout.splitlines() == ["written to x.png", "0 0"]


@pytest.mark.parametrize(
    ("content", "options", "code", "told"),
    [
        (run_of(CLEAN), "-o x.svg", 2, NOTHING),
        (bench_of(), "-o x.svg", 2, NOTHING),
        (BENCH, "-o x.svg --picture bytes", 2, "has no bytes to draw, only scaling, waits, holds; make one that has"),
        (run_of(replace(LOST, recording=None)), "-o x.svg --picture scaling", 2, NOTHING),
        (BENCH, "-o x.txt", 2, "'x.txt' does not end in what can be written: .svg, .png, .pdf"),
        (BENCH, "-o svg", 2, "'svg' does not end in what can be written"),
        (BENCH, "--output=", 2, "'' does not end in what can be written"),
        (BENCH, "", 2, "required: -o/--output; see lab plot --help"),
        (BENCH, "-o x.svg --picture pie", 2, "invalid choice: 'pie'"),
        (None, "-o x.svg", 2, "run.json: cannot be read"),
        (None, "-o no/x.svg", 3, "no/x.svg: cannot be written (No such file or directory); give another -o"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_leaves_an_old_picture(
    content: Document | None, options: str, code: int, told: str
) -> None:
    Path("x.svg").write_text("old")
    if content:
        document("run.json", content)
    assert told in refusal(code, "plot", "run.json", *options.split())
    assert files() == {"x.svg"} | ({"run.json"} if content else set())
    assert Path("x.svg").read_text() == "old"
