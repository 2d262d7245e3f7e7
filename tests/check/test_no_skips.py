"""Where all that the tests need is installed, none of them may skip (tests/conftest.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.helpers import PATIENCE_S, ROOT

SKIPPING = {
    "in the test": "def test_it() -> None:\n    pytest.skip('no such thing here')\n",
    "by a mark": "@pytest.mark.skipif(True, reason='no such thing here')\ndef test_it() -> None:\n    pass\n",
    "in a fixture": (
        "@pytest.fixture\ndef thing() -> None:\n    pytest.skip('no such thing here')\n\n\n"
        "def test_it(thing: None) -> None:\n    pass\n"
    ),
    "by a need": (
        "from tests import needs\n\nneeds.NEEDS['thing'] = lambda: needs.require(False, 'no such thing here')\n\n\n"
        "@pytest.mark.needs('thing')\ndef test_it(tmp_path: int) -> None:\n    pass\n"
    ),
    "in the module": "pytest.skip('no such thing here', allow_module_level=True)\n",
}
EXPECTED_TO_FAIL = "@pytest.mark.xfail(reason='not yet')\ndef test_it() -> None:\n    raise ValueError\n"


def run_with(text: str, folder: Path, no_skips: str) -> tuple[int, str]:
    """The exit code of pytest on a file of this text with the hooks of all tests, and what it prints."""
    (folder / "test_it.py").write_text(f"import pytest\n\n\n{text}")
    plugins = ("-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:xdist")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--rootdir", folder, "-c", os.devnull, folder / "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LAB_NO_SKIPS": no_skips},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("how", SKIPPING)
def test_a_test_that_skips_fails_with_its_reason_where_none_may(how: str, tmp_path: Path) -> None:
    code, printed = run_with(SKIPPING[how], tmp_path, "1")
    assert code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    assert "LAB_NO_SKIPS is set, and test_it.py" in printed
    assert "no such thing here" in printed


@pytest.mark.parametrize("value", ["", "0"])
@pytest.mark.parametrize("how", SKIPPING)
def test_elsewhere_it_skips(how: str, value: str, tmp_path: Path) -> None:
    code, printed = run_with(SKIPPING[how], tmp_path, value)
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "1 skipped" in printed


def test_a_test_that_is_expected_to_fail_is_no_skip(tmp_path: Path) -> None:
    code, printed = run_with(EXPECTED_TO_FAIL, tmp_path, "1")
    assert (code, "1 xfailed" in printed) == (pytest.ExitCode.OK, True)


def test_a_need_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    code, printed = run_with("@pytest.mark.needs('thing')\ndef test_it() -> None:\n    pass\n", tmp_path, "0")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "KeyError: 'thing'" in printed


def test_a_need_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setitem(needs.NEEDS, "counted", lambda: tried.append("counted"))
    assert [needs.missing("counted"), needs.missing("counted"), tried] == ["", "", ["counted"]]
