"""Imports go downward only, and the process that forks imports nothing that forks would pay for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.import_graph import circles, import_graph, layers, modules
from lab.locking.registry import READY
from tests.helpers import PATIENCE_S, ROOT

STARTS_THREADS_OR_HANDLERS = {
    "threading", "random", "psutil", "tabulate", "msgspec", "rich", "concurrent.futures", "matplotlib", "numpy",
}  # fmt: skip
LIBRARIES = {"shutil", "bz2", "lzma", "resource", "lab.histories.judge"}
"""What maps libraries that no worker uses: a fork of a crowd takes 3 us for each map."""

ONLY_FOR_PROGRAMS = {"socket", "selectors", "shlex", "lab.locking.observer", "lab.racing.programs.watch"}
SLOW_TO_IMPORT = {"psutil", "tabulate", "msgspec", "rich", "greenlet", "lab.racing", "lab.records", "lab.report"}

SYSTEM = {"os", "posix", "pathlib", "mmap", "fcntl", "signal", "socket", "subprocess", "threading", "multiprocessing"}

AT_THE_FIRST_FORK = """
import os, sys
from lab.cli import main
from lab.processes.pool import WorkerPool

class Seen(BaseException):
    pass

def enter(self):
    raise Seen

WorkerPool.__enter__ = enter
try:
    main(sys.argv[1:])
except Seen:
    print(*sys.modules)
"""

AT_THE_END = """
import sys
from lab.cli import main
main(sys.argv[1:])
print(*sys.modules)
"""


def python(*args: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=cwd)


def imported(script: str, *args: str) -> set[str]:
    """The modules that the lab's command had imported, as the script saw it."""
    done = python("-c", script, *args)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.needs("import_linter")
def test_imports_go_downward_only() -> None:
    done = python(Path(sys.executable).with_name("lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout
    assert "imports go downward only KEPT" in done.stdout


@pytest.mark.parametrize("options", [[], ["counter", "--locked"], ["bank", "--lock", "flock"], ["--quiet"]])
def test_a_race_forks_before_it_imports_what_forks_would_pay_for(options: list[str]) -> None:
    """`threading` and `random` leave handlers that run in every forked child; the others import these two."""
    modules = imported(AT_THE_FIRST_FORK, "race", *options, "--no-save")
    assert "lab.racing.trial" in modules
    assert modules & STARTS_THREADS_OR_HANDLERS == set()
    assert modules & (ONLY_FOR_PROGRAMS | LIBRARIES) == set()


def test_only_the_pictures_import_matplotlib() -> None:
    importing = re.compile(r"^\s*(?:import|from) (?:matplotlib|numpy)\b", re.MULTILINE)
    found = {
        path.relative_to(ROOT / "lab") for path in (ROOT / "lab").rglob("*.py") if importing.search(path.read_text())
    }
    assert {str(path.parent) for path in found - {Path("cli/plot.py")}} == {"report/plots"}


def test_a_list_waits_for_nothing_that_only_other_commands_need() -> None:
    """A scenario and a library of locks are listed without being imported: a name of theirs would be among these."""
    modules = imported(AT_THE_END, "list")
    libraries = {ready.package for ready in READY.values()} - {"sysv_ipc", "posix_ipc"}  # which backings try
    unused = {"dataclasses", "inspect", "importlib.metadata", "lab.scenario", "lab.processes.pool", "lab.locking.ready"}
    assert modules & (SLOW_TO_IMPORT | STARTS_THREADS_OR_HANDLERS | libraries | unused) == set()
    assert not any(name.startswith("lab.scenarios") for name in modules)


def test_the_command_line_alone_imports_no_command_s_verbs() -> None:
    modules = imported("import sys, lab.cli\nprint(*sys.modules)")
    assert modules & (SLOW_TO_IMPORT | STARTS_THREADS_OR_HANDLERS) == set()


def test_help_imports_the_command_line_and_nothing_else_of_the_lab() -> None:
    script = "import sys\nfrom lab.cli import main\nmain(['--help'])\nprint()\nprint(*sys.modules)"
    modules = imported(script)
    own = {name for name in modules if name == "lab" or name.startswith("lab.")}
    assert own == {"lab", "lab.cli", "lab.cli.main", "lab.commands", "lab.errors", "lab.output"}
    assert modules & {*STARTS_THREADS_OR_HANDLERS, "dataclasses", "inspect", "ctypes"} == set()


def test_a_pytest_that_never_uses_the_fixture_loads_the_plugin_alone() -> None:
    modules = imported("import sys, lab.pytest_plugin.plugin, lab.api.manner\nprint(*sys.modules)")
    plugin = {"lab", "lab.api", "lab.api.manner", "lab.pytest_plugin", "lab.pytest_plugin.plugin"}
    assert {name for name in modules if name.partition(".")[0] == "lab"} == plugin


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.py")), ids=lambda path: path.stem)
def test_a_scenario_imports_no_system_call_unless_that_is_its_counterexample(path: Path) -> None:
    counterexamples = {"closed_descriptor": {"os"}, "replaced_file": {"pathlib"}, "threads": {"threading"}}
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert names & SYSTEM == counterexamples.get(path.stem, set())
    assert {name for name in names if name.startswith("lab")} == {"lab"}


LONGEST, SHORTEST, MOST_FILES = 450, 30, 360
"""Lines of a Python file in lab/, and how many there are at most."""


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(import_graph(top_level=True)) == []


def test_a_circle_of_imports_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_file_is_too_long_or_too_short() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert {name for name, count in lines.items() if count < SHORTEST} - packages == set(), (
        "an `__init__.py` may be shorter"
    )
    assert len(lines) <= MOST_FILES


def test_every_module_says_what_it_is_for() -> None:
    missing = [name for name, path in modules().items() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert missing == []


def test_a_package_states_the_layer_that_it_is_in() -> None:
    number = {f"lab.{name}": layer for layer, names in enumerate(layers()) for name in names}
    stated = {
        name: int(match[1])
        for name, path in modules().items()
        if (match := re.match(r"Layer (\d+): ", ast.get_docstring(ast.parse(path.read_text())) or ""))
    }
    packages = {name for name in number if modules()[name].name == "__init__.py"}
    assert packages <= set(stated)
    assert {name: number[".".join(name.split(".")[:2])] for name in stated} == stated
