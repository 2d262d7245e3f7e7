"""Explorations as tests: what passes, and what a failure shows."""

from __future__ import annotations

import pytest

from tests.helpers import run_lab
from tests.pytest_plugin.writing import outcomes_of, run_tests

pytest_plugins = ["pytester"]


def test_what_is_claimed_of_an_exploration_passes_where_it_is_true(pytester: pytest.Pytester) -> None:
    tests = """
def test_exhausted(lab):
    lab.explore(Mine).assert_exhausted()

def test_state(lab):
    lab.explore(Steps(2), lock="ofd").assert_exhausted()

def test_holds(lab):
    result = lab.explore("bank", workers=3, rounds=2, search="bound", preemptions=0)
    result.assert_holds()
    assert not result.case.exhausted

def test_broken(lab):
    lab.explore(Careless).assert_broken("lost update")
    lab.explore(Mine(), lock="none").assert_broken()
"""
    outcomes_of(run_tests(pytester, tests), passed=4)


def test_what_is_claimed_and_not_true_fails_with_the_interleaving_and_the_line_that_replays_it(
    pytester: pytest.Pytester,
) -> None:
    tests = """
def test_breaks(lab):
    lab.explore(Careless).assert_exhausted()

def test_state_breaks(lab):
    lab.explore(Steps(2), lock="none").assert_holds()

def test_other_kind(lab):
    lab.explore(Careless).assert_broken("torn write")

def test_holds(lab):
    lab.explore(Mine).assert_broken()

def test_not_all(lab):
    lab.explore("bank", workers=3, rounds=2, search="bound", preemptions=0).assert_exhausted()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=5)
    result.stdout.fnmatch_lines(
        [
            "E*test_mine:careless under fcntl, 2 workers x 2 rounds: broken: lost update: worker 0 overwrites *",
            "E*switch >*",
            "E*replay: python -m lab replay L1,test_mine.py:careless,fcntl,2x1,*",
            "E*test_mine:steps under none, 2 workers x 2 rounds: broken: steps lost: *",
            "E*again: python -m pytest test_mine.py::test_state_breaks --lab-seed 0",
            "E*broken, but by lost update, not by torn write",
            "E*test_mine under fcntl, 2 workers x 2 rounds: was to break and did not",
            "E*bank under fcntl, 3 workers x 2 rounds: not exhausted: nothing broke in *",
        ]
    )
    tokens = [line.split()[-1] for line in result.outlines if " replay: " in line]
    assert len(tokens) == 2
    assert run_lab("replay", tokens[0], cwd=pytester.path).returncode == 0


def test_what_was_not_found_out_is_said_once_with_the_argument_to_change(pytester: pytest.Pytester) -> None:
    tests = """
def test_it(lab):
    lab.explore("append_log", lock="fcntl", workers=4, rounds=6, search="random", time_limit=0.2).assert_exhausted()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=1)
    (told,) = (line for line in result.outlines if line.startswith("E") and "which is not all" in line)
    assert told.endswith("which is not all; raise time_limit= or lower rounds=.")
    result.stdout.no_fnmatch_line("*--time-limit*")


def test_what_cannot_be_explored_fails(pytester: pytest.Pytester) -> None:
    tests = """
class Idle(Mine):
    def work(self, w):
        pass

def test_idle(lab):
    lab.explore(Idle).assert_exhausted()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=1)
    result.stdout.fnmatch_lines(["E*CannotRunError: scenario test_mine:idle: worker 0 took no step *"])
