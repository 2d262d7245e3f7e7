"""Test modules for the plugin's tests to run, and how pytest is run on them."""

from __future__ import annotations

import pytest

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


def run_tests(pytester: pytest.Pytester, tests: str, *args: str, scenarios: str = SCENARIOS) -> pytest.RunResult:
    """What a fresh pytest makes of a module with these scenarios and these tests, with the installed plugin."""
    pytester.makepyfile(test_mine=f"{scenarios}\n\n{tests}")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)


def outcomes_of(result: pytest.RunResult, **expected: int) -> None:
    """Asserts the counts; else shows what pytest said."""
    assert result.parseoutcomes() == expected, "\n".join([*result.outlines, *result.errlines])
