"""The start of `python -m lab`: a stop, or an import that fails, before the command line is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import PATIENCE_S, ROOT, run_lab

STOPPED = """
import os
os.kill(os.getpid(), {number})
raise ImportError("not stopped")
"""


def beside(folder: Path, module: str, text: str) -> dict[str, str]:
    """The environment in which this text stands in the place of a module that the lab imports."""
    (folder / f"{module}.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_while_it_imports_is_one_line(stop: signal.Signals, tmp_path: Path) -> None:
    done = run_lab("list", env=beside(tmp_path, "argparse", STOPPED.format(number=int(stop))))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "lab: interrupted\n")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_while_a_command_imports_is_one_line(stop: signal.Signals, tmp_path: Path) -> None:
    text = STOPPED.format(number=int(stop))
    done = run_lab("report", ROOT / "results/reference.json", env=beside(tmp_path, "msgspec", text))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "lab: interrupted\n")


@pytest.mark.parametrize("text", ["import no_such_module_at_all", "import os; os.no_such_module_at_all"])
@pytest.mark.parametrize("module", ["argparse", "tabulate"])
def test_an_import_that_fails_is_of_the_environment(module: str, text: str, tmp_path: Path) -> None:
    """Also where it raises something else: Python imports a package that it cannot look at as an empty one."""
    missing = beside(tmp_path, module, text)
    done = run_lab("report", ROOT / "results/reference.json", env=missing)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: cannot ")
    assert "no_such_module_at_all" in line


def test_nothing_is_imported_before_a_stop_is_heard() -> None:
    """What `import lab` costs is what a stop cannot be heard in."""
    asked = "import sys; before = set(sys.modules); import lab; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout == "['lab']\n"


@pytest.mark.parametrize("text", [None, "x = 1\n"])
def test_a_folder_of_the_same_name_is_named_and_the_script_works_beside_it(text: str | None, tmp_path: Path) -> None:
    """With an __init__.py or without; Python puts the current folder first for -m, and not for a script."""
    (tmp_path / "lab").mkdir()
    if text:
        (tmp_path / "lab" / "__init__.py").write_text(text)
    told = (
        f"lab: {tmp_path / 'lab'} hides the package lab; type lab instead of python -m lab, or work in another folder\n"
    )
    script = str(Path(sys.executable).with_name("lab"))
    for command, expected in (([sys.executable, "-m", "lab"], (3, told)), ([script], (0, ""))):
        done = subprocess.run(
            [*command, "-V"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert (done.returncode, done.stderr) == expected
