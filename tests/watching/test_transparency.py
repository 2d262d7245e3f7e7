"""A watched program comes to the same result: its data, its output, its signals, and the way it ends."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from lab.analysis.watched import Kind
from lab.errors import CannotRunError
from lab.records.watch import WatchLevel
from lab.watching.levels import check_level
from lab.watching.log import read_logs
from lab.watching.recorders import library
from tests.needs import missing

pytestmark = [pytest.mark.needs("compiler"), pytest.mark.needs("compiled")]

HERE = Path(__file__).parent
BUILDS = ("-O0", "-O2", "-O3 -march=native")
PROGRAMS = re.findall(r"NAMED\((\w+)\)", (HERE / "transparent.c").read_text())[1:]
WATCHED = {
    "calls": {"LAB_WATCH_LEVEL": "calls"},
    "accesses": {"LAB_WATCH_LEVEL": "accesses"},
    "every access": {"LAB_WATCH_LEVEL": "accesses", "LAB_WATCH_BUDGET": "0"},
}
if not missing("pages"):
    WATCHED["pages"] = {"LAB_WATCH_LEVEL": "pages"}
LEVELS = WATCHED if platform.machine() == "x86_64" else {"calls": WATCHED["calls"]}


@pytest.fixture(scope="module", params=BUILDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("transparent") / "transparent"
    command = ["cc", "-w", *request.param.split(), str(HERE / "transparent.c"), "-o", str(built), "-pthread"]
    subprocess.run(command, check=True)
    return built


def result(program: Path, name: str, folder: Path, more: dict[str, str]) -> tuple[int, bytes]:
    """Return the exit code of a program, or its signal, and its output."""
    folder.mkdir()
    command = [str(program), name, str(folder / "data")]
    done = subprocess.run(command, env={**os.environ, **more}, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_watched_program_comes_to_the_same_result(program: Path, tmp_path: Path, name: str) -> None:
    bare = result(program, name, tmp_path / "bare", {})
    assert bare[0] < 0 or bare[1]
    for level, variables in LEVELS.items():
        (logs := tmp_path / f"logs of {level}").mkdir()
        preloaded = {"LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs), **variables}
        assert result(program, name, tmp_path / level, preloaded) == bare, level
        assert any(logs.glob("*.log"))


@pytest.mark.needs("accesses")
def test_what_is_compared_and_searched_is_recorded_to_the_byte(program: Path, tmp_path: Path) -> None:
    (logs := tmp_path / "logs").mkdir()
    result(
        program,
        "compared",
        tmp_path / "run",
        {"LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs), **WATCHED["accesses"]},
    )
    loads = {(event.start, event.end) for event in read_logs(logs).events if event.kind is Kind.LOAD}
    assert loads >= {(0, 51), (100, 200), (200, 206), (200, 203), (300, 400)}
    assert not any(51 <= start < 100 or 206 <= start < 300 or start >= 400 for start, _ in loads)


@pytest.mark.needs("accesses")
@pytest.mark.parametrize("files", ["", "*heap*"])
def test_memory_without_a_name_is_watched_where_it_is_asked_for(program: Path, tmp_path: Path, files: str) -> None:
    (logs := tmp_path / "logs").mkdir()
    preloaded = {"LD_PRELOAD": str(library()), "LAB_WATCH_DIR": str(logs), "LAB_WATCH_FILES": files}
    result(program, "unnamed", tmp_path / "run", {**preloaded, **WATCHED["accesses"]})
    stored = list(read_logs(logs).events.of_kinds([Kind.STORE]))
    assert bool(stored) == bool(files)


@pytest.mark.parametrize(
    ("level", "machine", "kernel_can", "message"),
    [
        ("accesses", "aarch64", True, "works on x86-64 so far, and this is aarch64; use --level calls"),
        ("pages", "aarch64", True, "works on x86-64 so far, and this is aarch64; use --level calls"),
        ("pages", "x86_64", False, "needs Linux 6.7 or later"),
        ("calls", "riscv64", False, ""),
    ],
)
def test_a_level_that_does_not_work_here_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, level: WatchLevel, machine: str, kernel_can: bool, message: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("lab.watching.levels._can_see_pages", lambda machine: kernel_can)
    refused = pytest.raises(CannotRunError, match=message) if message else nullcontext()
    with refused:
        check_level(level)
