"""The plugin among pytest's own ways: options, header, marker, xdist, import modes, warnings, other plugins."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lab.api.manner import races_in
from lab.host.environment import environment
from tests.pytest_plugin.writing import SCENARIOS, outcomes_of, run_here, run_tests

pytest_plugins = ["pytester"]

SHARED = "/dev/shm"  # noqa: S108 - each run makes a folder of its own there

ASKED = """
from pathlib import Path

def test_it(lab):
    run = lab.race("bank", trials=1, rounds=10).run
    assert (run.options.seed, Path(run.options.directory).name, run.environment.filesystem) == {expected}
"""


def test_the_header_says_which_lab_races_where(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "", "--lab-seed", "5", "--lab-dir", SHARED)
    result.stdout.fnmatch_lines([f"lab: *, tmpfs ({SHARED}), seed 5"])


def test_options_are_in_a_group_and_come_before_the_ini_file(pytester: pytest.Pytester) -> None:
    (pytester.path / "here").mkdir()
    pytester.makeini("[pytest]\nlab_seed = 3\nlab_dir = here")
    here = environment(pytester.path, 0.0).filesystem
    outcomes_of(run_tests(pytester, ASKED.format(expected=(3, "here", here))), passed=1)
    tests = ASKED.format(expected=(4, "shm", "tmpfs"))
    outcomes_of(run_tests(pytester, tests, "--lab-seed=4", f"--lab-dir={SHARED}"), passed=1)
    shown = pytester.runpytest_inprocess("--help")
    shown.stdout.fnmatch_lines(["*fixture `lab`*:", "*--lab-seed*", "*--lab-dir*", "*--lab-seconds*", "*lab_seconds*"])


WRONG = {
    "--lab-seed=x": "lab_seed: 'x' is not a whole number",
    "--lab-seconds=soon": "lab_seconds: 'soon' is not a number of seconds",
    "--lab-seconds=-1": "lab_seconds: -1 is no time: *",
    "--lab-dir=nowhere": "lab_dir: */nowhere is no directory; *",
}


@pytest.mark.parametrize("option", WRONG)
def test_an_option_that_makes_no_sense_ends_pytest_with_one_line(pytester: pytest.Pytester, option: str) -> None:
    result = run_here(pytester, "", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {WRONG[option]}"])


def test_tests_that_use_the_fixture_are_marked(pytester: pytest.Pytester) -> None:
    tests = """
@pytest.fixture
def racing(lab):
    return lab

def test_plain():
    pass

def test_direct(lab):
    pass

def test_indirect(racing):
    pass
"""
    outcomes_of(run_here(pytester, tests, "--strict-markers", "-m", "lab"), passed=2, deselected=1)
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.lab: *"])


def test_switched_off_there_is_no_fixture_and_no_option(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "def test_it(lab):\n    pass\n\ndef test_other():\n    pass", "-p", "no:lab")
    outcomes_of(result, errors=1, passed=1)
    result.stdout.fnmatch_lines(["E*fixture 'lab' not found"])
    result.stdout.no_fnmatch_line("lab: *")


RACES = """
def test_race(lab):
    assert lab.race(Mine(), trials=1, rounds=50).case.verdict == "clean"

def test_state(lab):
    assert lab.race(Steps(2), lock=Lies(), trials=1).case.lock == "lies"

def test_explore(lab):
    lab.explore(Mine).assert_exhausted()
"""


NOTED = """
import pytest

@pytest.mark.parametrize("manner", ["yielded", "slept", ""])
def test_it(request, manner):
    request.node.user_properties.append(("lab bank under fcntl: verdict", "clean"))
    if manner:
        request.node.user_properties.append((f"lab bank under fcntl: workers {manner}", True))
"""


@pytest.mark.parametrize("args", [(), ("-n", "2")])
def test_races_and_what_is_told_of_their_workers_are_the_same_under_xdist(
    pytester: pytest.Pytester, args: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_noted=NOTED)
    result = run_tests(pytester, RACES, *args)
    outcomes_of(result, passed=6)
    lines = result.stdout.str().splitlines()
    assert [line.strip() for line in lines if "bank under fcntl" in line or "inside the lock" in line] == [
        "on one processor, where workers yielded inside the lock: else they met too seldom",
        "test_noted.py::test_it[yielded]: bank under fcntl",
        "workers slept inside the lock, and before they asked again: else they met too seldom",
        "test_noted.py::test_it[slept]: bank under fcntl",
    ]


def test_a_test_with_several_reports_is_told_once() -> None:
    report = SimpleNamespace(nodeid="t.py::t", user_properties=[("lab a under b: workers yielded", True)])
    assert races_in([report, SimpleNamespace(), report]) == ["t.py::t: a under b"]


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_it_works_for_tests_in_packages_with_conftests_and_in_every_import_mode(
    pytester: pytest.Pytester, mode: str
) -> None:
    """Below the folder that pytest starts in, which is on sys.path; with two modules of one name, where that may be."""
    project = pytester.path / "project"
    inner = project / "suite" / "inner"
    inner.mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "suite" / "__init__.py").touch()
    (inner / "__init__.py").touch()
    (project / "suite" / "conftest.py").write_text("import pytest\n\n@pytest.fixture\ndef step():\n    return 2\n")
    (inner / "scenarios.py").write_text(SCENARIOS)
    (inner / "test_inner.py").write_text(
        f"import pytest\nfrom .scenarios import Lies, Mine, Steps\npytest.importorskip('json')\n{RACES}"
        "\ndef test_step(lab, step):\n    assert lab.race(Steps(step), trials=1).case.verdict == 'clean'\n"
    )
    (project / "test_mine.py").write_text(
        f"{SCENARIOS}\n\nclass Test:\n    def test_it(self, lab):\n        lab.explore(Careless).assert_holds()\n"
    )
    names = ("one", "two") if mode == "importlib" else ()
    for name in names:
        (project / name).mkdir()
        (project / name / "test_same.py").write_text(
            f"{SCENARIOS}\n\nclass My(Lies):\n    name = {name!r}\n\n"
            f"def test_it(lab):\n    assert lab.race(Mine, lock=My, trials=1).case.lock == {name!r}"
        )
    result = pytester.runpytest_subprocess(f"--import-mode={mode}", "project")
    outcomes_of(result, passed=4 + len(names), failed=1)
    result.stdout.fnmatch_lines(["E*again: python -m pytest project/test_mine.py::Test::test_it --lab-seed 0"])
