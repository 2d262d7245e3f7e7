"""Where all that the tests need is installed, none of them may skip (tests/conftest.py)."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests import needs
from tests.helpers import PATIENCE_S, ROOT

SKIPPING = {
    "in_the_test": "def test_it() -> None:\n    pytest.skip('no such thing here')\n",
    "by_a_mark": "@pytest.mark.skipif(True, reason='no such thing here')\ndef test_it() -> None:\n    pass\n",
    "in_a_fixture": (
        "@pytest.fixture\ndef thing() -> None:\n    pytest.skip('no such thing here')\n\n\n"
        "def test_it(thing: None) -> None:\n    pass\n"
    ),
    "by_a_need": (
        "from tests import needs\n\nneeds.NEEDS['thing'] = lambda: needs.require(False, 'no such thing here')\n\n\n"
        "@pytest.mark.needs('thing')\ndef test_it(tmp_path: int) -> None:\n    pass\n"
    ),
    "in_the_module": "pytest.skip('no such thing here', allow_module_level=True)\n",
}
EXPECTED_TO_FAIL = "@pytest.mark.xfail(reason='not yet')\ndef test_it() -> None:\n    raise ValueError\n"
UNKNOWN = "@pytest.mark.needs('nothing known')\ndef test_it() -> None:\n    pass\n"


@pytest.fixture(scope="module", params=["1", "", "0"], ids=["no skips", "empty", "0"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, str]:
    """Whether tests may skip, and what pytest prints of a file of each text with the hooks of all tests."""
    folder = tmp_path_factory.mktemp("tests")
    for name, text in {**SKIPPING, "expected": EXPECTED_TO_FAIL, "unknown": UNKNOWN}.items():
        (folder / f"test_{name}.py").write_text(f"import pytest\n\n\n{text}")
    options = ("-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:xdist", "--continue-on-collection-errors")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", folder, "-c", os.devnull, "-rA", folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LAB_NO_SKIPS": request.param},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return request.param != "1", done.stdout


@pytest.mark.parametrize("how", SKIPPING)
def test_a_test_that_skips_fails_with_its_reason_where_none_may(how: str, run: tuple[bool, str]) -> None:
    may_skip, printed = run
    failed = re.search(rf"^(FAILED|ERROR) test_{how}\.py", printed, re.MULTILINE)
    told = re.search(rf"LAB_NO_SKIPS is set, and test_{how}\.py.* skips: .*no such thing here", printed)
    assert (bool(failed), bool(told)) == (not may_skip, not may_skip), printed


def test_one_that_is_expected_to_fail_is_no_skip_and_a_need_that_is_not_known_is_an_error(
    run: tuple[bool, str],
) -> None:
    may_skip, printed = run
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", printed.splitlines()[-1])}
    assert (counts["xfailed"], counts.get("skipped", 0)) == (1, len(SKIPPING) if may_skip else 0)
    assert "ERROR test_unknown.py::test_it - KeyError: 'nothing known'" in printed


def test_a_need_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setitem(needs.NEEDS, "counted", lambda: tried.append("counted"))
    assert [needs.missing("counted"), needs.missing("counted"), tried] == ["", "", ["counted"]]
