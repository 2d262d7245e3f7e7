"""The site is built without a warning, and loads nothing from other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import PATIENCE_S, ROOT

LOADED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)="(?!data:)([^"]+)""")
PARTS = [
    "Start", "Teach", "Check a mount", "Test your lock", "Test your program", "Your own scenario", "Explore", "Prices",
    "In CI", "Concepts", "Reference",
]  # fmt: skip


@pytest.mark.needs("docs")
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    folders = map(str, (ROOT / "docs" / "site", ROOT, tmp_path))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", *folders]
    environment = {**os.environ, "PYTHONWARNINGS": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "docs" / "index.html").read_text()
    captions = re.findall(r'class="caption-text">([^<]+)<', first)
    assert captions[: len(PARTS)] == PARTS
    for page in tmp_path.rglob("*.html"):
        for address in LOADED.findall(page.read_text()):
            assert not re.match(r"\w+:|//", address), (page.name, address)
            assert (page.parent / re.sub(r"[?#].*", "", address)).exists(), (page.name, address)
    assert "counter" in (tmp_path / "searchindex.js").read_text()
