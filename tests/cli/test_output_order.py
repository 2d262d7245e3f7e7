"""The order of what a command prints and of what it complains of, and what happens where it cannot be written."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from io import BufferedWriter, BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from lab.commands import COMMANDS
from tests.cli.commands import BENCH, COMMAND_LINES, QUICK, scenario_file, start_lab
from tests.helpers import PATIENCE_S, ROOT, in_fresh_process, run_lab

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
LOUD = """
print("work prints")
w.memory.value += 1
"""


class Pipe(BytesIO):
    """What comes out of both streams, in that order."""

    def close(self) -> None:
        """Stay readable when a stream over it ends."""


class Noted(TextIOWrapper):
    """A standard stream as the interpreter makes it over a pipe, which also notes what the program writes to it."""

    def __init__(self, pipe: Pipe, written: list[str], *, line_buffering: bool) -> None:
        super().__init__(BufferedWriter(pipe), "utf-8", line_buffering=line_buffering)
        self._written = written

    def write(self, text: str) -> int:
        self._written.append(text)
        return super().write(text)

    def fileno(self) -> int:
        raise OSError("no descriptor")


def order_of(command: Sequence[str], folder: str) -> tuple[str, str, int]:
    """What a command wrote to both streams, in that order, and in the order in which it came out; its exit code."""
    from lab.cli.main import main

    os.chdir(folder)
    written: list[str] = []
    pipe = Pipe()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Noted(pipe, written, line_buffering=False), Noted(pipe, written, line_buffering=True)
    try:
        code = main(command)
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before
    return "".join(written), pipe.getvalue().decode(), code


@pytest.fixture
def folder(tmp_path: Path, measured: Path) -> Path:
    """Where the command lines above find what they name."""
    scenario_file(tmp_path / "loud.py", LOUD, check="print('check prints'); return [Damage('kind', 1, 2, ('seen',))]")
    (tmp_path / "bench.json").symlink_to(measured)
    (tmp_path / "history.jsonl").write_text('{"process": 1, "op": "read", "result": 1, "start_ns": 1, "end_ns": 2}')
    return tmp_path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document of a small bench."""
    path = tmp_path_factory.mktemp("measured") / "bench.json"
    assert run_lab(*BENCH, "--json", path).returncode == 0
    return path


def test_each_command_is_in_the_table() -> None:
    assert sorted(COMMAND_LINES) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_what_was_printed_comes_out_before_what_is_complained_of_next(command: str, folder: Path) -> None:
    written, came_out, code = in_fresh_process(order_of, COMMAND_LINES[command], str(folder))
    assert code in (0, 1, 2, 3, 4), came_out
    assert came_out == written
    assert came_out


@pytest.mark.parametrize("command", ["race", "explore"])
def test_the_lines_of_workers_and_of_the_lab_stand_in_order_in_one_pipe(command: str, folder: Path) -> None:
    """In a real pipe: what the scenario's module prints before the fork, what its workers print, the complaint."""
    (folder / "loud.py").write_text("print('module prints')\n" + (folder / "loud.py").read_text())
    lab = start_lab(*COMMAND_LINES[command], cwd=folder, stderr=subprocess.STDOUT, env=BUFFERED)
    told, _ = lab.communicate(timeout=PATIENCE_S)
    first, loudest, last = (told.index(text) for text in ("module prints", "work prints", "lab: "))
    assert first < loudest < last
    assert lab.returncode == 1


@pytest.mark.parametrize(("stdout", "stderr"), [("full", "read"), ("full", "full"), ("closed", "closed")])
@pytest.mark.parametrize("command", ["race", "list", "--help"])
def test_output_that_cannot_be_written_is_no_damage(command: str, stdout: str, stderr: str, folder: Path) -> None:
    """Full: the environment cannot, 3. Closed by the caller: nobody wants it, and the command's own code stays."""
    line = ("race", "counter", "--locked", *QUICK, "--no-save") if command == "race" else (command,)
    redirect = {"full": "{}>/dev/full", "closed": "{}>&-", "read": ""}
    asked = f'exec "$@" {redirect[stdout].format(1)} {redirect[stderr].format(2)}'
    told = subprocess.run(
        ["/bin/sh", "-c", asked, "sh", sys.executable, "-m", "lab", *line],
        cwd=folder, env=BUFFERED, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert told.returncode == (3 if stdout == "full" else 0)
    said = "lab: standard output cannot be written (No space left on device); make room there\n"
    assert told.stderr == (said if (stdout, stderr) == ("full", "read") else "")


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
def test_a_complaint_that_cannot_be_written_changes_no_exit_code(stderr: str) -> None:
    told = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {stderr}', "sh", sys.executable, "-m", "lab", "report", "missing"],
        capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (2, b"")


def test_one_module_writes_to_the_standard_streams() -> None:
    """Only there the order is kept; a display of progress and the caller's own process have streams of their own."""
    writers = set()
    for path in sorted((ROOT / "lab").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "sys.stderr.write", "sys.stdout.write", "traceback.print_exc"):
                writers.add(str(path.relative_to(ROOT)))
    assert writers == {"lab/api/protocol.py", "lab/output.py"}
