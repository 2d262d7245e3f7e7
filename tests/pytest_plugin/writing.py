"""Test modules for the plugin's tests to run, and how pytest is run on them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from tests.helpers import PATIENCE_S

SCENARIOS = '''
from ctypes import Structure, c_uint64

import pytest

from lab import Damage, Scenario


class Mine(Scenario):
    """Adds under the lock."""

    holds_per_round = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        with w.write_lock(self.Memory.value):
            w.pause()
            w.memory.value += 1

    def check(self, memory, outcome):
        return Damage("lost update", outcome.rounds - memory.value, outcome.rounds, [f"value is {memory.value:,}"])


class Careless(Mine):
    """Adds without a lock, and lets others in between."""

    def work(self, w):
        before = w.memory.value
        w.pause()
        w.memory.value = before + 1


class Steps(Mine):
    """Has a state of its own."""

    def __init__(self, step):
        self.step, self.rounds = step, 77

    def work(self, w):
        with w.write_lock(self.Memory.value):
            w.memory.value += self.step

    def check(self, memory, outcome):
        return Damage("steps lost", outcome.rounds * self.step - memory.value, outcome.rounds * self.step)


class Lies:
    """Lets everybody in."""

    name, summary, has_ranges, excludes = "lies", "", True, True

    def actions(self, descriptor, start, length, *, write):
        return (lambda: None), (lambda: None)


class Raises(Lies):
    name = "raises"

    def actions(self, descriptor, start, length, *, write):
        return (lambda: 1 / 0), (lambda: None)


class Never(Lies):
    """Never grants."""

    name = "never"

    def actions(self, descriptor, start, length, *, write):
        import time

        return (lambda: time.sleep(1000)), (lambda: None)
'''


def run_tests(pytester: pytest.Pytester, tests: str, *args: str) -> pytest.RunResult:
    """What a fresh pytest makes of a module with these scenarios and these tests, with the installed plugin."""
    pytester.makepyfile(test_mine=f"{SCENARIOS}\n\n{tests}")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)


def run_here(pytester: pytest.Pytester, tests: str, *args: str) -> pytest.RunResult:
    """The same in the process of the test, where nothing is raced."""
    pytester.makepyfile(test_mine=f"{SCENARIOS}\n\n{tests}")
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *args)


def outcomes_of(result: pytest.RunResult, **expected: int) -> None:
    """Asserts the counts; else shows what pytest said."""
    assert result.parseoutcomes() == expected, "\n".join([*result.outlines, *result.errlines])


@dataclass
class Ran:
    """What a module of tests came to: how many tests ended how, what was said of them, and what they recorded."""

    outcomes: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)

    def to_paste(self) -> list[str]:
        """The lines of failures that are to be typed again."""
        told = (line.removeprefix("E").strip() for line in self.lines if line.startswith("E "))
        return [line for line in told if line.startswith(("replay: ", "again: "))]


def run_modules(folder: Path, modules: dict[str, str], *args: str) -> str:
    """Run all of these modules with one pytest in this folder; returns what that wrote to its terminal."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    for name, tests in modules.items():
        (folder / f"test_{name}.py").write_text(f"{SCENARIOS}\n\n{tests}")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=out.xml", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=6 * PATIENCE_S, check=False)
    assert (folder / "out.xml").exists(), done.stdout + done.stderr
    return done.stdout


def results_in(folder: Path) -> defaultdict[str, Ran]:
    """What each module of that run came to, by its name."""
    found: defaultdict[str, Ran] = defaultdict(Ran)
    for case in Xml.parse(folder / "out.xml").iter("testcase"):  # noqa: S314 - our own
        ran = found[str(case.get("classname")).removeprefix("test_")]
        ends = [each for each in case if each.tag in ("failure", "error", "skipped")]
        ran.outcomes.update([each.tag for each in ends] or ["passed"])
        for each in ends:
            ran.lines += [*str(each.get("message")).splitlines()[:1], *(each.text or "").splitlines()]
        ran.properties |= {str(each.get("name")): str(each.get("value")) for each in case.iter("property")}
    return found
