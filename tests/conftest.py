"""What all tests share: hypothesis draws the same examples in every run and watches no clock; and where none may skip.

LAB_NO_SKIPS=1 in the environment makes every skip a failure with its reason: where all that the tests need has been
installed, one that skips says nothing, and nobody would see it.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import golden as golden
from tests.helpers import PATIENCE
from tests.needs import need

settings.register_profile(
    "lab", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lab")

NO_SKIPS = os.environ.get("LAB_NO_SKIPS", "") not in ("", "0")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files again."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files as the texts are now")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test the more time, the more patience is asked for."""
    if PATIENCE == 1:
        return
    for item in items:
        mark = item.get_closest_marker("timeout")
        seconds = mark.args[0] if mark else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * PATIENCE), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test, before its fixtures are made, where the machine lacks what its marks name."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            need(name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips, by itself, by a mark or in a fixture; one that is expected to fail is none."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips all that is in it."""
    report = yield
    _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure, where none may be."""
    if NO_SKIPS and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"LAB_NO_SKIPS is set, and {report.nodeid} skips: {reason}"
