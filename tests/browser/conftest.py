"""Chromium for the tests of the page: one browser a test process, a fresh offline context and page a test.

Debian's chromium, driven by Playwright over a pipe; neither Playwright's own browsers nor a network are needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.cli.page import render_page
from tests.helpers import PATIENCE_S
from tests.needs import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize

HERE = Path(__file__).parent
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 380, "height": 800}
PATIENCE_MS = 1000 * PATIENCE_S

ARGUMENTS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm is small in containers
    "--disable-background-networking",
    "--disable-component-update",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is in this folder drives the browser."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window; skips where there is none."""
    need("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def lab_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as `lab page` writes it, without a run."""
    path = tmp_path_factory.mktemp("page") / "lab.html"
    path.write_bytes(render_page())
    return path


@dataclass
class Opened:
    """A page that a test has open, and what it did that no page should."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors and requests from now on."""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _asked(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


class OpenPage:
    """Opens the page of a file from file://, without a network."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.opened: list[Opened] = []

    def __call__(self, path: Path, fragment: str = "", *, phone: bool = False, dark: bool = False) -> Page:
        """The page of the file, with this fragment in its address; in a small window, in dark colours."""
        context = self._browser.new_context(
            offline=True,
            viewport=PHONE if phone else DESKTOP,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        seen = Opened(context.new_page(), path.resolve().as_uri())
        seen.watch()
        self.opened.append(seen)
        seen.page.goto(f"{seen.url}#{fragment}" if fragment else seen.url)
        return seen.page


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages; in the end none of them may have complained, or asked for anything but itself."""
    opens = OpenPage(browser)
    yield opens
    for seen in opens.opened:
        seen.page.context.close()
        assert seen.complaints == []
        assert {each.partition("#")[0] for each in seen.requests} == {seen.url}


@pytest.fixture
def axe() -> Callable[..., list[str]]:
    """What axe-core finds against WCAG 2 A and AA: rule, element, what to do; `within` is a CSS selector."""
    module = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")

    def found(page: Page, within: str = "body") -> list[str]:
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
        results = module.Axe().run(page, context=within, options=rules).response
        return [
            f"{rule['id']}: {node['html']}: {node['failureSummary']}"
            for rule in results["violations"]
            for node in rule["nodes"]
        ]

    return found


def scrolls_sideways(page: Page) -> bool:
    """True where the page itself is wider than the window."""
    wider: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wider
