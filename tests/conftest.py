"""What all tests share: the same examples of hypothesis in every run, the mark `quick`, and where no test may skip.

`-m quick` chooses the tests that start no process, mount nothing, compile nothing and open no browser. The mark is set
here, by the text of a test's module, and held: a quick test that starts a process fails.

LAB_NO_SKIPS=1 in the environment makes every skip a failure with its reason: where all that the tests need has been
installed, one that skips says nothing, and nobody would see it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import golden as golden
from tests.helpers import PATIENCE, OtherProcess
from tests.needs import need
from tests.order import deal

settings.register_profile(
    "lab", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lab")

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
"""As in an activated environment: what the lab prints to be typed again begins with `lab`."""

os.environ["COLUMNS"] = "80"
"""Texts are as wide as where no terminal says how wide it is, whoever runs the tests."""

NO_SKIPS = os.environ.get("LAB_NO_SKIPS", "") not in ("", "0")

STARTS_PROCESSES = re.compile(
    r"\b(in_fresh_process|OtherProcess|run_lab|refusal|working_lab|subprocess|os\.fork|pytester|WorkerPool|ActorPool|"
    r"fork_child|run_page|race\()"
)
"""What the module of a quick test does not say."""

NOT_QUICK = ("slow", "processes", "needs", "mounts", "browser")
"""The marks of tests that are not quick, whatever their module says."""

PROCESS_EVENTS = {"os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "subprocess.Popen"}
"""Audit events (https://docs.python.org/3/library/audit_events.html) of a process that starts another."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files again."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files as the texts are now")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the long tests, mark the quick, and give every test the more time, the more patience is asked for."""
    modules = [item.nodeid.partition("::")[0] for item in items]
    items[:] = deal(items, modules, getattr(config, "workerinput", {}).get("workercount", 1))
    quick = {path: not STARTS_PROCESSES.search(path.read_text()) for path in {item.path for item in items}}
    for item in items:
        if quick[item.path] and not any(item.get_closest_marker(name) for name in NOT_QUICK):
            item.add_marker("quick")
    if PATIENCE == 1:
        return
    for item in items:
        mark = item.get_closest_marker("timeout")
        seconds = mark.args[0] if mark else float(config.getini("timeout") or 0)
        item.add_marker(pytest.mark.timeout(seconds * PATIENCE), append=False)


def pytest_configure() -> None:
    """Have what the tests start hear Ctrl-C: a shell starts what runs in the background without it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test, before its fixtures are made, where the machine lacks what its marks name."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            need(name)


@pytest.fixture(scope="module")
def other() -> Iterator[OtherProcess]:
    """An interpreter with one thread, which may fork, for the tests of one module."""
    with OtherProcess() as process:
        yield process


class _Watch:
    """Whether a quick test runs in this process."""

    on = False


def _refuse_processes(event: str, _: tuple[object, ...]) -> None:
    """Refuse what starts a process while a quick test runs."""
    if _Watch.on and event in PROCESS_EVENTS:
        raise RuntimeError(f"a quick test starts a process ({event}): give it the mark `processes`")


sys.addaudithook(_refuse_processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold a quick test to it that it starts no process."""
    _Watch.on = item.get_closest_marker("quick") is not None
    try:
        return (yield)
    finally:
        _Watch.on = False


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
