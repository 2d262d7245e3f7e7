"""Define the hooks that pytest calls: the options, the header, the marker, the fixture.

Every pytest loads this module, so it imports little.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from .fixture import Lab

PASSED = pytest.StashKey[bool]()
MARKER = "lab: races or explores (every test that uses the fixture `lab` has it)"


SECONDS = 1.0
"""The time that a race takes, in seconds, where the test gives none."""

Value = TypeVar("Value", int, float)


@dataclass(frozen=True, slots=True)
class Defaults:
    """The settings of every race that does not give its own."""

    seed: int
    directory: Path
    seconds: float
    examples: bool = True


def add_options(parser: pytest.Parser) -> None:
    """Add the options of the lab, in a group of their own, and the same as ini keys."""
    group = parser.getgroup("lab", "races and explorations (the fixture `lab`)")
    group.addoption("--lab-seed", metavar="N", help="of the random draws of scenarios (0)")
    group.addoption("--lab-dir", metavar="DIR", help="race on files in there (the system's temporary directory)")
    group.addoption("--lab-seconds", metavar="S", help="race for about so long where the test does not say (1)")
    parser.addini("lab_seed", "as --lab-seed")
    parser.addini("lab_dir", "as --lab-dir; relative to the ini file")
    parser.addini("lab_seconds", "as --lab-seconds")
    parser.addini("lab_examples", "keep what failed in .lab/, and try it first in the next run", "bool", True)


def defaults(config: pytest.Config) -> Defaults:
    """Return the defaults: the command line's, else the ini file's, else the lab's own.

    Raises pytest.UsageError, naming the option.
    """
    seed = _number(config, "lab_seed", int, "a whole number")
    seconds = _number(config, "lab_seconds", float, "a number of seconds")
    if seconds is not None and not 0 < seconds < 1e6:
        raise pytest.UsageError(f"lab_seconds: {seconds:g} is no time: above 0 seconds, below a million")
    examples = bool(config.getini("lab_examples"))
    return Defaults(seed or 0, _session_directory(config), seconds or SECONDS, examples)


def _number(config: pytest.Config, name: str, kind: Callable[[str], Value], what: str) -> Value | None:
    text = config.getoption(name) or config.getini(name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise pytest.UsageError(f"{name}: {text!r} is not {what}") from None


def _session_directory(config: pytest.Config) -> Path:
    given, noted = config.getoption("lab_dir"), config.getini("lab_dir")
    base = config.invocation_params.dir if given else (config.inipath or config.rootpath / "_").parent
    try:
        folder = base / Path(given or noted or tempfile.gettempdir()).expanduser()
    except RuntimeError as error:  # the user does not exist
        raise pytest.UsageError(f"lab_dir: {given or noted!r}: {error}; give a directory") from None
    if not folder.is_dir():
        raise pytest.UsageError(f"lab_dir: {folder} is no directory; give one on the filesystem in question")
    return folder


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

    settings = defaults(config)
    here = environment(settings.directory, 0.0)
    return f"lab: {here.lab}, {here.filesystem} ({settings.directory}), seed {settings.seed}"


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
    from lab.api.manner import MANNERS, races_in

    every = [report for reports in terminalreporter.stats.values() for report in reports]
    sections = {how: races for manner, how in MANNERS.items() if (races := races_in(every, manner))}
    if sections:
        terminalreporter.section("lab: races with a wider window")
    for how, races in sections.items():
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
