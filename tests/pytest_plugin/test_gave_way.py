"""A window that the lab widened by itself is told, also where every test passes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lab.pytest_plugin.gave_way import races_told

pytest_plugins = ["pytester"]

NOTED = """
import pytest

@pytest.mark.parametrize("gave_way", [True, False])
def test_it(request, gave_way):
    request.node.user_properties.append(("lab bank under fcntl: verdict", "clean"))
    if gave_way:
        request.node.user_properties.append(("lab bank under fcntl: workers gave way", True))
"""


def test_a_test_with_several_reports_is_told_once() -> None:
    report = SimpleNamespace(nodeid="t.py::t", user_properties=[("lab a under b: workers gave way", True)])
    assert races_told([report, SimpleNamespace(), report]) == ["t.py::t: a under b"]


@pytest.mark.parametrize("args", [(), ("-n", "2")])
def test_the_session_tells_which_races_were_widened(pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    pytester.makepyfile(test_noted=NOTED)
    text = pytester.runpytest_subprocess("-q", *args).stdout.str()
    assert "workers gave way inside the lock" in text
    assert [line.strip() for line in text.splitlines() if "bank under fcntl" in line] == [
        "test_noted.py::test_it[True]: bank under fcntl"
    ]
