"""docs/ci/: the files that a user copies are accepted by their linters, and the commands in them by the lab."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import PATIENCE_S, ROOT
from tests.pages import is_accepted

FILES = ROOT / "docs" / "ci"
CALL = re.compile(r"(?:^|[ ;&|])(lab (?:race|explore|check|report) [^\n]*)", re.MULTILINE)
YAML_RULES = """
extends: default
rules:
  line-length: {max: 125}
  document-start: disable
  truthy: {check-keys: false}
  comments: {min-spaces-from-content: 1}
"""
LINTERS = {
    "github.yml": ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
    "gitlab-ci.yml": ["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci"],
    "pre-commit-config.yaml": ["pre-commit", "validate-config"],
    "Dockerfile": ["hadolint"],
    "kubernetes-job.yaml": ["kubernetes-validate", "--strict"],
}
SPOILED = {
    "github.yml": ("runs-on:", "run-on:"),
    "gitlab-ci.yml": ("  script:", "  scripts:"),
    "pre-commit-config.yaml": ("entry:", "entri:"),
    "Dockerfile": ("USER 1000", "USER 1000\nRUN sudo true"),
    "kubernetes-job.yaml": ("completions:", "completion:"),
}
"""A mistake in each file that its linter must find."""


def complaints(*command: str | Path) -> str:
    """What a linter that is installed beside this Python has against a file; empty where it accepts it."""
    program, *arguments = map(str, command)
    full = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(full, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return (done.stdout + done.stderr) * bool(done.returncode)


def test_each_file_has_a_linter() -> None:
    assert {path.name for path in FILES.iterdir()} == set(LINTERS)


@pytest.mark.needs("docs")
@pytest.mark.parametrize("name", LINTERS)
def test_a_file_is_accepted_by_its_linter_and_a_spoiled_one_is_not(name: str, tmp_path: Path) -> None:
    text, (right, wrong) = (FILES / name).read_text(), SPOILED[name]
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong, 1))
    assert not complaints(*LINTERS[name], FILES / name)
    assert complaints(*LINTERS[name], tmp_path / name)


@pytest.mark.needs("docs")
def test_every_yaml_file_is_tidy_and_the_workflow_of_the_lab_too() -> None:
    files = [*FILES.glob("*.y*ml"), ROOT / ".pre-commit-config.yaml", ROOT / ".github/workflows/ci.yml"]
    assert not complaints("yamllint", "--strict", "-d", YAML_RULES, *files)
    assert not complaints(*LINTERS["github.yml"], files[-1])


@pytest.mark.parametrize("name", LINTERS)
def test_every_call_in_a_file_is_one_that_the_lab_has(name: str) -> None:
    calls = CALL.findall((FILES / name).read_text())
    assert calls
    assert [call for call in calls if not is_accepted(call)] == []


def two_pods(folder: Path, text: str) -> list[tuple[int, str]]:
    """What both pods of the Kubernetes job end with, and print, as two processes on one folder."""
    folder.mkdir()
    pods = [
        subprocess.Popen(
            [sys.executable, "-c", text, folder, "1"],
            env={**os.environ, "JOB_COMPLETION_INDEX": str(number)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    printed = [pod.communicate(timeout=PATIENCE_S)[0] for pod in pods]
    assert list(folder.iterdir()) == []
    return [(pod.returncode, text) for pod, text in zip(pods, printed, strict=True)]


def test_two_pods_find_a_lock_that_holds_and_one_that_does_not(tmp_path: Path) -> None:
    text = (FILES / "kubernetes-job.yaml").read_text().partition("two_pods.py: |\n")[2].partition("---\n")[0]
    text = "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True))
    holds = "the lock kept the other pod out, and all 1000 additions arrived\n"
    assert two_pods(tmp_path / "right", text) == [(0, f"pod 0: {holds}"), (0, f"pod 1: {holds}")]
    broken = two_pods(tmp_path / "wrong", "import fcntl\nfcntl.lockf = lambda *_: None\n" + text)
    assert [(code, printed.splitlines()[0]) for code, printed in broken] == [
        (1, "pod 0 was granted the lock that pod 1 holds"),
        (1, "pod 1 was granted the lock that pod 0 holds"),
    ]
