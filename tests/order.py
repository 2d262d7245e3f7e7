"""The order of the tests where several processes share them: the long ones begin first, the others fill what is left.

pytest-xdist's `worksteal` gives each process a block of the list, and whoever is done takes from the end of another's
block. Long tests mostly wait: in the middle of a block they would all be left to the end, with idle processors. So they
begin in every second process, and the others do what needs the processor meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

Test = TypeVar("Test")

LONGEST_FIRST = (
    "tests/test_docs.py",
    "tests/faults/test_faults.py",
    "tests/checking/test_filesystems.py",
    "tests/checking/test_fuzz.py",
    "tests/checking/test_stress.py",
    "tests/cli/test_locks.py",
    "tests/pytest_plugin/test_cases.py",
    "tests/checking/test_supervise.py",
    "tests/test_packaging.py",
)
"""The modules that take a minute or more, those with the longest tests first."""


def deal(tests: Sequence[Test], modules: Sequence[str], processes: int) -> list[Test]:
    """Return the tests in the order for this many processes; `modules` has the module of each."""
    if processes < 2:
        return list(tests)
    paired = list(zip(modules, tests, strict=True))
    long = [test for name in LONGEST_FIRST for module, test in paired if module == name]
    short = iter([test for module, test in paired if module not in LONGEST_FIRST])
    dealt: list[Test] = []
    for number in range(processes):
        size = (len(tests) - len(dealt)) // (processes - number)  # as `worksteal` cuts the list
        begins = long[number // 2 :: (processes + 1) // 2] if number % 2 == 0 else []
        dealt += [*begins, *islice(short, max(0, size - len(begins)))]
    return [*dealt, *short]
