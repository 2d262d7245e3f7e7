"""A window that the lab widened by itself is told, also where every test passes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lab.pytest_plugin.manner import races_told

pytest_plugins = ["pytester"]

NOTED = """
import pytest

@pytest.mark.parametrize("manner", ["yielded", "slept", ""])
def test_it(request, manner):
    request.node.user_properties.append(("lab bank under fcntl: verdict", "clean"))
    if manner:
        request.node.user_properties.append((f"lab bank under fcntl: workers {manner}", True))
"""


def test_a_test_with_several_reports_is_told_once() -> None:
    report = SimpleNamespace(nodeid="t.py::t", user_properties=[("lab a under b: workers yielded", True)])
    assert races_told([report, SimpleNamespace(), report]) == ["t.py::t: a under b"]


@pytest.mark.parametrize("args", [(), ("-n", "2")])
def test_the_session_tells_which_races_were_widened(pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    pytester.makepyfile(test_noted=NOTED)
    text = pytester.runpytest_subprocess("-q", *args).stdout.str()
    told = [line.strip() for line in text.splitlines() if "bank under fcntl" in line or "inside the lock" in line]
    assert told == [
        "on one processor, where workers yielded inside the lock: else they met too seldom",
        "test_noted.py::test_it[yielded]: bank under fcntl",
        "workers slept inside the lock, and before they asked again: else they met too seldom",
        "test_noted.py::test_it[slept]: bank under fcntl",
    ]
