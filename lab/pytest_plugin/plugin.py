"""Define the hooks that pytest calls: the options, the header, the marker, the fixture.

Every pytest loads this module, so it imports little.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from .fixture import add_options, defaults

if TYPE_CHECKING:
    from .fixture import Lab

PASSED = pytest.StashKey[bool]()
MARKER = "lab: races or explores (every test that uses the fixture `lab` has it)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--lab-seed` and the other options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; refuse options that make no sense before anything runs."""
    config.addinivalue_line("markers", MARKER)
    defaults(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Say in the header which lab runs, on what filesystem, with which seed."""
    from lab.host.environment import environment

    said = defaults(config)
    here = environment(said.directory, 0.0)
    return f"lab: {here.lab}, {here.filesystem} ({said.directory}), seed {said.seed}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that use the fixture: `-m lab` selects them, `-m "not lab"` all others."""
    if "lab" in getattr(item, "fixturenames", ()):
        item.add_marker("lab")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test passed: one that failed or was skipped need not have looked at its races."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the races that were widened though no test asked for it."""
    from .protocol import TOLD, races_told

    every = [report for reports in terminalreporter.stats.values() for report in reports]
    told = {how: races for manner, how in TOLD.items() if (races := races_told(every, manner))}
    if told:
        terminalreporter.section("lab: races with a wider window")
    for how, races in told.items():
        terminalreporter.line(how)
        for race in races:
            terminalreporter.line(f"  {race}")


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Race and explore scenarios: `lab.race(...).assert_clean()`, `lab.explore(...).assert_exhausted()`."""
    from .fixture import Lab

    made = Lab(request, defaults(request.config))
    yield made
    if request.node.stash.get(PASSED, False):
        made.check_looked_at()
