"""The plugin among pytest's own ways: options, header, marker, xdist, import modes, warnings, other plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.host.environment import environment
from tests.pytest_plugin.writing import SCENARIOS, outcomes_of, run_tests

pytest_plugins = ["pytester"]

SHARED = "/dev/shm"  # noqa: S108 - each run makes a folder of its own there

ASKED = """
from pathlib import Path

def test_it(lab):
    run = lab.race("bank", trials=1, rounds=10).run
    assert (run.options.seed, Path(run.options.directory).name, run.environment.filesystem) == {expected}
"""


def test_the_header_says_which_lab_races_where(pytester: pytest.Pytester) -> None:
    result = run_tests(pytester, "", "--lab-seed", "5", "--lab-dir", SHARED)
    result.stdout.fnmatch_lines([f"lab: *, tmpfs ({SHARED}), seed 5"])


def test_options_are_in_a_group_and_come_before_the_ini_file(pytester: pytest.Pytester) -> None:
    (pytester.path / "here").mkdir()
    pytester.makeini("[pytest]\nlab_seed = 3\nlab_dir = here")
    here = environment(pytester.path, 0.0).filesystem
    outcomes_of(run_tests(pytester, ASKED.format(expected=(3, "here", here))), passed=1)
    tests = ASKED.format(expected=(4, "shm", "tmpfs"))
    outcomes_of(run_tests(pytester, tests, "--lab-seed=4", f"--lab-dir={SHARED}"), passed=1)
    shown = pytester.runpytest_subprocess("--help")
    shown.stdout.fnmatch_lines(["*fixture `lab`*:", "*--lab-seed*", "*--lab-dir*", "*--lab-seconds*", "*lab_seconds*"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--lab-seed=x", "lab_seed: 'x' is not a whole number"),
        ("--lab-seconds=soon", "lab_seconds: 'soon' is not a number of seconds"),
        ("--lab-seconds=-1", "lab_seconds: -1 is no time: *"),
        ("--lab-dir=nowhere", "lab_dir: */nowhere is no directory; *"),
    ],
)
def test_an_option_that_makes_no_sense_ends_pytest_with_one_line(
    pytester: pytest.Pytester, option: str, said: str
) -> None:
    result = run_tests(pytester, "", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


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
    outcomes_of(run_tests(pytester, tests, "--strict-markers", "-m", "lab"), passed=2, deselected=1)
    outcomes_of(run_tests(pytester, tests, "--strict-markers", "-m", "not lab"), passed=1, deselected=2)
    pytester.runpytest_subprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.lab: *"])


def test_switched_off_there_is_no_fixture_and_no_option(pytester: pytest.Pytester) -> None:
    result = run_tests(pytester, "def test_it(lab):\n    pass\n\ndef test_other():\n    pass", "-p", "no:lab")
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


def test_it_works_under_xdist(pytester: pytest.Pytester) -> None:
    outcomes_of(run_tests(pytester, RACES, "-n", "2"), passed=3)


def test_it_works_where_warnings_are_errors(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfilterwarnings = error")
    outcomes_of(run_tests(pytester, RACES, "-W", "error"), passed=3)


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_it_works_for_tests_in_packages_with_conftests_and_in_every_import_mode(
    pytester: pytest.Pytester, mode: str
) -> None:
    suite = project(pytester) / "suite"
    inner = suite / "inner"
    inner.mkdir(parents=True)
    (suite / "__init__.py").touch()
    (inner / "__init__.py").touch()
    (suite / "conftest.py").write_text("import pytest\n\n@pytest.fixture\ndef step():\n    return 2\n")
    (inner / "scenarios.py").write_text(SCENARIOS)
    (inner / "test_inner.py").write_text(
        f"import pytest\nfrom .scenarios import Lies, Mine, Steps\npytest.importorskip('json')\n{RACES}"
        "\ndef test_step(lab, step):\n    assert lab.race(Steps(step), trials=1).case.verdict == 'clean'\n"
    )
    outcomes_of(pytester.runpytest_subprocess(f"--import-mode={mode}", "project"), passed=4)


def test_the_line_that_runs_a_test_again_works_where_pytest_was_started(pytester: pytest.Pytester) -> None:
    (project(pytester) / "test_mine.py").write_text(
        f"{SCENARIOS}\n\nclass Test:\n    def test_it(self, lab):\n        lab.explore(Careless).assert_holds()\n"
    )
    result = pytester.runpytest_subprocess("project")
    result.stdout.fnmatch_lines(["E*again: python -m pytest project/test_mine.py::Test::test_it --lab-seed 0"])


def test_two_modules_of_one_name_are_told_apart(pytester: pytest.Pytester) -> None:
    for folder in ("one", "two"):
        where = project(pytester) / folder
        where.mkdir()
        (where / "test_same.py").write_text(
            f"{SCENARIOS}\n\nclass My(Lies):\n    name = {folder!r}\n\n"
            f"def test_it(lab):\n    assert lab.race(Mine, lock=My, trials=1).case.lock == {folder!r}"
        )
    outcomes_of(pytester.runpytest_subprocess("--import-mode=importlib", "project"), passed=2)


def project(pytester: pytest.Pytester) -> Path:
    """A project below the folder that pytest starts in: that one is on sys.path, and this one is not."""
    folder = pytester.path / "project"
    folder.mkdir(exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def test_a_module_that_does_not_load_elsewhere_is_said(pytester: pytest.Pytester) -> None:
    tests = """
import sys
if "pytest_timeout" not in sys.modules:
    raise RuntimeError("only here")

def test_it(lab):
    lab.race(Mine)
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=1)
    result.stdout.fnmatch_lines(["E*UsageError: scenario: cannot be made in the process that races (RuntimeError: *"])
